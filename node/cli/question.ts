/** One question to the person at the terminal. */
import { createInterface } from "node:readline/promises";
import { CostorError } from "#protocol/errors.ts";
import { interruptionSignal } from "#terminal/interruption.ts";

/** Throws `bad-usage` with `instead` where there is nobody to ask. */
export async function ask(question: string, instead: string): Promise<string> {
  if (!process.stdin.isTTY) throw new CostorError("bad-usage", instead);
  const questions = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return await questions.question(question, { signal: interruptionSignal() });
  } finally {
    questions.close();
  }
}
