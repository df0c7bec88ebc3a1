/**
 * Test suites: uvu underneath, with what it lacks. Every test has a time-out, an error in any hook is a failure, a
 * skip carries its reason, and the process ends by itself or says what keeps it. When the file ends, a summary goes to
 * the file descriptor that the runner (`test/run.ts`) opened, so that the runner believes no text on a terminal.
 *
 * Use: `const test = suite("title")`, `test("behaviour sentence", async () => { … })`, `test.run()`.
 */
import { writeSync } from "node:fs";
import { inspect } from "node:util";
import { AssertionError } from "node:assert";
import { suite as uvuSuite } from "uvu";

/** What a file of tests tells the runner. A test that was never run, since `.run()` is missing, counts in `total` only. */
export interface SuiteSummary {
  readonly total: number;
  readonly passed: number;
  readonly failed: number;
  readonly skipped: readonly { readonly title: string; readonly reason: string }[];
  /** Tests marked `.only`: for a person's terminal, never for a commit. */
  readonly only: number;
}

export interface TestContext {
  /** Aborted when the test's time is up, so that what it started can stop. */
  readonly signal: AbortSignal;
  /** Ends the test as skipped, with the reason that is shown: for what only the machine can tell while running. */
  skip(reason: string): never;
}

type Hook = () => unknown;
type TestBody = (context: TestContext) => unknown;

export interface Suite {
  (title: string, body: TestBody): void;
  only(title: string, body: TestBody): void;
  /** Leaves a test out for a reason that the runner prints. */
  skip(title: string, reason: string): void;
  before: { (hook: Hook): void; each(hook: Hook): void };
  after: { (hook: Hook): void; each(hook: Hook): void };
  run(): void;
}

export interface SuiteOptions {
  /** Longest time of one test or one hook. */
  readonly timeoutMs?: number;
}

const defaultTimeoutMs = 120_000;
/** How long the process may live on after its last test before that is a failure. */
const lingerMs = 5_000;
const failureTextCount = 20_000;

class Skip {
  readonly reason: string;
  constructor(reason: string) {
    this.reason = reason;
  }
}

const counts = { total: 0, passed: 0, failed: 0, only: 0, suitesRunning: 0 };
const skipped: { title: string; reason: string }[] = [];

export function suite(title: string, options: SuiteOptions = {}): Suite {
  const timeoutMs = options.timeoutMs ?? defaultTimeoutMs;
  const inner = uvuSuite(title);
  const hooks = { before: [] as Hook[], after: [] as Hook[], beforeEach: [] as Hook[], afterEach: [] as Hook[] };
  let beforeError: unknown;
  let hasRun = false;

  const wrap = (testTitle: string, body: TestBody) => async () => {
    const failures: unknown[] = beforeError === undefined ? [] : [beforeError];
    if (failures.length === 0) {
      try {
        for (const hook of hooks.beforeEach) await withTimeout("before.each hook", timeoutMs, hook);
        await withTimeout("test", timeoutMs, body);
      } catch (error) {
        failures.push(error);
      }
      await collectErrors(hooks.afterEach, "after.each hook", timeoutMs, failures);
    }
    if (failures.length === 1 && failures[0] instanceof Skip)
      return noteSkip(`${title}: ${testTitle}`, failures[0].reason);
    const errors = failures.filter((failure) => !(failure instanceof Skip));
    if (errors.length > 0) {
      counts.failed++;
      throw printable(errors);
    }
    counts.passed++;
  };
  const register = (testTitle: string, body: TestBody, kind: "tests" | "only") => {
    if (hasRun) throw new Error(`test "${testTitle}" is registered after run()`);
    counts.total++;
    if (kind === "only") {
      counts.only++;
      inner.only(testTitle, wrap(testTitle, body));
    } else inner(testTitle, wrap(testTitle, body));
  };

  inner.before(async () => {
    const failures: unknown[] = [];
    for (const hook of hooks.before) {
      if (failures.length === 0) await collectErrors([hook], "before hook", timeoutMs, failures);
    }
    beforeError = failures[0];
  });
  inner.after(async () => {
    const failures: unknown[] = [];
    await collectErrors(hooks.after, "after hook", timeoutMs, failures);
    if (failures.length > 0) {
      counts.total++;
      counts.failed++;
      process.stderr.write(`\n${title}: ${printable(failures).message}\n`);
    }
    if (--counts.suitesRunning === 0) watchForLinger();
  });

  const test = ((testTitle: string, body: TestBody) => register(testTitle, body, "tests")) as Suite;
  test.only = (testTitle, body) => register(testTitle, body, "only");
  test.skip = (testTitle, reason) => {
    counts.total++;
    noteSkip(`${title}: ${testTitle}`, reason);
  };
  test.before = Object.assign((hook: Hook) => void hooks.before.push(hook), {
    each: (hook: Hook) => void hooks.beforeEach.push(hook),
  });
  test.after = Object.assign((hook: Hook) => void hooks.after.push(hook), {
    each: (hook: Hook) => void hooks.afterEach.push(hook),
  });
  test.run = () => {
    hasRun = true;
    counts.suitesRunning++;
    inner.run();
  };
  return test;
}

