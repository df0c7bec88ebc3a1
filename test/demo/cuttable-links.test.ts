/** Goal: a cut separates real processes, in the groups that were named, and healing joins them again. */
import { deepEqual } from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { CuttableLinks } from "#test/demo/cuttable-links.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("cuttable links");

/** Listens, and connects to each port that it reads, telling what it heard: its peer's greeting or nothing. */
const program = `
const net = require("node:net");
const server = net.createServer((socket) => socket.on("error", () => {}).end("hello")).listen(0, "127.0.0.1", () => console.log(server.address().port));
require("node:readline").createInterface({ input: process.stdin }).on("line", (port) => {
  let heard = "";
  net.connect(Number(port), "127.0.0.1").on("data", (bytes) => (heard += bytes)).on("error", () => {}).on("close", () => console.log(heard || "nothing"));
});`;

interface Child extends Disposable {
  readonly process: ChildProcess;
  readonly port: number;
  hear(port: number): Promise<string>;
}

async function start(): Promise<Child> {
  const child = spawn(process.execPath, ["-e", program], { stdio: ["pipe", "pipe", "inherit"] });
  const lines = createInterface({ input: child.stdout });
  const [port] = (await once(lines, "line")) as [string];
  return {
    process: child,
    port: Number(port),
    hear: async (to) => {
      const heard = once(lines, "line");
      child.stdin.write(`${to}\n`);
      return (await heard)[0] as string;
    },
    [Symbol.dispose]: () => void child.kill("SIGKILL"),
  };
}

test("processes in different groups do not hear each other until the cut is healed", async ({ skip }) => {
  if (process.platform !== "linux") skip("who connects is found out under /proc, which only Linux has");
  await using links = new CuttableLinks();
  using a = await start();
  using b = await start();
  using c = await start();
  const doors: Record<string, number> = {};
  for (const [name, child] of Object.entries({ a, b, c })) {
    doors[name] = await links.open(name);
    links.place({ name, pid: child.process.pid!, port: child.port });
  }
  const heard = async () => [await a.hear(doors["b"]!), await b.hear(doors["a"]!), await a.hear(doors["c"]!)];
  deepEqual(await heard(), ["hello", "hello", "hello"]);
  links.partition(["a", "b"], ["c"]);
  deepEqual(await heard(), ["hello", "hello", "nothing"]);
  links.partition(["a", "c"]);
  deepEqual(await heard(), ["nothing", "nothing", "hello"]);
  links.heal();
  deepEqual(await heard(), ["hello", "hello", "hello"]);
});

test.run();
