/**
 * Streams a subtree as a zip: zip64, UTF-8, Unix modes, symbolic links. Two walks: the first sends the entries and keeps
 * 16 bytes of each; the second walks the trees again, which do not change, and sends the central directory. So the
 * memory for a million entries is 16 MB. What a zip cannot hold is told in a note at its end. Spec: docs/specs/export.md.
 */
import { randomBytes } from "node:crypto";
import { isUtf8 } from "node:buffer";
import { type ByteString, byteStringFromText } from "#protocol/byte-string.ts";
import { limits } from "#protocol/limits.ts";
import type { TreeObject } from "#protocol/tree.ts";
import { bounded } from "./archive-chunks.ts";
import { ExportNote } from "./export-note.ts";
import type { ExportSource, ExportStart, ExportStream, ExportTotals } from "./export-source.ts";
import { readFileBytes } from "./file-content.ts";
import { PackedSizes } from "./packed-sizes.ts";
import { type SubtreeEntry, walkSubtree } from "./subtree-walk.ts";
import { packStream, packWhole } from "./zip-data.ts";
import {
  type ZipData,
  type ZipEntry,
  encodeCentralHeader,
  encodeDescriptor,
  encodeLocalHeader,
  encodeZipEnd,
} from "./zip-records.ts";

const UNIX_TYPES = { file: 0o100000, directory: 0o040000, symlink: 0o120000 } as const;
const NOTE_NAME = "COSTOR-NOTES";
/** Stands for a backslash, which would part directories on Windows: U+29F5, reverse solidus operator. */
const BACKSLASH_STAND_IN = byteStringFromText("\u29f5");

export interface ZipOptions {
  readonly signal?: AbortSignal;
  /** The time that the note carries. */
  readonly nowMs?: number;
  /** Tells the archive's note apart from a file of the same name. */
  readonly noteSuffix?: string;
}

interface ZipMember {
  readonly entry: ZipEntry;
  readonly object: TreeObject;
}

export function createZipStream(source: ExportSource, start: ExportStart, options: ZipOptions = {}): ExportStream {
  const totals: ExportTotals = { entriesCount: 0, archiveBytes: 0 };
  return { chunks: bounded(writeZip(source, start, totals, options), totals), totals };
}

async function* writeZip(
  source: ExportSource,
  start: ExportStart,
  totals: ExportTotals,
  options: ZipOptions,
): AsyncGenerator<Buffer, void, void> {
  const { signal } = options;
  const sizes = new PackedSizes();
  const note = new ExportNote();
  let offsetBytes = 0;
  let isNoteNameTaken = false;
  for await (const { entry, object } of zipMembers(source, start, note, signal)) {
    isNoteNameTaken ||= entry.name.startsWith(NOTE_NAME);
    const data = yield* writeEntry(source, entry, object, signal);
    sizes.add(data);
    totals.entriesCount++;
    offsetBytes += archivedBytesOf(entry, data);
  }

  const noteText = note.text();
  let noteRecord: Buffer = Buffer.alloc(0);
  if (noteText !== undefined) {
    const suffix = isNoteNameTaken ? `-${options.noteSuffix ?? randomBytes(4).toString("hex")}` : "";
    const { entry, plain } = noteEntry(noteText, suffix, options.nowMs ?? Date.now());
    const { data, bytes } = await packWhole(plain);
    noteRecord = encodeCentralHeader(entry, data, offsetBytes);
    yield encodeLocalHeader(entry, data);
    yield bytes;
    totals.entriesCount++;
    offsetBytes += archivedBytesOf(entry, data);
  }

  let directoryBytes = 0;
  let entryOffsetBytes = 0;
  const known = sizes.all();
  for await (const { entry } of zipMembers(source, start, undefined, signal)) {
    const data = known.next().value!;
    const record = encodeCentralHeader(entry, data, entryOffsetBytes);
    yield record;
    directoryBytes += record.length;
    entryOffsetBytes += archivedBytesOf(entry, data);
  }
  yield noteRecord;
  yield encodeZipEnd(totals.entriesCount, directoryBytes + noteRecord.length, offsetBytes);
}

