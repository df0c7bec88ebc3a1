/**
 * Puts owner, extended attributes, mode and times on an object that a descriptor names, in this order: a change of owner
 * clears setuid bits and capabilities, a mode may take away the right to set attributes, and everything changes times.
 *
 * What the system refuses becomes a note: the object is there, and the person learns what it lacks.
 */
import type { FileAttributes } from "#protocol/tree.ts";
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  EMPTY_STRING,
  UNCHANGED_ID,
  UTIME_OMIT,
  allocate,
  cString,
  errno,
  libc,
} from "./libc.ts";
import { OsError, isOsError } from "./os-error.ts";
import { groupNumber, userNumber } from "./owner-names.ts";
import { type XattrHolder, listXattrs, removeXattr, setXattr } from "./xattrs.ts";

/** What a restore may put on this machine. */
export interface PlacePolicy {
  /** Whose numbers: the snapshot's, or this machine's for the same names (else the snapshot's). */
  readonly owners: "numbers" | "names";
  /** Setuid and setgid bits and file capabilities. */
  readonly allowsPrivileges: boolean;
  readonly allowsDevices: boolean;
}

export type NoteKind = "owner" | "privileges" | "xattr" | "mode" | "times";

/** Something of an object that could not be restored although the object was. */
export interface PlaceNote {
  readonly kind: NoteKind;
  readonly error?: OsError;
}

export type OnNote = (note: PlaceNote) => void;

const SETUID = 0o4000;
const SETGID = 0o2000;
const CAPABILITY = "security.capability";

const times = allocate(64);

export interface PlaceTarget extends XattrHolder {
  /** Symlinks have no mode of their own. */
  readonly isSymlink?: boolean;
}

export function applyAttributes(
  target: PlaceTarget,
  attributes: FileAttributes,
  policy: PlacePolicy,
  onNote: OnNote,
): void {
  const owned = applyOwner(target, attributes, policy, onNote);
  applyXattrs(target, attributes, policy, onNote);
  if (!target.isSymlink) applyMode(target, attributes, policy, owned, onNote);
  applyMtime(target, attributes.mtimeNs, onNote);
}

interface Owned {
  readonly user: boolean;
  readonly group: boolean;
}

function applyOwner(target: PlaceTarget, attributes: FileAttributes, policy: PlacePolicy, onNote: OnNote): Owned {
  const { uid, gid } = wantedOwner(attributes, policy);
  if (changeOwner(target.fd, uid, gid) === undefined) return { user: true, group: true };
  // Without root the group alone may still be given, to one of the user's own.
  const groupFailure = changeOwner(target.fd, UNCHANGED_ID, gid);
  const userFailure = changeOwner(target.fd, uid, UNCHANGED_ID);
  const error = userFailure ?? groupFailure;
  if (error !== undefined) onNote({ kind: "owner", error });
  return { user: userFailure === undefined, group: groupFailure === undefined };
}

export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** Whose an object is to be by the policy. */
export function wantedOwner(attributes: FileAttributes, policy: PlacePolicy): Owner {
  const byName = policy.owners === "names";
  return {
    uid: (byName && attributes.user !== undefined ? userNumber(attributes.user) : undefined) ?? attributes.uid,
    gid: (byName && attributes.group !== undefined ? groupNumber(attributes.group) : undefined) ?? attributes.gid,
  };
}

function changeOwner(fd: number, uid: number, gid: number): OsError | undefined {
  return libc.fchownat(fd, EMPTY_STRING, uid, gid, AT_EMPTY_PATH) === 0 ? undefined : new OsError("fchownat", errno());
}

/** Sets the attributes and takes away those that the object has inherited from its directory (default ACLs). */
function applyXattrs(target: PlaceTarget, attributes: FileAttributes, policy: PlacePolicy, onNote: OnNote): void {
  const wanted = attributes.xattrs ?? [];
  const attempt = (action: () => void): void => {
    try {
      action();
    } catch (error) {
      if (!isOsError(error)) throw error;
      onNote({ kind: "xattr", error });
    }
  };
  attempt(() => {
    for (const name of listXattrs(target)) {
      // Labels that a security module gives to every object are not ours to take away.
      const isLabel = name.startsWith("security.") && name !== CAPABILITY;
      if (!isLabel && !wanted.some((xattr) => xattr.name === name)) attempt(() => removeXattr(target, name));
    }
  });
  for (const { name, value } of wanted) {
    if (name === CAPABILITY && !policy.allowsPrivileges) onNote({ kind: "privileges" });
    else attempt(() => setXattr(target, name, value));
  }
}

/** A setuid bit goes only on a file that has its own owner back: anybody else's would give that one's rights away. */
function applyMode(
  target: PlaceTarget,
  attributes: FileAttributes,
  policy: PlacePolicy,
  owned: Owned,
  onNote: OnNote,
): void {
  let mode = attributes.mode;
  if (!policy.allowsPrivileges || !owned.user) mode &= ~SETUID;
  if (!policy.allowsPrivileges || !owned.group) mode &= ~SETGID;
  if (mode !== attributes.mode) onNote({ kind: "privileges" });
  const result = target.isPathOnly
    ? libc.chmod(cString(`/proc/self/fd/${target.fd}`), mode)
    : libc.fchmod(target.fd, mode);
  if (result < 0) onNote({ kind: "mode", error: new OsError("fchmod", errno()) });
}

/** Sets the modification time to the nanosecond; the access time stays. */
function applyMtime(target: PlaceTarget, mtimeNs: bigint, onNote: OnNote): void {
  const seconds = mtimeNs / 1_000_000_000n - (mtimeNs < 0n && mtimeNs % 1_000_000_000n !== 0n ? 1n : 0n);
  times.bytes.writeBigInt64LE(0n, 0);
  times.bytes.writeBigInt64LE(BigInt(UTIME_OMIT), 8);
  times.bytes.writeBigInt64LE(seconds, 16);
  times.bytes.writeBigInt64LE(mtimeNs - seconds * 1_000_000_000n, 24);
  const result = target.isPathOnly
    ? libc.utimensat(AT_FDCWD, cString(`/proc/self/fd/${target.fd}`), times.address, 0)
    : libc.futimens(target.fd, times.address);
  if (result < 0) onNote({ kind: "times", error: new OsError("utimensat", errno()) });
}
