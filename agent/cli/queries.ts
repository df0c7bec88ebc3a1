/** `costor agent snapshots`, `ls`, `find`, `versions` and `diff`. */
import { diffTrees, type DifferenceKind, type OnDamage } from "#protocol/tree-diff.ts";
import { findObjects, type FoundPath } from "#agent/query/find-objects.ts";
import { listPath } from "#agent/query/list-directory.ts";
import { parseNamePattern } from "#agent/query/name-pattern.ts";
import type { SnapshotTree } from "#agent/query/snapshot-tree.ts";
import { listVersions } from "#agent/query/versions.ts";
import { type ByteString, byteStringFromText, displayName } from "#protocol/byte-string.ts";
import { CostorError } from "#protocol/errors.ts";
import type { SnapshotSummary } from "#protocol/http.ts";
import type { TreeObject } from "#protocol/tree.ts";
import type { TreeReader } from "#protocol/tree-reader.ts";
import { exitCodes } from "#terminal/exit-codes.ts";
import { printJson, printLine, printTable, withoutEscapes } from "#terminal/output.ts";
import { formatBytes, formatCount, formatCountOf } from "#terminal/quantities.ts";
import { openQueries } from "./open-agent.ts";
import {
  formatMode,
  formatTime,
  formatTimeNs,
  JsonArrayWriter,
  objectForJson,
  pathForJson,
  rootsOf,
  shortId,
  snapshotForJson,
} from "./presentation.ts";

export interface QueryInit {
  readonly configFile: string;
  readonly json: boolean;
  readonly signal: AbortSignal;
}

export async function showSnapshots(init: QueryInit): Promise<void> {
  await using queries = await openQueries(init.configFile, init.signal);
  printSnapshots(await queries.snapshots(), init);
}

export function printSnapshots(snapshots: readonly SnapshotSummary[], { json }: { json: boolean }): void {
  if (json) return printJson(snapshots.map(snapshotForJson));
  printTable(snapshots, [
    { title: "SNAPSHOT", text: (snapshot) => snapshot.id },
    { title: "STARTED", text: (snapshot) => formatTime(snapshot.startedMs) },
    { title: "FILES", align: "right", text: (snapshot) => formatCount(snapshot.filesCount) },
    { title: "BYTES", align: "right", text: (snapshot) => formatBytes(snapshot.bytes) },
    {
      title: "UNREAD",
      align: "right",
      text: (snapshot) => (snapshot.unreadableCount > 0 ? formatCount(snapshot.unreadableCount) : ""),
    },
    ...(snapshots.some(({ copies }) => copies !== undefined) ? [{ title: "STATE", text: stateOf }] : []),
    {
      title: "ROOTS",
      text: (snapshot) =>
        rootsOf(snapshot)
          .map((root) => displayName(root))
          .join(" "),
    },
  ]);
}

/** Stored: durable at the site. Safe: at enough other sites as well. */
const stateOf = ({ copies = { count: 0, isSafe: false } }: SnapshotSummary): string =>
  `${copies.isSafe ? "safe" : "stored"}, ${formatCount(copies.count)} elsewhere`;

export async function showListing(
  init: QueryInit,
  snapshot: string,
  path: ByteString,
  isRecursive: boolean,
): Promise<void> {
  await using queries = await openQueries(init.configFile, init.signal);
  await printListing(queries.reader, await queries.tree(await queries.choose(snapshot)), {
    ...init,
    path,
    isRecursive,
  });
}

export interface ListingInit extends Omit<QueryInit, "configFile"> {
  readonly path: ByteString;
  readonly isRecursive: boolean;
}

export async function printListing(reader: TreeReader, tree: SnapshotTree, init: ListingInit): Promise<void> {
  const { path, isRecursive } = init;
  const array = init.json ? new JsonArrayWriter() : undefined;
  for await (const listed of listPath(reader, tree, path, isRecursive, damageTold(init))) {
    init.signal.throwIfAborted();
    if (array) array.add(objectForJson(listed.path, listed.object));
    else printLine(describeObject(isRecursive ? listed.path : listed.object.name, listed.object));
  }
  array?.end();
}

/** Tells what could not be read; the command goes on and ends as partly done. */
function damageTold({ json }: Pick<QueryInit, "json">): OnDamage {
  return (path, { code, message }) => {
    process.exitCode = exitCodes.partial;
    const text = json
      ? JSON.stringify({ unread: { ...pathForJson(path), code, message } })
      : `not read: ${displayName(path)}: ${withoutEscapes(message)}`;
    process.stderr.write(`${text}\n`);
  };
}

function describeObject(name: ByteString, object: TreeObject): string {
  const owner = `${ownerName(object.user, object.uid)} ${ownerName(object.group, object.gid)}`.padEnd(16);
  const size =
    object.type === "file" ? String(object.sizeBytes) : "major" in object ? `${object.major}, ${object.minor}` : "";
  const target = object.type === "symlink" ? ` -> ${displayName(object.target)}` : "";
  const mark = object.type === "file" && object.changed ? " (changed while it was read)" : "";
  return `${formatMode(object.type, object.mode)} ${owner} ${size.padStart(12)} ${formatTimeNs(object.mtimeNs)} ${displayName(name)}${target}${mark}`;
}

