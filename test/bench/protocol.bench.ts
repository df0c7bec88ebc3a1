/**
 * How fast the data path's pure parts are in one thread: MB/s of plaintext, by wall clock and by the processor's time
 * (which a busy machine disturbs less). Run: `node test/bench/protocol.bench.ts`.
 */
import { randomBytes } from "node:crypto";
import { contentHash, contentKeyFrom } from "#agent/backup/content-hash.ts";
import { cutChunk } from "#protocol/chunking.ts";
import { deriveScope } from "#protocol/scope.ts";
import { openPrime, sealPrime } from "#protocol/sealing.ts";

const CORPUS_BYTES = 32 * 1024 * 1024;
const ROUNDS_COUNT = 5;
const scope = deriveScope(Buffer.alloc(32, 1));
const contentKey = contentKeyFrom(Buffer.alloc(32, 2));

/** Words of a fixed vocabulary by Zipf's law with numbers in between: compresses about as source code and prose do. */
function makeText(lengthBytes: number): Buffer {
  let state = 1;
  const next = (): number => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32;
  const letters = "etaoinshrdlucmfwypvbgkjqxz_(){};=";
  const words = Array.from({ length: 8192 }, () =>
    Array.from({ length: 2 + Math.floor(next() * 9) }, () => letters[Math.floor(next() ** 2 * letters.length)]).join(
      "",
    ),
  );
  const text = Buffer.alloc(lengthBytes);
  for (let at = 0; at < lengthBytes;) {
    const word = next() < 0.04 ? Math.floor(next() * 1e6).toString() : words[Math.floor(words.length ** next()) - 1]!;
    at += text.write(`${word}${next() < 0.1 ? "\n" : " "}`, at, "latin1");
  }
  return text;
}

function measure(title: string, run: () => number): void {
  let wallMs = Infinity;
  let cpuMs = Infinity;
  let bytes = 0;
  for (let round = 0; round < ROUNDS_COUNT; round++) {
    const cpuBefore = process.cpuUsage();
    const before = performance.now();
    bytes = run();
    wallMs = Math.min(wallMs, performance.now() - before);
    const { user, system } = process.cpuUsage(cpuBefore);
    cpuMs = Math.min(cpuMs, (user + system) / 1000);
  }
  const rate = (ms: number): string => (bytes / ms / 1000).toFixed(0).padStart(6);
  console.log(`${title.padEnd(32)}${rate(wallMs)} MB/s wall ${rate(cpuMs)} MB/s CPU`);
}

const pieces = (corpus: Buffer, lengthBytes: number): Buffer[] =>
  Array.from({ length: Math.floor(corpus.length / lengthBytes) }, (_, index) =>
    corpus.subarray(index * lengthBytes, (index + 1) * lengthBytes),
  );
const total = (all: readonly Uint8Array[]): number => all.reduce((sum, piece) => sum + piece.length, 0);

for (const [kind, corpus] of [
  ["text", makeText(CORPUS_BYTES)],
  ["random", randomBytes(CORPUS_BYTES)],
] as const) {
  measure(`${kind}: cut`, () => {
    for (let at = 0; at < corpus.length;) at += cutChunk(corpus, at, corpus.length, true, scope);
    return corpus.length;
  });
  for (const [name, lengthBytes] of [
    ["8 KiB", 8 << 10],
    ["128 KiB", 128 << 10],
    ["1 MiB", 1 << 20],
  ] as const) {
    const plains = pieces(corpus, lengthBytes);
    measure(`${kind}: content hash ${name}`, () => {
      for (const plain of plains) contentHash(contentKey, plain);
      return total(plains);
    });
    const sealed = plains.map((plain) => sealPrime(plain, "content", scope));
    measure(`${kind}: seal ${name}`, () => {
      for (const plain of plains) sealPrime(plain, "content", scope);
      return total(plains);
    });
    measure(`${kind}: open ${name}`, () => {
      for (const { stored, reference } of sealed) openPrime(stored, reference, "content");
      return total(plains);
    });
    console.log(
      `${`${kind}: stored ${name}`.padEnd(32)}${((100 * sealed.reduce((sum, { stored }) => sum + stored.length, 0)) / total(plains)).toFixed(1).padStart(6)} %`,
    );
  }
}
