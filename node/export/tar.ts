/**
 * Streams a subtree as a PAX archive that GNU tar and bsdtar extract whole: any names, nanosecond times, large ids and
 * sizes, extended attributes, ACLs, hard links, sparse files, FIFOs and devices. Spec: docs/specs/export.md.
 */
import type { ByteString } from "#protocol/byte-string.ts";
import type { ExtendedAttribute, FileObject, TreeObject } from "#protocol/tree.ts";
import { bounded } from "./archive-chunks.ts";
import type { ExportSource, ExportStart, ExportStream, ExportTotals } from "./export-source.ts";
import { readStoredBytes, storedBytesOf } from "./file-content.ts";
import { LinkTable } from "./link-table.ts";
import { aclKeywordOf, aclTextOf } from "./posix-acl.ts";
import { type SubtreeEntry, pathOfPlace, walkSubtree } from "./subtree-walk.ts";
import {
  type PaxRecord,
  TAR_BLOCK_BYTES,
  type TarHeader,
  encodeTarHeader,
  tarPadding,
  tarTypes,
} from "./tar-header.ts";

export function createTarStream(
  source: ExportSource,
  start: ExportStart,
  options: { readonly signal?: AbortSignal } = {},
): ExportStream {
  const totals: ExportTotals = { entriesCount: 0, archiveBytes: 0 };
  return { chunks: bounded(writeTar(source, start, totals, options.signal), totals), totals };
}

async function* writeTar(
  source: ExportSource,
  start: ExportStart,
  totals: ExportTotals,
  signal: AbortSignal | undefined,
): AsyncGenerator<Buffer, void, void> {
  const links = new LinkTable();
  for await (const entry of walkSubtree(source.tree, start, signal)) {
    totals.entriesCount++;
    const first = links.firstPlaceOf(entry.object, entry.place);
    if (first) {
      yield encodeTarHeader({
        ...headOf(entry),
        type: tarTypes.hardLink,
        linkPath: pathOfPlace(first),
        records: undefined,
      });
    } else if (entry.object.type !== "file") {
      yield encodeTarHeader(headOf(entry));
    } else if (entry.object.extents) {
      yield* writeSparseFile(source, entry, entry.object, signal);
    } else {
      yield* writeFile(source, entry, entry.object, signal);
    }
  }
  yield Buffer.alloc(2 * TAR_BLOCK_BYTES);
}

async function* writeFile(
  source: ExportSource,
  entry: SubtreeEntry,
  file: FileObject,
  signal?: AbortSignal,
): AsyncGenerator<Buffer> {
  yield encodeTarHeader({ ...headOf(entry), dataBytes: file.sizeBytes });
  yield* readStoredBytes(source, file, 0, file.sizeBytes, signal);
  yield tarPadding(file.sizeBytes);
}

/** GNU's sparse format 1.0: the data begins with a map of extents in decimal lines, padded to whole blocks. */
async function* writeSparseFile(
  source: ExportSource,
  entry: SubtreeEntry,
  file: FileObject,
  signal?: AbortSignal,
): AsyncGenerator<Buffer> {
  const map = encodeSparseMap(file);
  const storedBytes = storedBytesOf(file);
  const header = headOf(entry);
  yield encodeTarHeader({
    ...header,
    path: sparsePathOf(entry.path),
    dataBytes: map.length + storedBytes,
    records: [
      { keyword: "GNU.sparse.major", value: "1" },
      { keyword: "GNU.sparse.minor", value: "0" },
      { keyword: "GNU.sparse.name", value: Buffer.from(entry.path, "latin1") },
      { keyword: "GNU.sparse.realsize", value: String(file.sizeBytes) },
      ...(header.records ?? []),
    ],
  });
  yield map;
  yield* readStoredBytes(source, file, 0, storedBytes, signal);
  yield tarPadding(storedBytes);
}

function encodeSparseMap(file: FileObject): Buffer {
  const extents = file.extents ?? [];
  const last = extents.at(-1);
  // A file that ends in a hole gets an empty extent at its end, as GNU tar writes it.
  const endsInHole = (last ? last.offsetBytes + last.lengthBytes : 0) < file.sizeBytes;
  const lines = extents.map((extent) => `${extent.offsetBytes}\n${extent.lengthBytes}\n`);
  if (endsInHole) lines.push(`${file.sizeBytes}\n0\n`);
  const text = Buffer.from(`${lines.length}\n${lines.join("")}`);
  return Buffer.concat([text, tarPadding(text.length)]);
}

/** The path under which a reader that does not know sparse files extracts the map and the data. */
function sparsePathOf(path: ByteString): ByteString {
  const slash = path.lastIndexOf("/") + 1;
  return `${path.slice(0, slash)}GNUSparseFile.0/${path.slice(slash)}` as ByteString;
}

function headOf({ path, object }: SubtreeEntry): TarHeader {
  return {
    path: object.type === "directory" ? (`${path}/` as ByteString) : path,
    type: tarTypes[object.type],
    mode: object.mode,
    uid: object.uid,
    gid: object.gid,
    user: object.user,
    group: object.group,
    mtimeNs: object.mtimeNs,
    dataBytes: 0,
    linkPath: object.type === "symlink" ? object.target : undefined,
    device: object.type === "character" || object.type === "block" ? object : undefined,
    records: object.xattrs?.map(recordOfXattr),
  } satisfies TarHeader & { type: (typeof tarTypes)[TreeObject["type"]] };
}

/** ACLs as text under their own keywords, all other attributes as raw bytes; `%` and `=` in a name are escaped as GNU tar does. */
function recordOfXattr({ name, value }: ExtendedAttribute): PaxRecord {
  const aclKeyword = aclKeywordOf(name);
  const aclText = aclKeyword === undefined ? undefined : aclTextOf(value);
  if (aclKeyword !== undefined && aclText !== undefined) return { keyword: aclKeyword, value: aclText };
  const escaped = name.replaceAll("%", "%25").replaceAll("=", "%3D");
  return { keyword: Buffer.from(`SCHILY.xattr.${escaped}`, "latin1"), value };
}
