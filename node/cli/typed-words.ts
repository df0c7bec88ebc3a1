/** Words of a kit or of a share, typed on the terminal. */
import { isCostorError } from "#protocol/errors.ts";
import { describeMistyped, findWord, nearestWords } from "#protocol/kit-words.ts";
import { type Questions, openQuestions } from "./question.ts";

export interface TypedWordsInit<Read> {
  /** Such as: the recovery kit. */
  readonly what: string;
  readonly count: number;
  /** Throws `kit-invalid` for words that do not fit together. */
  read(words: string): Read;
}

/** One by one, or several on a line; a mistake is told at once, by the word's number. Throws `bad-usage` where there is nobody to ask. */
export async function typeWords<Read>({ what, count, read }: TypedWordsInit<Read>): Promise<Read> {
  using questions = openQuestions(`the words of ${what} are asked for on a terminal; elsewhere a file is named`);
  process.stderr.write(`Type the ${count} words of ${what}; the first four letters of each are enough.\n`);
  const words: string[] = [];
  while (words.length < count) {
    const typed = await questions.ask(`  word ${words.length + 1}: `);
    for (const word of typed.split(/[\s\d.]+/).filter((part) => part !== "")) {
      const found = findWord(word);
      if (found === undefined) {
        const position = words.length + 1;
        process.stderr.write(`  ${describeMistyped({ position, word, suggestions: nearestWords(word) })}\n`);
        break;
      }
      words.push(found);
    }
  }
  return await untilRight(words, read, questions);
}

/** Which word is wrong only the paper tells. */
async function untilRight<Read>(words: string[], read: (words: string) => Read, questions: Questions): Promise<Read> {
  for (;;) {
    try {
      return read(words.join(" "));
    } catch (error) {
      if (!isCostorError(error, "kit-invalid")) throw error;
      process.stderr.write(`  ${error.message}\n`);
    }
    const answer = await questions.ask("  compare each with the page, and correct one, as in 7 anchor: ");
    const [, position, typed = ""] = /^\s*(\d+)[\s=.]+([A-Za-z]+)\s*$/.exec(answer) ?? [];
    const word = findWord(typed);
    const index = Number(position) - 1;
    if (word !== undefined && words[index] !== undefined) words[index] = word;
  }
}
