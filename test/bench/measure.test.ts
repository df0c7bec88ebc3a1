// Goal: CPU, memory and failures of measured commands are true. Method: programs that burn a known amount.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { once } from "node:events";
import { suite } from "#test/support/suite.ts";
import { measure } from "./measure.ts";

const test = suite("bench measurements");
const node = process.execPath;
const burn = (seconds: number): string =>
  `const used = () => process.cpuUsage().user + process.cpuUsage().system; const end = used() + ${seconds * 1e6}; while (used() < end);`;

test("CPU counts the command's own children, and the server's threads apart", async ({ skip, signal }) => {
  if (!existsSync("/usr/bin/time")) skip("GNU time is not installed");
  const worker = `new (require("node:worker_threads").Worker)(${JSON.stringify(burn(0.3))}, { eval: true })`;
  const server = spawn(node, ["-e", `process.stdin.once("data", () => ${worker}); console.log("up")`], { signal });
  server.on("error", () => undefined);
  await once(server.stdout, "data");
  const inner = `require("node:child_process").execFileSync(process.execPath, ["-e", ${JSON.stringify(burn(0.4))}])`;
  server.stdin.write("go\n");
  const measured = await measure({ program: node, arguments: ["-e", inner] }, server.pid!);
  server.kill("SIGKILL");
  assert.ok(measured.clientCpuSeconds >= 0.4 && measured.clientCpuSeconds < 3, `client ${measured.clientCpuSeconds}`);
  assert.ok(measured.serverCpuSeconds >= 0.1 && measured.serverCpuSeconds < 3, `server ${measured.serverCpuSeconds}`);
});

test("the peak is the command's own, not the bench's", async ({ skip }) => {
  if (!existsSync("/usr/bin/time")) skip("GNU time is not installed");
  const hold = "const held = Buffer.alloc(300e6, 1); console.log(held.length)";
  const large = await measure({ program: node, arguments: ["-e", hold] }, process.pid);
  const small = await measure({ program: "true", arguments: [] }, process.pid);
  assert.ok(large.clientPeakBytes > 300e6, `peak ${large.clientPeakBytes}`);
  assert.ok(small.clientPeakBytes < 20e6, `peak ${small.clientPeakBytes}`);
});

test("a command that fails is an error with its exit code and last words", async ({ skip }) => {
  if (!existsSync("/usr/bin/time")) skip("GNU time is not installed");
  const failing = { program: "sh", arguments: ["-c", "echo no luck >&2; exit 3"] };
  await assert.rejects(measure(failing, process.pid), /exit code 3[^]*no luck/);
});

test.run();