async function collectErrors(
  hooks: readonly Hook[],
  what: string,
  timeoutMs: number,
  failures: unknown[],
): Promise<void> {
  for (const hook of hooks) {
    try {
      await withTimeout(what, timeoutMs, hook);
    } catch (error) {
      failures.push(error);
    }
  }
}

async function withTimeout(what: string, timeoutMs: number, body: TestBody): Promise<void> {
  const controller = new AbortController();
  const skip = (reason: string): never => {
    throw new Skip(reason);
  };
  const expiry = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    const error = new Error(`the ${what} took longer than ${timeoutMs} ms`);
    controller.abort(error);
    expiry.reject(error);
  }, timeoutMs);
  try {
    await Promise.race([(async () => body({ signal: controller.signal, skip }))(), expiry.promise]);
  } finally {
    clearTimeout(timer);
  }
}

function noteSkip(title: string, reason: string): void {
  if (reason.trim() === "") throw new Error(`${title}: a skip needs a reason`);
  skipped.push({ title, reason });
  process.stdout.write(`\n  skipped ${title}: ${reason}\n`);
}

/** uvu fails on a thrown `undefined`, on a bigint in a comparison, and drops causes: so it gets text only. */
function printable(errors: readonly unknown[]): { name: string; message: string; stack: string } {
  const texts = errors.map((error) =>
    error instanceof AssertionError ? (error.stack ?? error.message) : inspect(error),
  );
  const message = texts.join("\n");
  return { name: "Failure", message: message.slice(0, failureTextCount), stack: "" };
}

/** A live handle after the last test is a leak: the timer fires only when something else keeps the process alive. */
function watchForLinger(): void {
  setTimeout(() => {
    process.stderr.write(
      `\nstill alive ${lingerMs} ms after the last test, kept by: ${process.getActiveResourcesInfo().join(", ")}\n`,
    );
    counts.total++;
    counts.failed++;
    process.exit(1);
  }, lingerMs).unref();
}

// Taken out of the environment, so that a test file started by a test does not write into its parent's summary.
const summaryDescriptor = Number(process.env["COSTOR_TEST_SUMMARY_FD"] ?? 0);
delete process.env["COSTOR_TEST_SUMMARY_FD"];

process.on("exit", () => {
  const summary: SuiteSummary = {
    total: counts.total,
    passed: counts.passed,
    failed: counts.failed,
    skipped,
    only: counts.only,
  };
  if (counts.failed > 0 || counts.passed + skipped.length !== counts.total) process.exitCode = 1;
  if (summaryDescriptor > 0) writeSync(summaryDescriptor, `${JSON.stringify(summary)}\n`);
});
