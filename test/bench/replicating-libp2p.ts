/** The scenario `replicate` by libp2p alone: as many bytes on a stream between two processes, from memory to nowhere. */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import type { Replicating } from "./replicate.ts";

const program = join(import.meta.dirname, "raw-stream-process.ts");

export async function startRawStream(bytes: number): Promise<Replicating> {
  const receiver = fork(program, ["receive"], { execArgv: process.execArgv });
  const sender = fork(program, ["send"], { execArgv: process.execArgv });
  sender.send((await answerOf(receiver)) as string[]);
  await answerOf(sender);
  return {
    pids: [sender.pid!, receiver.pid!],
    replicate: async () => {
      sender.send(bytes);
      await answerOf(sender);
    },
    // The receiver has counted.
    verify: async () => {},
    [Symbol.asyncDispose]: async () => {
      await Promise.all([sender, receiver].map(end));
    },
  };
}

/** Throws when it ends instead. */
async function answerOf(child: ChildProcess): Promise<unknown> {
  const ended = once(child, "exit").then(() => Promise.reject(new Error("a side of the raw stream has ended")));
  const [message] = (await Promise.race([once(child, "message"), ended])) as [unknown];
  ended.catch(() => undefined);
  return message;
}

async function end(child: ChildProcess): Promise<void> {
  const ended = once(child, "exit");
  child.disconnect();
  await ended;
}
