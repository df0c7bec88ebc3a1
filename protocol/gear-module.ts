/**
 * The scan for gear candidates as a WebAssembly module of 1.3 kB, assembled here instruction by instruction, so that
 * nothing needs a compiler. It is some three times as fast as the same loop in JavaScript:
 * docs/decisions/gear-in-webassembly.md. A test holds it equal to the loop in JavaScript.
 */

/** Layout of the module's memory, in bytes. */
export const gearMemory = {
  /** 256 table entries of 4 bytes. */
  table: 0,
  /** Found positions, each 4 bytes: the address behind the window's last byte that is hashed. */
  positions: 1024,
  /** The 16 bytes before each found position. */
  blocks: 1024 + 65_536 * 4,
  /** The bytes to scan, behind the {@link gearBlockBytes} bytes before them. */
  data: 1024 + 65_536 * 20,
} as const;

/** Most bytes of one scan. */
export const gearScanMaxBytes = 65_536;
export const gearBlockBytes = 16;
/** The loop is unrolled: a scan goes on to the next multiple of this. */
const STEPS = 16;
const PAGE_BYTES = 65_536;
const memoryPages = Math.ceil((gearMemory.data + gearBlockBytes + gearScanMaxBytes + STEPS) / PAGE_BYTES);

export interface GearModule {
  readonly memory: ArrayBuffer;
  /** Scans [from, to), rounded up, with `hash` from the bytes before; returns the address behind the last found position. */
  readonly scan: (from: number, to: number, hash: number) => number;
}

/** What this file uses of a global that only the DOM's types declare. */
declare const WebAssembly: {
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object) => {
    readonly exports: { readonly memory: { readonly buffer: ArrayBuffer }; readonly scan: GearModule["scan"] };
  };
};

export function assembleGearModule(): GearModule {
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(moduleBytes()));
  return { memory: exports.memory.buffer, scan: exports.scan };
}

const I32 = 0x7f;
/** Parameters and locals of the function. */
const at = 0;
const end = 1;
const hash = 2;
const positionsEnd = 3;
const blocksEnd = 4;

const unsigned = (value: number): number[] =>
  value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...unsigned(value >>> 7)];
const signed = (value: number): number[] =>
  value >= -0x40 && value < 0x40 ? [value & 0x7f] : [(value & 0x7f) | 0x80, ...signed(value >> 7)];
const vector = (items: readonly (readonly number[])[]): number[] => [...unsigned(items.length), ...items.flat()];
const section = (id: number, content: readonly number[]): number[] => [id, ...unsigned(content.length), ...content];
const name = (text: string): number[] => vector([...Buffer.from(text)].map((byte) => [byte]));

const get = (local: number): number[] => [0x20, local];
const set = (local: number): number[] => [0x21, local];
const tee = (local: number): number[] => [0x22, local];
const constant = (value: number): number[] => [0x41, ...signed(value)];
const add = [0x6a];
const shiftLeft = [0x74];
const isBelow = [0x49];
const load8 = (offset: number): number[] => [0x2d, 0, ...unsigned(offset)];
const load32 = (offset: number): number[] => [0x28, 2, ...unsigned(offset)];
const load64 = (offset: number): number[] => [0x29, 0, ...unsigned(offset)];
const store32 = [0x36, 2, 0];
const store64 = (offset: number): number[] => [0x37, 0, ...unsigned(offset)];
const loop = [0x03, 0x40];
const branchIf = [0x0d, 0];
const ifThen = [0x04, 0x40];
const close = [0x0b];

/** Hashes the byte at `at + index`, and keeps the position behind it when the hash's top 10 bits are zero. */
function step(index: number): number[] {
  const table = load32(gearMemory.table);
  const advanceHash = [
    ...get(hash),
    ...constant(1),
    ...shiftLeft,
    ...get(at),
    ...load8(index),
    ...constant(2),
    ...shiftLeft,
    ...table,
    ...add,
    ...tee(hash),
  ];
  const keepPosition = [...get(positionsEnd), ...get(at), ...constant(index + 1), ...add, ...store32];
  const half = (offset: number): number[] => [
    ...get(blocksEnd),
    ...get(at),
    ...constant(index + 1 - gearBlockBytes + offset),
    ...add,
    ...load64(0),
    ...store64(offset),
  ];
  const advance = (local: number, bytes: number): number[] => [
    ...get(local),
    ...constant(bytes),
    ...add,
    ...set(local),
  ];
  return [
    ...advanceHash,
    ...constant(1 << 22),
    ...isBelow,
    ...ifThen,
    ...keepPosition,
    ...half(0),
    ...half(8),
    ...advance(positionsEnd, 4),
    ...advance(blocksEnd, gearBlockBytes),
    ...close,
  ];
}

function moduleBytes(): Uint8Array<ArrayBuffer> {
  const steps = Array.from({ length: STEPS }, (_, index) => step(index)).flat();
  const begin = [
    ...constant(gearMemory.positions),
    ...set(positionsEnd),
    ...constant(gearMemory.blocks),
    ...set(blocksEnd),
  ];
  const again = [...get(at), ...constant(STEPS), ...add, ...tee(at), ...get(end), ...isBelow, ...branchIf];
  const code = [...vector([[2, I32]]), ...begin, ...loop, ...steps, ...again, ...close, ...get(positionsEnd), ...close];
  const magicAndVersion = [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00];
  return Uint8Array.from([
    ...magicAndVersion,
    ...section(1, vector([[0x60, ...vector([[I32], [I32], [I32]]), ...vector([[I32]])]])),
    ...section(3, vector([[0]])),
    ...section(5, vector([[0x00, ...unsigned(memoryPages)]])),
    ...section(
      7,
      vector([
        [...name("memory"), 0x02, 0],
        [...name("scan"), 0x00, 0],
      ]),
    ),
    ...section(10, vector([[...unsigned(code.length), ...code]])),
  ]);
}
