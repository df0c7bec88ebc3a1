/**
 * That the fact `takeover` is in the store, once more beside the store: an empty file, `site/after-takeover`. So a store that is lost meanwhile is
 * filled again by what others keep, and not by what the former logs say. It may be there a while longer than the fact.
 */
import { existsSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { replaceDurably, syncDirectory } from "./durable-file.ts";

const pathOf = (siteDirectory: string): string => join(siteDirectory, "after-takeover");

export const hasTakeoverMark = (siteDirectory: string): boolean => existsSync(pathOf(siteDirectory));

/** Durable when it resolves. */
export async function keepTakeoverMark(siteDirectory: string, isOpen: boolean): Promise<void> {
  if (isOpen === hasTakeoverMark(siteDirectory)) return;
  if (isOpen) return replaceDurably(pathOf(siteDirectory), new Uint8Array());
  await rm(pathOf(siteDirectory), { force: true });
  await syncDirectory(siteDirectory);
}
