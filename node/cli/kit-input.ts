/**
 * The recovery kit, as a command gets it: the kit's file, a file with its 24 words, standard input, words typed on the terminal, or shares
 * of it in files or typed. What comes out exists in this process only; disposing of it overwrites the root.
 */
import type { Command } from "commander";
import type { SiteId } from "#protocol/ids.ts";
import type { KitFederation } from "#protocol/kit.ts";

export interface KitOptions {
  readonly kit?: string;
  /** Files; true when they are typed. */
  readonly share?: readonly string[] | true;
  readonly siteId?: string;
}

/** A kit that somebody has. */
export interface GivenKit extends Disposable {
  /** 32 bytes: everything. Never logged, never kept. */
  readonly kitRoot: Uint8Array;
  readonly siteId: SiteId;
  /** A file tells it, words alone do not. */
  readonly siteName?: string;
  /** As of when the file was written. */
  readonly federation?: KitFederation;
}

export interface ReadingInit {
  /** Words of a kit that replaced an earlier one do not tell it: whoever types them is asked. */
  readonly needsSiteId?: true;
}

export const addKitOptions = (command: Command): Command =>
  addShareOption(
    command.option("--kit <file>", "the kit's file, or - for standard input; without it the words are asked for"),
  );

export const addShareOption = (command: Command): Command =>
  command
    .option(
      "--site-id <id>",
      "the site's id as it stands on the page, with words of a kit, or of shares, that replaced an earlier one",
    )
    .option(
      "--share [file...]",
      "files of shares, instead of the kit; without a file the words of shares are asked for",
    );

/** Throws `kit-invalid`, `bad-id`, and `bad-usage` where there is nobody to ask. */
export async function readGivenKit(options: KitOptions, init: ReadingInit = {}): Promise<GivenKit> {
  // Lists of words and the like, which no other command needs.
  const { readGiven } = await import("./given-kit.ts");
  return readGiven(options, init);
}