/** Bytes from the entry's local header to the next one's. */
function archivedBytesOf(entry: ZipEntry, data: ZipData): number {
  const descriptorBytes = data.hasDescriptor ? encodeDescriptor(entry, data).length : 0;
  return encodeLocalHeader(entry, data).length + data.packedBytes + descriptorBytes;
}

async function* writeEntry(
  source: ExportSource,
  entry: ZipEntry,
  object: TreeObject,
  signal?: AbortSignal,
): AsyncGenerator<Buffer, ZipData, void> {
  if (object.type === "file" && object.sizeBytes > limits.smallFileBytes) {
    yield encodeLocalHeader(entry, { method: 8, hasDescriptor: true, crc32: 0, packedBytes: 0 });
    const data = yield* packStream(readFileBytes(source, object, 0, object.sizeBytes, signal));
    yield encodeDescriptor(entry, data);
    return data;
  }
  const plain: Buffer[] = [];
  if (object.type === "symlink") plain.push(Buffer.from(object.target, "latin1"));
  if (object.type === "file")
    for await (const piece of readFileBytes(source, object, 0, object.sizeBytes, signal)) plain.push(piece);
  const { data, bytes } = await packWhole(plain.length === 1 ? plain[0]! : Buffer.concat(plain));
  yield encodeLocalHeader(entry, data);
  yield bytes;
  return data;
}

/** What the zip holds, in order, the same at each call; tells `note` what it leaves out or alters. */
async function* zipMembers(
  source: ExportSource,
  start: ExportStart,
  note: ExportNote | undefined,
  signal?: AbortSignal,
): AsyncGenerator<ZipMember, void, void> {
  for await (const { path, object } of walkSubtree(source.tree, start, signal)) {
    if (object.type !== "file" && object.type !== "directory" && object.type !== "symlink") {
      note?.add(path, object.type === "fifo" ? "left out, a named pipe" : "left out, a device");
      continue;
    }
    const name = zipNameOf(path, object);
    if (name.length > limits.exportZipPathBytes) {
      note?.add(path, "left out, the path is too long");
      continue;
    }
    if (note) tellAlterations(note, { path, object });
    const plainBytes = object.type === "file" ? object.sizeBytes : object.type === "symlink" ? object.target.length : 0;
    const { uid, gid, mtimeNs } = object;
    yield { entry: { name, unixMode: UNIX_TYPES[object.type] | object.mode, uid, gid, mtimeNs, plainBytes }, object };
  }
}

function zipNameOf(path: ByteString, object: TreeObject): ByteString {
  return (path.replaceAll("\\", BACKSLASH_STAND_IN) + (object.type === "directory" ? "/" : "")) as ByteString;
}

function tellAlterations(note: ExportNote, { path, object }: Pick<SubtreeEntry, "path" | "object">): void {
  if (object.name.includes("\\")) note.add(path, "renamed, each backslash became \u29f5");
  if (!isUtf8(Buffer.from(object.name, "latin1"))) note.add(path, "the name is not UTF-8 and may look wrong");
  if (object.linkGroup) note.add(path, "a hard link, here as a file of its own");
  if (object.type === "file" && object.changed) note.add(path, "changed while it was backed up");
}

function noteEntry(text: string, suffix: string, nowMs: number): { entry: ZipEntry; plain: Buffer } {
  const plain = Buffer.from(text);
  const name = byteStringFromText(`${NOTE_NAME}${suffix}.txt`);
  const mtimeNs = BigInt(nowMs) * 1_000_000n;
  return {
    plain,
    entry: { name, unixMode: UNIX_TYPES.file | 0o644, uid: 0, gid: 0, mtimeNs, plainBytes: plain.length },
  };
}
