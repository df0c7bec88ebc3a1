/** What commands take that restore without the machine's own site. */
import { type Command, Option } from "commander";
import type { OverwriteMode } from "#agent/files/overwrite.ts";
import { pathOfArgument } from "#agent/cli/path-argument.ts";
import type { ByteString } from "#protocol/byte-string.ts";
import { CostorError } from "#protocol/errors.ts";

interface Options {
  readonly agent?: string;
  readonly snapshot?: string;
  readonly path?: string[];
  readonly list?: true;
  readonly recursive?: true;
  readonly target?: string;
  readonly overwrite: OverwriteMode;
  readonly verify?: true;
  readonly tar?: string;
  readonly zip?: string;
  readonly json?: true;
}

/** What is to be done; a file of "-" is stdout. */
export type RescueAction =
  | { readonly does: "list"; readonly isRecursive: boolean }
  | { readonly does: "restore"; readonly to: ByteString; readonly overwrite: OverwriteMode; readonly verify: boolean }
  | { readonly does: "archive"; readonly format: "tar" | "zip"; readonly file: string };

export interface RescueRequest {
  /** Its name, host name, id or the beginning of one. */
  readonly agent: string | undefined;
  /** An id, the beginning of one, or latest. */
  readonly snapshot: string | undefined;
  /** As they were on the machine; none: everything. */
  readonly paths: readonly ByteString[];
  readonly action: RescueAction;
  readonly json: boolean;
}

export function addRescueOptions(command: Command): Command {
  const overwrite = new Option("--overwrite <mode>", "what to do with files that exist")
    .choices(["never", "if-changed", "if-newer", "always"])
    .default("never");
  return command
    .option("--agent <machine>", "the machine: its name or id; needed when the site has several")
    .option("--snapshot <id>", "a snapshot's id, the beginning of one, or latest (default: latest)")
    .option("--path <path...>", "only these, as they were on the machine")
    .option("--list", "show what is there and restore nothing: machines, snapshots, or a directory; the default")
    .option("-r, --recursive", "with --list: with all that lies below")
    .option("--target <dir>", "restore below this directory, as it was below /")
    .addOption(overwrite)
    .option("--verify", "read back and compare every file that is restored")
    .option("--tar <file>", "write a tar; - for stdout")
    .option("--zip <file>", "write a zip; - for stdout")
    .option("--json", "print JSON");
}

/** Throws `bad-usage`. */
export function requestOf(options: Options): RescueRequest {
  const paths = (options.path ?? []).map(pathOfArgument);
  const action = actionOf(options);
  if (action.does !== "restore" && paths.length > 1)
    throw new CostorError("bad-usage", "one --path is taken here; several need --target");
  return { agent: options.agent, snapshot: options.snapshot, paths, action, json: options.json === true };
}

function actionOf({ list, recursive, target, overwrite, verify, tar, zip }: Options): RescueAction {
  const given = [list && "--list", target && "--target", tar && "--tar", zip && "--zip"].filter(Boolean);
  if (given.length > 1) throw new CostorError("bad-usage", `${given.join(" and ")}: one of them at a time`);
  if (target !== undefined) return { does: "restore", to: pathOfArgument(target), overwrite, verify: verify === true };
  if (tar !== undefined) return { does: "archive", format: "tar", file: tar };
  if (zip !== undefined) return { does: "archive", format: "zip", file: zip };
  return { does: "list", isRecursive: recursive === true };
}
