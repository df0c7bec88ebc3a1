/**
 * The README's two commands from a bare clone: what is missing is installed, even by two at once; `npm start` brings up a
 * site and proves a restore; every way of stopping it leaves no process; a second start goes on.
 * Method: `git clone` into a scratch directory that shares nothing with this one, and the machine's own Node and npm.
 */
import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { treeDifferences } from "#test/support/compare-trees.ts";
import { liveProcesses } from "#test/support/file-run.ts";
import { level } from "#test/support/level.ts";
import { scratchDirectory } from "#test/support/scratch.ts";
import { suite } from "#test/support/suite.ts";

const root = resolve(import.meta.dirname, "../..");
/** What an outer npm tells its scripts must not reach the inner one. */
const env = Object.fromEntries(
  Object.entries(process.env).filter(([name]) => !/^npm_|^INIT_CWD$|^COSTOR_/i.test(name)),
);

let clone = "";
let port = 0;

interface Running {
  readonly child: ChildProcess;
  output(): string;
  /** Resolves with the exit code, or the signal that ended npm. */
  readonly closed: Promise<number | NodeJS.Signals>;
}

function npm(parameters: readonly string[], command = "npm"): Running {
  const child = spawn(command, parameters, { cwd: clone, env, detached: true, stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding("utf8").on("data", (text: string) => (output += text));
  const closed = once(child, "close").then(([code, signal]) => (code ?? signal) as number | NodeJS.Signals);
  return { child, output: () => output, closed };
}

async function startUntilReady(parameters: readonly string[] = [], command?: string): Promise<Running> {
  const running = npm(["start", "--", "--listen", `127.0.0.1:${port}`, ...parameters], command);
  const ended = running.closed.then((code) => assert.fail(`ended with ${code}: ${running.output()}`));
  while (!running.output().includes("Ctrl-C stops the site")) await Promise.race([delay(50), ended]);
  ended.catch(() => {});
  return running;
}

/** Everything that npm started is in its process group: none of it may be left. */
async function assertNothingLeft({ child, closed, output }: Running): Promise<void> {
  await closed;
  const deadlineMs = performance.now() + 10_000;
  while (liveProcesses(child.pid!).length > 0 && performance.now() < deadlineMs) await delay(50);
  assert.deepEqual(liveProcesses(child.pid!), [], output());
}

const test = suite("start from a bare clone", { timeoutMs: 180_000 });

test.before(async () => {
  clone = join(await scratchDirectory("clone"), "clone");
  const cloned = spawnSync("git", ["clone", "--quiet", "--no-hardlinks", root, clone], { encoding: "utf8", env });
  assert.equal(cloned.status, 0, cloned.stderr);
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  port = (server.address() as { port: number }).port;
  server.close();
});

test("an installation that is cut short leaves no process", async () => {
  const cut = npm(["test", "--", "terminal/quantities"]);
  while (!cut.output().includes("installing dependencies")) await delay(20);
  await delay(1_000);
  process.kill(-cut.child.pid!, "SIGTERM");
  await assertNothingLeft(cut);
});

test("two that start at once after that both find installed what was not or only half", async () => {
  const runs = [npm(["test", "--", "terminal/quantities"]), npm(["test", "--", "terminal/quantities"])];
  for (const run of runs) {
    assert.equal(await run.closed, 0, run.output());
    assert.match(run.output().trimEnd(), /\n\d+ passed, 0 failed$/);
  }
  const installations = runs.flatMap((run) => run.output().match(/added \d+ packages/g) ?? []);
  assert.equal(installations.length, 1, runs.map((run) => run.output()).join("\n"));
});

test("the first start makes a site, backs up docs/, restores it beside, and says what to do next", async () => {
  const running = await startUntilReady();
  const output = running.output();
  assert.match(output, /words:\n +1 [a-z]+/, "the recovery kit is shown");
  assert.match(output, new RegExp(`listens on https://127\\.0\\.0\\.1:${port}; its keys and certificate are new`));
  assert.match(output, /compared: \d+ objects, .*, every byte and attribute equal\./);
  assert.match(output, /Enrol another machine[\s\S]*Put the recovery kit away/);
  const restored = join(clone, "data/restored", join(clone, "docs"));
  assert.deepEqual(treeDifferences(join(clone, "docs"), restored, { ignoresOwners: true }), []);

  running.child.kill("SIGTERM");
  await assertNothingLeft(running);
});

test("a second start goes on: same site, same agent, only the change is read; Ctrl-C stops it", async () => {
  await writeFile(join(clone, "docs/new.md"), "new\n");
  const running = await startUntilReady();
  const output = running.output();
  assert.doesNotMatch(output, /are new|words:\n/);
  assert.match(output, /is an agent of it already/);
  assert.match(output, / 1 new or changed/);
  assert.equal(await readFile(join(clone, "data/restored", clone, "docs/new.md"), "utf8"), "new\n");
  // As a terminal does it: the whole group gets the signal, and npm passes it on once more.
  process.kill(-running.child.pid!, "SIGINT");
  await assertNothingLeft(running);
});

test("a closed terminal stops it", async () => {
  const running = await startUntilReady();
  process.kill(-running.child.pid!, "SIGHUP");
  await assertNothingLeft(running);
});

test("npm that dies of a SIGHUP of its own takes the site with it", async () => {
  const running = await startUntilReady();
  running.child.kill("SIGHUP");
  await assertNothingLeft(running);
});

test("other places: --data, --backup and --kit count from where the person stands, and --once ends by itself", async () => {
  const elsewhere = await scratchDirectory("elsewhere");
  await mkdir(join(elsewhere, "tree/deep"), { recursive: true });
  await writeFile(join(elsewhere, "tree/deep/file"), "content\n");
  const parameters = [
    "--listen",
    `127.0.0.1:${port}`,
    "--data",
    "there",
    "--backup",
    "tree",
    "--kit",
    "kit.txt",
    "--once",
  ];
  const child = spawn("npm", ["--prefix", clone, "start", "--", ...parameters], {
    cwd: elsewhere,
    env,
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding("utf8").on("data", (text: string) => (output += text));
  const [code] = (await once(child, "close")) as [number];
  assert.equal(code, 0, output);
  assert.match(await readFile(join(elsewhere, "kit.txt"), "utf8"), /words:/);
  assert.equal(await readFile(join(elsewhere, "there/restored", elsewhere, "tree/deep/file"), "utf8"), "content\n");
});

test("a port that is taken is said so, and nothing stays behind", async () => {
  const server = createServer().listen(port, "127.0.0.1");
  await once(server, "listening");
  const running = npm(["start", "--", "--listen", `127.0.0.1:${port}`]);
  assert.equal(await running.closed, 1, running.output());
  assert.match(running.output(), /EADDRINUSE|already in use/);
  await assertNothingLeft(running);
  server.close();
});

test("npm 12, which runs no script of a dependency, installs and starts it too", async ({ skip }) => {
  if (level !== "full") skip("fetches another npm: in the full run only");
  const tools = await scratchDirectory("npm");
  const fetched = spawnSync("npm", ["install", "--prefix", tools, "--ignore-scripts", "npm@12"], {
    encoding: "utf8",
    env,
  });
  assert.equal(fetched.status, 0, fetched.stderr);
  spawnSync("rm", ["-rf", join(clone, "node_modules")]);
  const running = await startUntilReady([], join(tools, "node_modules/.bin/npm"));
  assert.match(running.output(), /every byte and attribute equal/);
  running.child.kill("SIGTERM");
  await assertNothingLeft(running);
});

test("nothing of all that shows in git, but what was changed by hand", () => {
  const status = spawnSync("git", ["status", "--porcelain"], { cwd: clone, encoding: "utf8", env });
  assert.equal(status.stdout, "?? docs/new.md\n");
});

test.run();
