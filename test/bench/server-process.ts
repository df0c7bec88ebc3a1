/** A contender's server as a child process: started, waited for until it listens, and ended. */
import { open } from "node:fs/promises";
import { connect, createServer, type AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import type { Command } from "./measure.ts";
import { spawnOwned } from "./process-tree.ts";

const startLimitMs = 30_000;
const stopLimitMs = 15_000;

export interface ServerProcess extends AsyncDisposable {
  readonly pid: number;
}

/** Starts `command`, its output going to the file `log`, and waits until it accepts connections on `port`. */
export async function startServer(command: Command, port: number, log: string): Promise<ServerProcess> {
  const output = await open(log, "a");
  const child = spawnOwned(command, ["ignore", output.fd, output.fd]);
  let failure: Error | undefined;
  child.once("error", (error) => (failure = error));
  const ended = new Promise<void>((resolve) => child.once("close", () => resolve()));
  await output.close();
  const stop = async (): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill("SIGTERM");
    const timer = setTimeout(() => child.kill("SIGKILL"), stopLimitMs);
    await ended;
    clearTimeout(timer);
  };
  const deadlineMs = performance.now() + startLimitMs;
  while (!(await accepts(port))) {
    if (failure !== undefined) throw failure;
    if (child.exitCode !== null) throw new Error(`${command.program} ended with ${child.exitCode}; see ${log}`);
    if (performance.now() > deadlineMs) {
      await stop();
      throw new Error(`${command.program} does not listen after ${startLimitMs / 1_000} s; see ${log}`);
    }
    await sleep(50);
  }
  return { pid: child.pid!, [Symbol.asyncDispose]: stop };
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => (socket.destroy(), resolve(true)));
    socket.once("error", () => resolve(false));
  });
}

/** A loopback port that nothing listens on at the moment. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });
}