/** By name where the machine of the backup knew one; that text is as foreign as a file's name. */
const ownerName = (name: string | undefined, id: number): string =>
  name === undefined ? String(id) : displayName(byteStringFromText(name));

export interface FindInit extends QueryInit {
  readonly pattern: string;
  readonly isRegex: boolean;
  readonly ignoresCase: boolean;
}

export async function showFound(init: FindInit): Promise<void> {
  const pattern = parseNamePattern(init.pattern, init);
  await using queries = await openQueries(init.configFile, init.signal);
  const trees = await queries.trees();
  const found = await findObjects(queries.reader, trees, pattern, { signal: init.signal });
  if (init.json) return printJson(found.map((one) => foundForJson(one, trees)));
  if (found.length === 0) return printLine(`No name in ${formatCountOf(trees.length, "snapshot")} matches.`);
  printTable(found, [
    { title: "PATH", text: ({ path, type }) => displayName(path) + (type === "directory" ? "/" : "") },
    {
      title: "BYTES",
      align: "right",
      text: ({ sizeBytes }) => (sizeBytes === undefined ? "" : formatBytes(sizeBytes)),
    },
    { title: "SNAPSHOTS", text: ({ ranges }) => ranges.map((range) => describeRange(range, trees)).join(", ") },
  ]);
}

function describeRange({ first, last }: { first: number; last: number }, trees: readonly SnapshotTree[]): string {
  const of = (index: number): string =>
    `${shortId(trees[index]!.id)} (${formatTime(trees[index]!.startedMs).slice(0, 16)})`;
  return first === last ? of(first) : `${of(first)} to ${of(last)}`;
}

function foundForJson(found: FoundPath, trees: readonly SnapshotTree[]): Record<string, unknown> {
  const { path, ranges, ...facts } = found;
  const snapshots = ranges.map(({ first, last }) => ({
    first: trees[first]!.id,
    last: trees[last]!.id,
    count: last - first + 1,
  }));
  return { ...pathForJson(path), ...facts, snapshots };
}

export async function showVersions(init: QueryInit, path: ByteString): Promise<void> {
  await using queries = await openQueries(init.configFile, init.signal);
  const trees = await queries.trees();
  const versions = await listVersions(queries, trees, path, init.signal);
  if (versions.length === 0) throw new CostorError("path-unknown", `no snapshot holds ${displayName(path)}`);
  if (init.json) {
    const list = versions.map(({ object, first, last, snapshotsCount }) => ({
      ...objectForJson(path, object),
      firstSnapshot: trees[first]!.id,
      lastSnapshot: trees[last]!.id,
      snapshotsCount,
    }));
    return printJson(list);
  }
  printTable(versions, [
    { title: "FIRST IN", text: ({ first }) => describeRange({ first, last: first }, trees) },
    { title: "LAST IN", text: ({ last }) => describeRange({ first: last, last }, trees) },
    { title: "SNAPSHOTS", align: "right", text: ({ snapshotsCount }) => formatCount(snapshotsCount) },
    { title: "MODIFIED", text: ({ object }) => formatTimeNs(object.mtimeNs) },
    {
      title: "BYTES",
      align: "right",
      text: ({ object }) => (object.type === "file" ? formatBytes(object.sizeBytes) : object.type),
    },
  ]);
}

const MARKS: Readonly<Record<DifferenceKind, string>> = { added: "+", removed: "-", changed: "M", metadata: "U" };

export async function showDifferences(init: QueryInit, before: string, after: string): Promise<void> {
  await using queries = await openQueries(init.configFile, init.signal);
  const [older, newer] = [
    await queries.tree(await queries.choose(before)),
    await queries.tree(await queries.choose(after)),
  ];
  const counts: Record<DifferenceKind, number> = { added: 0, removed: 0, changed: 0, metadata: 0 };
  const array = init.json ? new JsonArrayWriter() : undefined;
  const differences = diffTrees(queries, older.root, newer.root, { onDamage: damageTold(init), signal: init.signal });
  for await (const { kind, path, before: was, after: is } of differences) {
    counts[kind]++;
    if (array)
      array.add({
        kind,
        ...pathForJson(path),
        ...(was ? { before: objectForJson(path, was) } : {}),
        ...(is ? { after: objectForJson(path, is) } : {}),
      });
    else printLine(`${MARKS[kind]} ${displayName(path)}${(is ?? was)!.type === "directory" ? "/" : ""}`);
  }
  array?.end();
  if (!array)
    printLine(
      `${formatCount(counts.added)} added, ${formatCount(counts.removed)} removed, ${formatCount(counts.changed)} changed, ${formatCount(counts.metadata)} with other attributes only.`,
    );
}
