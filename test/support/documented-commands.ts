/** The commands that a page for people has in its blocks, as words, so that a test runs them as they are written. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";

const root = join(import.meta.dirname, "../..");

/**
 * Those of `./costor` below a heading, in order, with words of the page that stand for something put in place. Fails for a word that
 * `stand` names and no command has.
 */
export async function documentedCommands(
  page: string,
  heading: string,
  stand: Readonly<Record<string, string>>,
): Promise<string[][]> {
  const text = await readFile(join(root, page), "utf8");
  const [, section] = text.split(`\n## ${heading}\n`);
  if (section === undefined) throw new Error(`${page} has no heading "${heading}"`);
  const lines = section.split("\n## ")[0]!.split("\n");
  const commands = lines
    .filter((line) => /^ {4,}\.\/costor /.test(line))
    .map((line) => line.trim().split(/\s+/).slice(1));
  const words = new Set(commands.flat());
  for (const word of Object.keys(stand)) if (!words.has(word)) throw new Error(`${page}: no command has "${word}"`);
  return commands.map((command) => command.map((word) => stand[word] ?? word));
}
