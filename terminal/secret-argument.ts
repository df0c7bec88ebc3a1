/** Secrets that commands take: every program on the machine may read the arguments of all processes, so they can come from standard input. */
import { CostorError } from "#protocol/errors.ts";
import { limits } from "#protocol/limits.ts";

/** What was given; with `-` the first line of standard input. Throws `bad-usage` for one that is longer than any token or invitation. */
export async function readSecretArgument(argument: string): Promise<string> {
  if (argument !== "-") return argument;
  let text = "";
  for await (const piece of process.stdin.setEncoding("utf8")) {
    text += piece as string;
    if (text.trimStart().includes("\n")) break;
    if (text.length > limits.invitationCharacters)
      throw new CostorError("bad-usage", "what came by standard input is too long for a token or an invitation");
  }
  return text.trim().split("\n", 1)[0]!.trim();
}
