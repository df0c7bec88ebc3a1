/**
 * Brings the content of one file to its place: in one piece with others of its prime, or part by part into an open file.
 * Compares a file that is there in the same way.
 */
import type { TreeReader } from "#protocol/tree-reader.ts";
import type { FileObject } from "#protocol/tree.ts";
import type { PlacePolicy } from "#agent/files/attributes.ts";
import type { Directory } from "#agent/files/directory.ts";
import { ExtentMap, NewFile, type ObjectIdentity, type Replacing } from "#agent/files/new-file.ts";
import { checkHoles } from "./content-check.ts";
import { type Failure, type FileOutcome, type PartWrite, describeFailure } from "./place-messages.ts";
import type { PrimeGroups } from "./prime-groups.ts";

export interface FilePlacing {
  readonly object: FileObject;
  /** Stays open until `onDone` is called. */
  readonly directory: Directory;
  readonly replacing: Replacing;
  /** Told of the bytes of a large file as they are written. */
  readonly onBytes: (bytes: number) => void;
}

/** Starts placing a file; `onDone` is called once, perhaps at once. Waits for room. */
export async function placeFile(
  components: { groups: PrimeGroups; reader: TreeReader },
  policy: PlacePolicy,
  placing: FilePlacing,
  onDone: (outcome: FileOutcome) => void,
): Promise<void> {
  const { object, directory, replacing } = placing;
  const { name, content } = object;
  const single = "slices" in content && content.slices.length === 1 && !object.extents ? content.slices[0] : undefined;
  if (single) {
    const file = {
      directoryFd: directory.fd,
      name,
      attributes: attributesOf(object),
      replacing,
      ...single,
      prime: undefined,
    };
    components.groups.addFile(single.prime, file, onDone);
    return components.groups.room();
  }
  await placeParts(components, policy, placing, onDone);
}

/** Only what a worker needs, so that messages stay small. */
function attributesOf(
  object: FileObject,
): Pick<FileObject, "mode" | "uid" | "gid" | "user" | "group" | "mtimeNs" | "xattrs"> {
  const { mode, uid, gid, user, group, mtimeNs, xattrs } = object;
  return { mode, uid, gid, user, group, mtimeNs, xattrs };
}

async function placeParts(
  components: { groups: PrimeGroups; reader: TreeReader },
  policy: PlacePolicy,
  { object, directory, replacing, onBytes }: FilePlacing,
  onDone: (outcome: FileOutcome) => void,
): Promise<void> {
  let file: NewFile;
  try {
    file = new NewFile(directory);
  } catch (error) {
    return onDone({ failure: describeFailure(error), notes: [] });
  }
  await eachPart(components, object, { fd: file.fd, isThere: false }, onBytes, (failure) =>
    onDone(finishParts(file, object, failure, policy, replacing)),
  );
}

/**
 * Compares the file that is open as `fd` with the snapshot's; `onDone` is called once, with a failure when it is another.
 * Waits for room.
 */
export async function checkFile(
  components: { groups: PrimeGroups; reader: TreeReader },
  { object, fd, onBytes }: { object: FileObject; fd: number; onBytes: (bytes: number) => void },
  onDone: (failure: Failure | undefined) => void,
): Promise<void> {
  try {
    if (object.extents) await checkHoles(fd, object.sizeBytes, object.extents);
  } catch (error) {
    return onDone(describeFailure(error));
  }
  await eachPart(components, object, { fd, isThere: true }, onBytes, onDone);
}

/** Has the workers write each part of a file's content to `fd`, or compare it; `onDone` is called once, after the last. */
async function eachPart(
  components: { groups: PrimeGroups; reader: TreeReader },
  object: FileObject,
  target: Pick<PartWrite, "fd" | "isThere">,
  onBytes: (bytes: number) => void,
  onDone: (failure: Failure | undefined) => void,
): Promise<void> {
  let pendingCount = 1;
  let failure: Failure | undefined;
  const release = (): void => {
    if (--pendingCount === 0) onDone(failure);
  };
  try {
    const extents = new ExtentMap(object.extents ?? [{ offsetBytes: 0, lengthBytes: object.sizeBytes }]);
    let contentAt = 0;
    for await (const slice of components.reader.content(object.content)) {
      for (const range of extents.ranges(contentAt, slice.lengthBytes)) {
        pendingCount++;
        const write = {
          ...target,
          offsetBytes: slice.offsetBytes + range.contentOffsetBytes - contentAt,
          lengthBytes: range.lengthBytes,
          fileOffsetBytes: range.fileOffsetBytes,
        };
        components.groups.addWrite(slice.prime, write, (outcome) => {
          failure ??= outcome.failure;
          onBytes(range.lengthBytes);
          release();
        });
      }
      contentAt += slice.lengthBytes;
      await components.groups.room();
    }
    if (contentAt !== extents.contentBytes)
      failure ??= { code: "tree-invalid", message: "the content's length is not the file's" };
  } catch (error) {
    failure ??= describeFailure(error);
    if (failure.code === "interrupted" || failure.code === "site-unreachable") throw error;
  } finally {
    release();
  }
}

function finishParts(
  file: NewFile,
  object: FileObject,
  failure: Failure | undefined,
  policy: PlacePolicy,
  replacing: Replacing,
): FileOutcome {
  const notes: { kind: string; message: string }[] = [];
  using made = file;
  if (failure) return { failure, notes };
  try {
    const identity: ObjectIdentity = made.finish(object.name, object.sizeBytes, object, policy, replacing, (note) =>
      notes.push({ kind: note.kind, message: note.error?.message ?? "not allowed" }),
    );
    return { identity, notes };
  } catch (error) {
    return { failure: describeFailure(error), notes };
  }
}
