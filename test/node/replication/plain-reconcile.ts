/** Comparing as docs/specs/replication.md says, from whole lists: for tests of what stands on it. */
import { marksOf } from "#node/replication/prime-sets.ts";
import type { Differences, Reconcile } from "#node/replication/owner-run.ts";
import type { CborValue } from "#protocol/cbor.ts";
import type { PrimeId } from "#protocol/ids.ts";

const FAN_COUNT = 16;
const HEX = "0123456789abcdef";

interface Answer {
  readonly children?: Uint8Array;
  readonly marks?: Uint8Array;
}

export function compareList(ids: readonly PrimeId[], key: Uint8Array, prefixes: readonly string[]): CborValue[] {
  return prefixes.map((prefix) => {
    const under = ids.filter((id) => id.startsWith(prefix));
    if (under.length <= FAN_COUNT) return { marks: Buffer.from(marksOf(key, under).sort().join(""), "hex") };
    return { children: Buffer.concat([...HEX].map((digit) => fingerprint(ids, key, prefix + digit))) };
  });
}

function fingerprint(ids: readonly PrimeId[], key: Uint8Array, prefix: string): Buffer {
  const under = ids.filter((id) => id.startsWith(prefix));
  const sum = Buffer.alloc(16);
  sum.writeBigUInt64BE(marksOf(key, under).reduce((xor, mark) => xor ^ BigInt(`0x${mark}`), 0n));
  sum.writeBigUInt64BE(BigInt(under.length), 8);
  return sum;
}

export const plainReconcile: Reconcile = async ({ key, slice, ids, ask }): Promise<Differences> => {
  const missing: PrimeId[] = [];
  const extras: string[] = [];
  let prefixes = [slice.toString(16)];
  while (prefixes.length > 0) {
    const answers = (await ask(prefixes)) as Answer[];
    const next: string[] = [];
    for (const [index, { children, marks }] of answers.entries()) {
      const prefix = prefixes[index]!;
      const own = ids.filter((id) => id.startsWith(prefix));
      if (marks !== undefined) {
        const theirs = new Set(Buffer.from(marks).toString("hex").match(/.{16}/g));
        const ownMarks = marksOf(key, own);
        missing.push(...own.filter((_, at) => !theirs.has(ownMarks[at]!)));
        extras.push(...[...theirs].filter((mark) => !ownMarks.includes(mark)));
      } else
        for (const [at, digit] of [...HEX].entries())
          if (!fingerprint(ids, key, prefix + digit).equals(children!.subarray(at * 16, at * 16 + 16)))
            next.push(prefix + digit);
    }
    prefixes = next;
  }
  return { missing, extras: Buffer.from(extras.join(""), "hex") };
};
