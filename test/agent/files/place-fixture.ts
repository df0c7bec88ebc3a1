/** What the tests of placing share: a scratch directory, plain attributes, a file of text. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { type ByteString, byteStringFromText } from "#protocol/byte-string.ts";
import type { PlaceNote, PlacePolicy } from "#agent/files/attributes.ts";
import type { Directory } from "#agent/files/directory.ts";
import { NewFile, type Replacing } from "#agent/files/new-file.ts";
import { OsError } from "#agent/files/os-error.ts";
import { openRoot } from "#agent/files/root-path.ts";
import { scratchDirectory } from "#test/support/scratch.ts";
import { exactPolicy } from "./copy-tree.ts";

export const isRoot = process.geteuid!() === 0;
export const name = byteStringFromText;

export const attributes = {
  mode: 0o640,
  uid: process.geteuid!(),
  gid: process.getegid!(),
  mtimeNs: 1_234_567_890_123_456_789n,
};

export interface ScratchPlace {
  readonly path: string;
  readonly at: (...parts: string[]) => string;
  readonly directory: Directory;
}

export async function scratchPlace(): Promise<ScratchPlace> {
  const path = await scratchDirectory("place");
  return { path, at: (...parts) => join(path, ...parts), directory: openRoot(name(path)) };
}

export const fails = (action: () => unknown, code: string): void =>
  assert.throws(action, (error) => error instanceof OsError && error.code === code);

export interface FileInit {
  readonly attributes?: typeof attributes & { xattrs?: { name: ByteString; value: Buffer }[] };
  readonly policy?: PlacePolicy;
  readonly replacing?: Replacing;
}

export function placeText(directory: Directory, as: string, text: string, init: FileInit = {}): PlaceNote[] {
  const notes: PlaceNote[] = [];
  const { policy = exactPolicy, replacing = "never" } = init;
  using file = new NewFile(directory);
  file.write(Buffer.from(text), 0);
  file.finish(name(as), text.length, init.attributes ?? attributes, policy, replacing, (note) => void notes.push(note));
  return notes;
}

export const refuseNote = (note: PlaceNote): never => assert.fail(`${note.kind}: ${note.error?.message}`);
