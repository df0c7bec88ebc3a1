/**
 * The launcher and the command line from outside: exit codes, where errors go and in what form, links to the launcher.
 * Method: a program with two planted sides runs in a process of its own; the launcher itself is run as it is.
 */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { readFile, symlink, writeFile } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { once } from "node:events";
import { join, relative, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { Command } from "commander";
import { addAgentCommands } from "#agent/cli/program.ts";
import { addSiteCommands } from "#node/cli/program.ts";
import { runtimeFlags } from "#test/support/runtime-flags.ts";
import { scratchDirectory } from "#test/support/scratch.ts";
import { suite } from "#test/support/suite.ts";

const root = resolve(import.meta.dirname, "../..");
const urlOf = (path: string) => JSON.stringify(pathToFileURL(join(root, path)).href);

const planted = `
import { runProgram } from ${urlOf("terminal/program.ts")};
import { CostorError } from ${urlOf("protocol/errors.ts")};
import { exitCodes } from ${urlOf("terminal/exit-codes.ts")};
import { interruptionSignal } from ${urlOf("terminal/interruption.ts")};
import { once } from "node:events";
import { writeSync } from "node:fs";
await runProgram(process.argv, {
  agent: { description: "an agent", addCommands(program) {
    const agent = program.command("agent").description("an agent").option("--json");
    agent.command("works").option("--json").action(() => {});
    agent.command("coded").option("--json").action(() => { throw new CostorError("store-full", "no space left", { cause: new Error("ENOSPC"), details: { freeBytes: 1n } }); });
    agent.command("breaks").action(() => { throw new TypeError("planted fault"); });
    agent.command("partly").action(() => { process.exitCode = exitCodes.partial; });
    agent.command("much").action(() => { for (let i = 0; i < 100000; i++) process.stdout.write("line\\n"); });
    agent.command("waits").option("--finish").action(async (options) => {
      const signal = interruptionSignal();
      writeSync(1, "waiting\\n");
      const timer = setInterval(() => {}, 1000);
      await once(signal, "abort");
      clearInterval(timer);
      writeSync(1, signal.reason.message);
      if (!options.finish) throw new Error("the wait was cut short");
    });
  } },
  site: { description: "a site", addCommands() { throw new Error("the other side was loaded"); } },
});
`;

let script = "";
const test = suite("command line");

test.before(async () => {
  script = join(await scratchDirectory("program"), "program.ts");
  await writeFile(script, planted);
});

function run(...parameters: string[]) {
  const result = spawnSync(process.execPath, [...runtimeFlags, script, ...parameters], { encoding: "utf8" });
  return { code: result.status, stdout: result.stdout, stderr: result.stderr };
}

test("a command that works exits with 0 and says nothing on stderr", () => {
  assert.deepEqual(run("agent", "works"), { code: 0, stdout: "", stderr: "" });
});

test("an error exits with 1 and prints code, message with cause, and the next step", () => {
  const { code, stdout, stderr } = run("agent", "coded");
  assert.deepEqual([code, stdout], [1, ""]);
  assert.equal(
    stderr,
    "costor: store-full: no space left: ENOSPC\n  Free space on the site's disk, as docs/disasters.md tells; reading and restoring go on.\n",
  );
});

test("with --json an error is one JSON line on stderr", () => {
  const { code, stderr } = run("agent", "coded", "--json");
  const { error } = JSON.parse(stderr) as { error: Record<string, unknown> };
  assert.deepEqual(
    [code, error["code"], error["exitCode"], error["details"]],
    [1, "store-full", 1, { freeBytes: "1" }],
  );
});

test("a fault of the program is reported as internal, with its stack", () => {
  const { code, stderr } = run("agent", "breaks");
  assert.equal(code, 1);
  assert.match(stderr, /^costor: internal: TypeError: planted fault\n +at /);
});

test("wrong usage exits with 2 and names what is wrong", () => {
  for (const words of [["agent", "works", "--frob"], ["agent", "frob"], ["frob"]]) {
    const { code, stderr } = run(...words);
    assert.equal(code, 2, stderr);
    assert.match(stderr, /^costor: bad-usage: unknown (option|command) '(--)?frob'/);
  }
  assert.equal(run().code, 2);
  assert.equal(run("agent").code, 2);
});

test("an option of either side that shows more than one value takes them", () => {
  const program = new Command();
  addAgentCommands(program);
  addSiteCommands(program);
  const commands: Command[] = [program];
  const several: string[] = [];
  for (let command = commands.pop(); command; command = commands.pop()) {
    commands.push(...command.commands);
    for (const { flags, variadic } of command.options) {
      assert.equal(variadic, flags.includes("..."), flags);
      if (variadic) several.push(flags);
    }
  }
  assert.ok(several.includes("--address <host:port...>"));
});

test("work that was done in part exits with 3", () => assert.equal(run("agent", "partly").code, 3));

test("help and version exit with 0 and need no side", () => {
  assert.match(run("--help").stdout, /agent +an agent\n +site +a site/);
  assert.match(run("--version").stdout, /^\d+\.\d+\.\d+\n$/);
  assert.match(run("agent", "--help").stdout, /works/);
});

test("a reader that goes away early is no failure", () => {
  const { status, stderr } = spawnSync(
    "sh",
    ["-c", '"$@" | head -n 1', "sh", process.execPath, ...runtimeFlags, script, "agent", "much"],
    { encoding: "utf8" },
  );
  assert.deepEqual([status, stderr], [0, ""]);
});

async function interrupt(
  signal: NodeJS.Signals,
  ...parameters: string[]
): Promise<{ code: number | null; stderr: string }> {
  const child = spawn(process.execPath, [...runtimeFlags, script, "agent", "waits", ...parameters], {
    stdio: ["ignore", "pipe", "pipe"],
    // The tests themselves may be run by nohup.
    env: { ...process.env, COSTOR_HANGUP: "" },
  });
  let stderr = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  child.stdout.once("data", () => child.kill(signal));
  return await new Promise((done) => child.once("close", (code) => done({ code, stderr })));
}

test("a command that is cut short exits with 130 and says by what", async () => {
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    const { code, stderr } = await interrupt(signal);
    assert.equal(code, 130, stderr);
    assert.match(stderr, new RegExp(`^costor: interrupted: stopped by ${signal}\n`));
  }
});

