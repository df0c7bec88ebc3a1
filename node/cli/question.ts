/** Questions to the person at the terminal. */
import { createInterface } from "node:readline/promises";
import { CostorError } from "#protocol/errors.ts";
import { interruptionSignal } from "#terminal/interruption.ts";

export interface Questions extends Disposable {
  /** What is typed. Throws `interrupted` at Ctrl-C and at the end of what is typed. */
  ask(question: string): Promise<string>;
}

/** Throws `bad-usage` with `instead` where there is nobody to ask. */
export function openQuestions(instead: string): Questions {
  if (!process.stdin.isTTY) throw new CostorError("bad-usage", instead);
  const questions = createInterface({ input: process.stdin, output: process.stderr });
  const ended = Promise.withResolvers<never>();
  ended.promise.catch(() => undefined);
  // A terminal that is read key by key sends no signal.
  questions.on("SIGINT", () => void process.kill(process.pid, "SIGINT"));
  questions.on("close", () => ended.reject(new CostorError("interrupted", "nothing more was typed")));
  const signal = interruptionSignal();
  return {
    ask: async (question) => {
      try {
        return await Promise.race([questions.question(question, { signal }), ended.promise]);
      } catch (error) {
        throw signal.aborted ? signal.reason : error;
      }
    },
    [Symbol.dispose]: () => questions.close(),
  };
}

/** One question. Throws `bad-usage` with `instead` where there is nobody to ask. */
export async function ask(question: string, instead: string): Promise<string> {
  using questions = openQuestions(instead);
  return await questions.ask(question);
}
