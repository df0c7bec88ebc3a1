/** Damage for fuzzing: small changes to valid bytes, the kinds that parsers get wrong, all from one seeded chance. */

/** From 0 up to, not including, 1. */
export type Chance = () => number;

const pick = <T>(chance: Chance, from: readonly T[]): T => from[Math.floor(chance() * from.length)]!;
const below = (chance: Chance, end: number): number => Math.floor(chance() * end);

/** Heads and values at the edges of CBOR, of lengths and of UTF-8. */
const telling = [
  "00",
  "ff",
  "7f",
  "80",
  "f6",
  "f4",
  "5f",
  "7f",
  "9f",
  "bf",
  "c2",
  "fb7ff0000000000000",
  "1b7fffffffffffffff",
  "1bffffffffffffffff",
  "3bffffffffffffffff",
  "5affffffff",
  "9affffffff",
  "baffffffff",
  "1800",
  "190000",
  "a0",
  "80",
  "60",
  "40",
  "695f5f70726f746f5f5f",
  "81818181818181818181",
  "ffffffff",
  "00000000",
  "0a",
  "0d",
  "22",
  "2f",
  "2e2e",
].map((hex) => Buffer.from(hex, "hex"));

const mutators: readonly ((bytes: Buffer, chance: Chance, others: readonly Buffer[]) => Buffer)[] = [
  // A bit.
  (bytes, chance) => {
    const changed = Buffer.from(bytes);
    if (changed.length > 0) changed[below(chance, changed.length)]! ^= 1 << below(chance, 8);
    return changed;
  },
  // A byte.
  (bytes, chance) => {
    const changed = Buffer.from(bytes);
    if (changed.length > 0) changed[below(chance, changed.length)] = below(chance, 256);
    return changed;
  },
  // A neighbour value, as of a length or a count.
  (bytes, chance) => {
    const changed = Buffer.from(bytes);
    if (changed.length > 0) changed[below(chance, changed.length)]! += chance() < 0.5 ? 1 : 255;
    return changed;
  },
  // Cut off.
  (bytes, chance) => bytes.subarray(0, below(chance, bytes.length + 1)),
  // Something telling, over what is there or between.
  (bytes, chance) => {
    const at = below(chance, bytes.length + 1);
    const piece = pick(chance, telling);
    const skipped = chance() < 0.5 ? piece.length : 0;
    return Buffer.concat([bytes.subarray(0, at), piece, bytes.subarray(at + skipped)]);
  },
  // A range taken out, or twice.
  (bytes, chance) => {
    const start = below(chance, bytes.length + 1);
    const end = Math.min(bytes.length, start + 1 + below(chance, 40));
    const [headEnd, tailStart] = chance() < 0.5 ? [start, end] : [end, start];
    return Buffer.concat([bytes.subarray(0, headEnd), bytes.subarray(tailStart)]);
  },
  // A range of another sample.
  (bytes, chance, others) => {
    const other = pick(chance, others);
    const start = below(chance, other.length + 1);
    const piece = other.subarray(start, start + 1 + below(chance, 60));
    const at = below(chance, bytes.length + 1);
    return Buffer.concat([bytes.subarray(0, at), piece, bytes.subarray(chance() < 0.5 ? at : at + piece.length)]);
  },
];

/** One of `samples` with one to four changes; now and then unchanged, now and then noise. */
export function mutate(samples: readonly Buffer[], chance: Chance): Buffer {
  if (chance() < 0.02) return Buffer.from(Array.from({ length: below(chance, 60) }, () => below(chance, 256)));
  let bytes = pick(chance, samples);
  const changesCount = below(chance, 5);
  for (let change = 0; change < changesCount; change++) bytes = pick(chance, mutators)(bytes, chance, samples);
  return bytes;
}
