/**
 * Names of users and groups by their numbers and back, through libc, so that directory services count too. Answers are
 * kept for the life of the thread: a backup asks once for each owner.
 */
import { E, allocate, cString, libc } from "./libc.ts";

/** Room for the fixed part of `struct passwd` and `struct group`; their first field is a pointer to the name. */
const entry = allocate(128);
const result = allocate(64);
/** Strings of the entry; a group with thousands of members needs much. */
let strings = allocate(16 * 1024);
const stringsMaxBytes = 4 * 1024 * 1024;

const userNames = new Map<number, string | undefined>();
const groupNames = new Map<number, string | undefined>();
const userNumbers = new Map<string, number | undefined>();
const groupNumbers = new Map<string, number | undefined>();

export const userName = (uid: number): string | undefined =>
  remembered(userNames, uid, () => nameFrom((...rest) => libc.getpwuid_r(uid, ...rest)));
export const groupName = (gid: number): string | undefined =>
  remembered(groupNames, gid, () => nameFrom((...rest) => libc.getgrgid_r(gid, ...rest)));

/** The number that this machine gives a user of that name. */
export const userNumber = (name: string): number | undefined =>
  remembered(userNumbers, name, () =>
    lookUp((...rest) => libc.getpwnam_r(cString(latin1Of(name)), ...rest)) ? entry.bytes.readUInt32LE(16) : undefined,
  );
export const groupNumber = (name: string): number | undefined =>
  remembered(groupNumbers, name, () =>
    lookUp((...rest) => libc.getgrnam_r(cString(latin1Of(name)), ...rest)) ? entry.bytes.readUInt32LE(16) : undefined,
  );

type Call = (entryAddress: number, stringsAddress: number, stringsBytes: number, resultAddress: number) => number;

function remembered<Key, Value>(
  map: Map<Key, Value | undefined>,
  key: Key,
  find: () => Value | undefined,
): Value | undefined {
  if (!map.has(key)) map.set(key, find());
  return map.get(key);
}

/** Whether the look-up found somebody; a directory service that does not answer counts as nobody. */
function lookUp(call: Call): boolean {
  for (;;) {
    const failure = call(entry.address, strings.address, strings.bytes.length, result.address);
    if (failure !== E.RANGE || strings.bytes.length >= stringsMaxBytes)
      return failure === 0 && result.bytes.readBigUInt64LE(0) !== 0n;
    strings = allocate(strings.bytes.length * 4);
  }
}

function nameFrom(call: Call): string | undefined {
  if (!lookUp(call)) return undefined;
  const start = Number(entry.bytes.readBigUInt64LE(0)) - strings.address;
  if (start < 0 || start >= strings.bytes.length) return undefined;
  return strings.bytes.toString("utf8", start, strings.bytes.indexOf(0, start));
}

const latin1Of = (text: string): string => Buffer.from(text, "utf8").toString("latin1");