/** Whether the process has not met a signal yet that was sent to it. */
function isPending(pid: number, signal: number): boolean {
  const status = readFileSync(`/proc/${pid}/status`, "latin1");
  const masks = [...status.matchAll(/^(?:SigPnd|ShdPnd):\s*([0-9a-f]+)$/gm)].map(([, mask]) => BigInt(`0x${mask}`));
  return masks.some((mask) => ((mask >> BigInt(signal - 1)) & 1n) === 1n);
}

test("a command that nohup started outlives its terminal", async () => {
  const launched = '. "$0/scripts/runtime.sh"; exec "$@"';
  const words = ["-c", launched, root, process.execPath, ...runtimeFlags, script, "agent", "waits", "--finish"];
  for (const [program, leading, endedBy] of [
    ["nohup", ["sh"], "SIGTERM"],
    ["sh", [], "SIGHUP"],
  ] as const) {
    const child = spawn(program, [...leading, ...words], { stdio: ["ignore", "pipe", "ignore"] });
    let stdout = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
    await once(child.stdout, "data");
    child.kill("SIGHUP");
    // Of two that wait, the later one may be delivered first.
    if (program === "nohup") {
      while (isPending(child.pid!, 1)) await delay(5);
      child.kill("SIGTERM");
    }
    assert.deepEqual(await once(child, "close"), [0, null]);
    assert.equal(stdout, `waiting\nstopped by ${endedBy}`);
  }
});

test("a service that is asked to stop and does so exits with 0", async () => {
  assert.deepEqual(await interrupt("SIGTERM", "--finish"), { code: 0, stderr: "" });
});

test("the launcher works from anywhere, through links, and keeps its process", async () => {
  const directory = await scratchDirectory("links");
  await symlink(join(root, "costor"), join(directory, "absolute"));
  await symlink(relative(directory, join(directory, "absolute")), join(directory, "relative"));
  for (const name of ["absolute", "relative"]) {
    const result = spawnSync(join(directory, name), ["--version"], { encoding: "utf8", cwd: directory });
    assert.equal(result.status, 0, result.stderr);
  }
  const viaShell = spawnSync("sh", ["-c", "cd /; PATH=$1:$PATH; relative --version", "sh", directory], {
    encoding: "utf8",
  });
  assert.equal(viaShell.status, 0, viaShell.stderr);
});

test("the launcher becomes the program: one process to signal", async () => {
  const directory = await scratchDirectory("process");
  await writeFile(
    join(directory, "tell.cjs"),
    `require("node:fs").writeFileSync(${JSON.stringify(join(directory, "pid"))}, String(process.pid));`,
  );
  const env = { ...process.env, NODE_OPTIONS: `--require=${join(directory, "tell.cjs")}` };
  const launched = spawn(join(root, "costor"), ["--version"], { stdio: "ignore", env });
  await once(launched, "close");
  assert.equal(await readFile(join(directory, "pid"), "utf8"), String(launched.pid));
});

test("completion scripts exist for four shells", () => {
  for (const shell of ["bash", "zsh", "fish", "powershell"]) {
    const result = spawnSync(join(root, "costor"), ["complete", shell], { encoding: "utf8" });
    assert.equal(result.status, 0, result.stderr);
    assert.match(result.stdout, /costor/);
  }
});

test.run();
