/**
 * `npm run demo`: a federation of five sites on this machine, as real processes with real disks and sockets, that is cut in two,
 * lied to, filled up and loses two of its sites. It shows what happens and checks it. The last line is `demo: PASS`, or `demo: FAIL`
 * with the step and the reason. With --disaster one burns and comes back.
 */
import { mkdir, mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { exitCodes } from "#terminal/exit-codes.ts";
import { interruptionSignal } from "#terminal/interruption.ts";
import { formatDuration } from "#terminal/quantities.ts";
import { removeTrees } from "#test/support/scratch.ts";
import { chooseContents } from "./demo-content.ts";
import { DemoFederation } from "./demo-federation.ts";
import { steps } from "./demo-steps.ts";
import { disasterSteps } from "./disaster-steps.ts";
import { LiveView } from "./live-view.ts";

const usage = `npm run demo -- [--disaster] [--directory DIR] [--from DIR] [--keep]

  --disaster       another story: a site burns, is restored elsewhere, and comes back on a new server
  --directory DIR  where the sites' disks are made (default: the system's directory for temporary files)
  --from DIR       whose subdirectories are backed up (default: /usr/share)
  --keep           leave the disks there at the end
`;

const NAMES = ["Aldein", "Brixen", "Corvara", "Deutschnofen", "Eppan"];
const MIB = 2 ** 20;
/** What each site backs up first, during the cut, and when one is full. */
const BACKUP_BYTES = [25 * MIB, 4 * MIB, 6 * MIB];

interface DemoSettings {
  readonly directory: string;
  readonly from: string;
  readonly keep: boolean;
  readonly disaster: boolean;
}

function readSettings(): DemoSettings | undefined {
  const text = { type: "string" } as const;
  const flag = { type: "boolean" } as const;
  const { values } = parseArgs({
    options: { directory: text, from: text, keep: flag, disaster: flag, help: { ...flag, short: "h" } },
  });
  if (values.help) return undefined;
  const typedFrom = process.env["INIT_CWD"] ?? process.cwd();
  return {
    directory: resolve(typedFrom, values.directory ?? process.env["COSTOR_TEST_SCRATCH"] ?? tmpdir()),
    from: resolve(typedFrom, values.from ?? "/usr/share"),
    keep: values.keep === true,
    disaster: values.disaster === true,
  };
}

/** Undefined when all went as it should, else where it did not and why. */
async function tell(settings: DemoSettings, scratch: string, signal: AbortSignal): Promise<string | undefined> {
  using view = new LiveView({ stream: process.stdout, nowMs: () => performance.now() });
  let title = "what is backed up";
  await using federation = new DemoFederation({ view }, { names: NAMES, directory: scratch, signal });
  try {
    const wantedBytes = BACKUP_BYTES.flatMap((bytes) => NAMES.map(() => bytes));
    const chosen = await chooseContents({ from: settings.from, scratch: join(scratch, "made"), wantedBytes });
    const contents = BACKUP_BYTES.map((_, number) => chosen.slice(number * NAMES.length, (number + 1) * NAMES.length));
    const story = settings.disaster ? disasterSteps : steps;
    for (const [index, step] of story.entries()) {
      title = step.title;
      const startedMs = performance.now();
      view.say(`${index + 1}/${story.length}  ${title}`);
      await step.run({ federation, contents });
      view.say(`ok, ${formatDuration(performance.now() - startedMs)}`);
    }
    return undefined;
  } catch (error) {
    signal.throwIfAborted();
    for (const line of federation.log) view.say(line);
    return `${title}: ${error instanceof Error ? error.message : String(error)}`;
  }
}

const signal = interruptionSignal();
// A closed terminal takes its output away; the signal that it sends as well ends this process in order.
for (const stream of [process.stdout, process.stderr]) stream.on("error", () => {});
const settings = readSettings();
if (settings === undefined) process.stdout.write(usage);
else {
  await mkdir(settings.directory, { recursive: true });
  const scratch = await mkdtemp(join(settings.directory, "costor-demo-"));
  try {
    const failure = await tell(settings, scratch, signal);
    process.stdout.write(failure === undefined ? "demo: PASS\n" : `demo: FAIL ${failure}\n`);
    process.exitCode = failure === undefined ? exitCodes.ok : exitCodes.failed;
  } catch {
    process.stdout.write("demo: interrupted\n");
    process.exitCode = exitCodes.interrupted;
  } finally {
    if (settings.keep) process.stdout.write(`The disks are in ${scratch}\n`);
    else removeTrees([scratch]);
  }
}
