/**
 * A client that means harm, over raw TLS: malformed, oversized, cut, slow and unread requests, floods of connections, and
 * seeded mutations of a valid request. Works against any site, in this process or another. A site passes when nothing
 * stays open beyond its patience, nothing malformed succeeds, and it still serves afterwards.
 */
import { hash } from "node:crypto";
import { type Socket, connect as netConnect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { connect as tlsConnect } from "node:tls";

export interface HostileTarget {
  readonly host: string;
  readonly port: number;
  /** PEM of the authority that the site's certificate comes from. */
  readonly ca: string;
  readonly servername: string;
}

export interface HostileOutcome {
  /** `open`: the site had not closed the connection when patience was over; then the client did. */
  readonly ending: "closed" | "reset" | "open";
  /** Of the first answer. */
  readonly status: number | undefined;
  /** The first bytes that came back. */
  readonly received: Buffer;
  readonly elapsedMs: number;
}

export interface RawOptions {
  readonly patienceMs: number;
  /** Speaks TCP instead of TLS. */
  readonly isPlain?: boolean;
  /** Reads nothing of what comes back, so that the site's buffers fill. */
  readonly readsNothing?: boolean;
  /** Closes its own side once everything is sent. */
  readonly endsItself?: boolean;
}

export type RawBytes = Buffer | Iterable<Buffer> | AsyncIterable<Buffer>;

const KEPT_BYTES = 64 * 1024;

/** An open connection, TLS done, nothing sent. */
function openRaw(target: HostileTarget, isPlain = false): Promise<Socket> {
  const { promise, resolve, reject } = Promise.withResolvers<Socket>();
  const socket: Socket = isPlain
    ? netConnect(target.port, target.host, () => resolve(socket))
    : tlsConnect(target, () => resolve(socket));
  socket.once("error", reject);
  return promise;
}

/** Sends `bytes` on a connection of its own and waits for its end, or until patience is over. */
export async function exchangeRaw(
  target: HostileTarget,
  bytes: RawBytes,
  options: RawOptions,
): Promise<HostileOutcome> {
  const startMs = performance.now();
  const socket = await openRaw(target, options.isPlain);
  const received: Buffer[] = [];
  let keptBytes = 0;
  let wasReset = false;
  const closed = new Promise<"closed">((resolve) => socket.once("close", () => resolve("closed")));
  socket.on("error", () => (wasReset = true));
  if (options.readsNothing) socket.pause();
  else {
    socket.on("data", (piece: Buffer) => {
      if (keptBytes < KEPT_BYTES) received.push(piece.subarray(0, KEPT_BYTES - keptBytes));
      keptBytes += piece.length;
    });
    // The default answer to an end from the other side, kept for sockets that are still sending.
    socket.once("end", () => socket.end());
  }
  const stop = new AbortController();
  const sending = sendAll(socket, bytes, stop.signal).then(() => (options.endsItself ? socket.end() : undefined));
  const timer = sleep(options.patienceMs, "open" as const, { signal: stop.signal }).catch(() => "open" as const);
  const end = await Promise.race([closed, timer]);
  stop.abort();
  socket.destroy();
  await sending;
  const all = Buffer.concat(received);
  const status = /^HTTP\/1\.[01] (\d{3})/.exec(all.toString("latin1", 0, 12))?.[1];
  return {
    ending: end === "open" ? "open" : wasReset ? "reset" : "closed",
    status: status === undefined ? undefined : Number(status),
    received: all,
    elapsedMs: performance.now() - startMs,
  };
}

/** Writes until all is sent or the socket is gone; never throws. */
async function sendAll(socket: Socket, bytes: RawBytes, signal: AbortSignal): Promise<void> {
  const pieces = Buffer.isBuffer(bytes) ? [bytes] : bytes;
  for await (const piece of pieces) {
    if (signal.aborted || !socket.writable) return;
    await new Promise<void>((resolve) => {
      signal.addEventListener("abort", () => resolve(), { once: true });
      socket.write(piece, () => resolve());
    });
  }
}

/** The same bytes in pieces, slowly: a slowloris. */
export async function* trickled(
  bytes: Buffer,
  pieceBytes: number,
  intervalMs: number,
): AsyncGenerator<Buffer, void, void> {
  for (let at = 0; at < bytes.length; at += pieceBytes) {
    if (at > 0) await sleep(intervalMs);
    yield bytes.subarray(at, at + pieceBytes);
  }
}

/** `piece` over and over, without end. */
export function* endless(piece: Buffer): Generator<Buffer, never, void> {
  for (;;) yield piece;
}

export interface ValidRequest {
  readonly method: "GET" | "POST";
  readonly path: string;
  readonly token: string;
  readonly contentType?: string;
  readonly body?: Buffer;
}

/** The bytes of a request that a site takes; `headers` are further lines without line ends. */
export function requestBytes(
  { method, path, token, contentType, body }: ValidRequest,
  headers: readonly string[] = [],
): Buffer {
  const lines = [`${method} ${path} HTTP/1.1`, "host: site", `authorization: Bearer ${token}`, ...headers];
  if (contentType) lines.push(`content-type: ${contentType}`);
  if (body) lines.push(`content-length: ${body.length}`);
  return Buffer.concat([Buffer.from(`${lines.join("\r\n")}\r\n\r\n`, "latin1"), body ?? Buffer.alloc(0)]);
}

export interface Malformed {
  readonly title: string;
  readonly bytes: Buffer;
}

/** Requests that are no HTTP or mean two things at once, made from one that is valid: none may succeed. */
export function malformedRequests(valid: ValidRequest): Malformed[] {
  const { path, token } = valid;
  const head = (...lines: string[]): Buffer => Buffer.from(`${lines.join("\r\n")}\r\n\r\n`, "latin1");
  const post = (...lines: string[]): Buffer =>
    head(`POST ${path} HTTP/1.1`, "host: site", `authorization: Bearer ${token}`, ...lines);
  const chunked = (body: string): Buffer =>
    Buffer.concat([post("transfer-encoding: chunked"), Buffer.from(body, "latin1")]);
  return [
    { title: "nothing but zeros", bytes: Buffer.alloc(4096) },
    { title: "the preface of HTTP/2", bytes: Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n") },
    { title: "HTTP/0.9", bytes: Buffer.from(`GET ${path}\r\n\r\n`) },
    { title: "a version that does not exist", bytes: head(`GET ${path} HTTP/7.3`) },
    { title: "a method that does not exist", bytes: head(`STEAL ${path} HTTP/1.1`, "host: site") },
    { title: "no host", bytes: head(`GET ${path} HTTP/1.1`, `authorization: Bearer ${token}`) },
    { title: "a NUL in a header", bytes: post("x: a\0b", "content-length: 0") },
    { title: "a line feed alone in a header", bytes: post("x: a\nb: c\n d", "content-length: 0\r") },
    { title: "a header without a name", bytes: post(": x", "content-length: 0") },
    { title: "a space before the colon", bytes: post("content-length : 5") },
    { title: "two lengths", bytes: post("content-length: 5", "content-length: 6") },
    { title: "a negative length", bytes: post("content-length: -5") },
    { title: "a length that is no number", bytes: post("content-length: 5x") },
    { title: "a length beyond 64 bits", bytes: post("content-length: 99999999999999999999999") },
    { title: "length and chunks at once", bytes: post("content-length: 5", "transfer-encoding: chunked") },
    { title: "an encoding that hides chunks", bytes: post("transfer-encoding: xchunked") },
    { title: "a chunk of negative size", bytes: chunked("-1\r\n\r\n") },
    { title: "a chunk of overflowing size", bytes: chunked("fffffffffffffffff\r\n") },
    { title: "a chunk longer than it says", bytes: chunked("1\r\nabc\r\n0\r\n\r\n") },
    { title: "a header of 100 kB", bytes: post(`x: ${"a".repeat(100_000)}`) },
    { title: "10,000 headers", bytes: post(...Array.from({ length: 10_000 }, (_, index) => `x-${index}: y`)) },
    { title: "an address of 100 kB", bytes: head(`GET /${"a".repeat(100_000)} HTTP/1.1`, "host: site") },
    { title: "raw bytes in the address", bytes: head(`GET /\xff\xfe\x00 HTTP/1.1`, "host: site") },
  ];
}

/** Mutations of a valid request by a seed: bits flipped, parts cut out, doubled, swapped, bytes put in. Some stay valid. */
export function mutateRequest(valid: Buffer, seed: string | number): Buffer {
  const digest = hash("sha256", `${seed}`, "buffer");
  const random = (index: number, below: number): number => digest.readUInt32BE(index * 4) % Math.max(below, 1);
  const from = random(1, valid.length);
  const to = Math.min(from + 1 + random(2, 64), valid.length);
  const [before, part, after] = [valid.subarray(0, from), valid.subarray(from, to), valid.subarray(to)];
  switch (random(0, 5)) {
    case 0: {
      const flipped = Buffer.from(valid);
      for (let index = 3; index < 8; index++) flipped[random(index, valid.length)]! ^= 1 << (index % 8);
      return flipped;
    }
    case 1:
      return Buffer.concat([before, after]);
    case 2:
      return Buffer.concat([before, part, part, after]);
    case 3:
      return Buffer.concat([before, Buffer.from(part).reverse(), after]);
    default:
      return Buffer.concat([before, digest.subarray(0, 1 + random(3, 32)), after]);
  }
}

export interface Flood extends Disposable {
  /** Connections that stand, though nothing was ever sent on them. */
  openCount(): number;
}

/** Opens `count` TCP connections and sends nothing. Disposing it closes what is left. */
export function flood(target: HostileTarget, count: number): Flood {
  const sockets = new Set<Socket>();
  for (let index = 0; index < count; index++) {
    const socket = netConnect(target.port, target.host);
    socket.on("error", () => undefined).once("close", () => sockets.delete(socket));
    sockets.add(socket);
  }
  return {
    openCount: () => sockets.size,
    [Symbol.dispose]: () => {
      for (const socket of sockets) socket.destroy();
    },
  };
}
