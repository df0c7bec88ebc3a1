/** How the agent's commands show names, objects and times. */
import { type ByteString, byteStringToBytes, displayName } from "#protocol/byte-string.ts";
import type { SnapshotSummary } from "#protocol/http.ts";
import type { ObjectType, TreeObject } from "#protocol/tree.ts";

/** A path in JSON: as text, and where it is not UTF-8 also its exact bytes. */
export function pathForJson(path: ByteString): { path: string; pathBase64?: string } {
  const bytes = byteStringToBytes(path);
  const text = bytes.toString("utf8");
  return Buffer.from(text, "utf8").equals(bytes)
    ? { path: text }
    : { path: displayName(path), pathBase64: bytes.toString("base64") };
}

/** Enough of an id to name its snapshot: the milliseconds of its making. */
export const shortId = (id: string): string => id.slice(0, 13);

/** `2026-11-23 22:01:00`, in the machine's time zone. */
export function formatTime(timeMs: number): string {
  const date = new Date(timeMs);
  if (Number.isNaN(date.getTime())) return "?";
  const two = (value: number): string => String(value).padStart(2, "0");
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

export const formatTimeNs = (timeNs: bigint): string => formatTime(Number(timeNs / 1_000_000n));

const TYPE_LETTERS: Readonly<Record<ObjectType, string>> = {
  file: "-",
  directory: "d",
  symlink: "l",
  fifo: "p",
  character: "c",
  block: "b",
};

/** `drwxr-xr-x`, as ls shows it. */
export function formatMode(type: ObjectType, mode: number): string {
  const letters = [..."rwxrwxrwx"].map((letter, index) => (mode & (0o400 >> index) ? letter : "-"));
  const special = (bit: number, at: number, letter: string): void => {
    if (mode & bit) letters[at] = letters[at] === "x" ? letter : letter.toUpperCase();
  };
  special(0o4000, 2, "s");
  special(0o2000, 5, "s");
  special(0o1000, 8, "t");
  return TYPE_LETTERS[type] + letters.join("");
}

export function objectForJson(path: ByteString, object: TreeObject): Record<string, unknown> {
  return {
    ...pathForJson(path),
    type: object.type,
    mode: object.mode,
    uid: object.uid,
    gid: object.gid,
    user: object.user,
    group: object.group,
    mtimeNs: object.mtimeNs,
    ...(object.type === "file" ? { sizeBytes: object.sizeBytes, ...(object.changed ? { changed: true } : {}) } : {}),
    ...(object.type === "symlink" ? { target: pathForJson(object.target).path } : {}),
    ...("major" in object ? { major: object.major, minor: object.minor } : {}),
    ...(object.xattrs?.length ? { xattrs: object.xattrs.map((xattr) => pathForJson(xattr.name).path) } : {}),
  };
}

export const rootsOf = (snapshot: SnapshotSummary): ByteString[] =>
  snapshot.roots.map((root) => Buffer.from(root, "base64").toString("latin1") as ByteString);

export function snapshotForJson(snapshot: SnapshotSummary): Record<string, unknown> {
  const { roots: _, startedMs, receivedMs, unreadableCount, ...facts } = snapshot;
  return {
    ...facts,
    roots: rootsOf(snapshot).map((root) => pathForJson(root).path),
    started: new Date(startedMs).toISOString(),
    received: new Date(receivedMs).toISOString(),
    unreadableCount,
    isPartial: unreadableCount > 0,
  };
}

/** Writes a JSON array item by item, however long it gets. */
export class JsonArrayWriter {
  private count = 0;

  add(value: unknown): void {
    const text = JSON.stringify(value, (_key, part: unknown) => (typeof part === "bigint" ? String(part) : part));
    process.stdout.write(`${this.count++ === 0 ? "[" : ",\n"}${text}`);
  }

  end(): void {
    process.stdout.write(this.count === 0 ? "[]\n" : "]\n");
  }
}
