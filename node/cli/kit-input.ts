/**
 * The recovery kit, as a command gets it: the kit's file, a file with its 24 words, standard input, or words typed on the terminal.
 * What comes out exists in this process only; disposing of it overwrites the root.
 */
import { readFile } from "node:fs/promises";
import { createInterface } from "node:readline/promises";
import { text as readStream } from "node:stream/consumers";
import type { Command } from "commander";
import { CostorError, isCostorError } from "#protocol/errors.ts";
import type { SiteId } from "#protocol/ids.ts";
import { deriveRecoveryKey, siteIdOf } from "#protocol/keys.ts";
import { kitFileCharacters, parseKit } from "#protocol/kit.ts";
import { describeMistyped, findWord, kitRootOfWords, kitWordsCount, nearestWords } from "#protocol/kit-words.ts";
import { interruptionSignal } from "#terminal/interruption.ts";

export interface KitOptions {
  readonly kit?: string;
}

/** A kit that somebody has. */
export interface GivenKit extends Disposable {
  /** 32 bytes: everything. Never logged, never kept. */
  readonly kitRoot: Uint8Array;
  readonly siteId: SiteId;
  /** A file tells it, words alone do not. */
  readonly siteName?: string;
}

export const addKitOptions = (command: Command): Command =>
  command.option("--kit <file>", "the kit's file, or - for standard input; without it the words are asked for");

/** Throws `kit-invalid`, and `bad-usage` where there is nobody to ask. */
export async function readGivenKit({ kit }: KitOptions): Promise<GivenKit> {
  if (kit === undefined) return readKitText(await askWords());
  return readKitText(await readText(kit));
}

/** A kit's file, or words alone. Throws `kit-invalid`. */
function readKitText(text: string): GivenKit {
  if (/^version:/m.test(text)) return disposable(parseKit(text));
  const kitRoot = kitRootOfWords(text);
  return disposable({ kitRoot, siteId: siteIdOf(deriveRecoveryKey(kitRoot).publicKey) });
}

const disposable = (kit: Omit<GivenKit, keyof Disposable>): GivenKit => ({
  ...kit,
  [Symbol.dispose]: () => void kit.kitRoot.fill(0),
});

async function readText(path: string): Promise<string> {
  try {
    const text = path === "-" ? await readStream(process.stdin) : await readFile(path, "utf8");
    if (text.length <= kitFileCharacters) return text;
  } catch (cause) {
    throw new CostorError("kit-invalid", `the recovery kit ${path} cannot be read`, { cause });
  }
  throw new CostorError("kit-invalid", `${path} is too long to be a recovery kit`);
}

/** Word by word, or several on a line; a mistake is told at once, by the word's number. */
async function askWords(): Promise<string> {
  if (!process.stdin.isTTY)
    throw new CostorError("bad-usage", "the recovery kit is asked for: --kit FILE, or --kit - for standard input");
  const questions = createInterface({ input: process.stdin, output: process.stderr });
  const ask = (question: string): Promise<string> => questions.question(question, { signal: interruptionSignal() });
  try {
    process.stderr.write("Type the words of the recovery kit; the first four letters of each are enough.\n");
    const words: string[] = [];
    while (words.length < kitWordsCount) {
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
    return await corrected(words, ask);
  } finally {
    questions.close();
  }
}

/** Until the words are a kit: which one is wrong only the paper tells. */
async function corrected(words: string[], ask: (question: string) => Promise<string>): Promise<string> {
  for (;;) {
    try {
      kitRootOfWords(words.join(" "));
      return words.join(" ");
    } catch (error) {
      if (!isCostorError(error, "kit-invalid")) throw error;
      process.stderr.write(`  ${error.message}\n`);
    }
    const [, position, typed = ""] =
      /^(\d+)\s*[= ]\s*([A-Za-z]+)$/.exec(await ask("  correct one, as in 7 anchor: ")) ?? [];
    const word = findWord(typed);
    const index = Number(position) - 1;
    if (word !== undefined && words[index] !== undefined) words[index] = word;
  }
}
