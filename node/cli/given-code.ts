/** The second person's code, as a command gets it: from a file, standard input or the terminal. Never as an argument, since lists of processes show those. */
import type { Command } from "commander";
import { readFile } from "node:fs/promises";
import { text as readStream } from "node:stream/consumers";
import { CostorError, isCostorError } from "#protocol/errors.ts";

export interface CodeOptions {
  readonly code?: string;
}

export const onCode = (command: Command): Command =>
  command.option(
    "--code <file>",
    "a file with the second person's words, or - for standard input; without it they are asked for",
  );

/** Throws `bad-usage` where there is nobody to ask. */
export async function readCode({ code }: CodeOptions): Promise<string> {
  if (code === undefined) {
    const [{ typeWords }, { codeWordsCount }] = await Promise.all([
      import("./typed-words.ts"),
      import("#node/retention/second-person.ts"),
    ]);
    return typeWords({ what: "the second person's code", count: codeWordsCount, read: (words) => words });
  }
  try {
    return await (code === "-" ? readStream(process.stdin) : readFile(code, "utf8"));
  } catch (cause) {
    throw new CostorError("bad-usage", `the file ${code} cannot be read`, { cause });
  }
}

/** Does `call`; with the code when it was given, and again with it when the site says that it is needed and there is somebody to ask. */
export async function withCode<Result>(
  options: CodeOptions,
  call: (code: { code?: string }) => Promise<Result>,
): Promise<Result> {
  if (options.code !== undefined) return call({ code: await readCode(options) });
  try {
    return await call({});
  } catch (error) {
    if (!isCostorError(error, "second-person-needed") || !process.stdin.isTTY) throw error;
  }
  return call({ code: await readCode(options) });
}
