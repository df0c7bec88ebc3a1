/** Words of a kit or of a share, typed on the terminal. */
import { createInterface } from "node:readline/promises";
import { CostorError, isCostorError } from "#protocol/errors.ts";
import { describeMistyped, findWord, nearestWords } from "#protocol/kit-words.ts";
import { interruptionSignal } from "#terminal/interruption.ts";

export interface TypedWordsInit<Read> {
  /** Such as: the recovery kit. */
  readonly what: string;
  readonly count: number;
  /** Throws `kit-invalid` for words that do not fit together. */
  read(words: string): Read;
}

/** One by one, or several on a line; a mistake is told at once, by the word's number. Throws `bad-usage` where there is nobody to ask. */
export async function typeWords<Read>({ what, count, read }: TypedWordsInit<Read>): Promise<Read> {
  if (!process.stdin.isTTY)
    throw new CostorError("bad-usage", `the words of ${what} are asked for on a terminal; elsewhere a file is named`);
  const questions = createInterface({ input: process.stdin, output: process.stderr });
  const ask = (question: string): Promise<string> => questions.question(question, { signal: interruptionSignal() });
  try {
    process.stderr.write(`Type the ${count} words of ${what}; the first four letters of each are enough.\n`);
    const words: string[] = [];
    while (words.length < count) {
      const typed = (await ask(`  word ${words.length + 1}: `)).split(/[\s\d.]+/).filter((word) => word !== "");
      for (const word of typed) {
        const found = findWord(word);
        if (found === undefined) {
          const position = words.length + 1;
          process.stderr.write(`  ${describeMistyped({ position, word, suggestions: nearestWords(word) })}\n`);
          break;
        }
        words.push(found);
      }
    }
    return await untilRight(words, read, ask);
  } finally {
    questions.close();
  }
}

/** Which word is wrong only the paper tells. */
async function untilRight<Read>(
  words: string[],
  read: (words: string) => Read,
  ask: (question: string) => Promise<string>,
): Promise<Read> {
  for (;;) {
    try {
      return read(words.join(" "));
    } catch (error) {
      if (!isCostorError(error, "kit-invalid")) throw error;
      process.stderr.write(`  ${error.message}\n`);
    }
    const answer = await ask("  compare each with the page, and correct one, as in 7 anchor: ");
    const [, position, typed = ""] = /^\s*(\d+)[\s=.]+([A-Za-z]+)\s*$/.exec(answer) ?? [];
    const word = findWord(typed);
    const index = Number(position) - 1;
    if (word !== undefined && words[index] !== undefined) words[index] = word;
  }
}
