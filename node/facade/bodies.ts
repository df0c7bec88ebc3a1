/**
 * Reads request bodies: bounded in size, all of them together in memory, and in how slowly they may come. Node's own
 * time-outs guard headers and whole requests; a body that trickles is ended here.
 */
import type { IncomingMessage } from "node:http";
import { CostorError } from "#protocol/errors.ts";
import { limits } from "#protocol/limits.ts";

/** Lets bodies of at most so many bytes together be in memory; the others wait their turn, in order. */
class BodyBudget {
  private freeBytes: number;
  private readonly totalBytes: number;
  private readonly waiting: { bytes: number; enter: () => void; signal: AbortSignal }[] = [];

  constructor(totalBytes: number = limits.bodiesInMemoryBytes) {
    this.totalBytes = totalBytes;
    this.freeBytes = totalBytes;
  }

  /** Throws the signal's reason when the client goes away while it waits. */
  async take(bytes: number, signal: AbortSignal): Promise<Disposable> {
    const wantedBytes = Math.min(bytes, this.totalBytes);
    if (this.waiting.length > 0 || this.freeBytes < wantedBytes) {
      await new Promise<void>((resolve, reject) => {
        const entry = { bytes: wantedBytes, enter: resolve, signal };
        this.waiting.push(entry);
        signal.addEventListener(
          "abort",
          () => {
            const index = this.waiting.indexOf(entry);
            if (index >= 0) this.waiting.splice(index, 1);
            reject(signal.reason);
            this.admit();
          },
          { once: true },
        );
      });
    } else {
      this.freeBytes -= wantedBytes;
    }
    let isHeld = true;
    return {
      [Symbol.dispose]: () => {
        if (!isHeld) return;
        isHeld = false;
        this.freeBytes += wantedBytes;
        this.admit();
      },
    };
  }

  private admit(): void {
    for (let next = this.waiting[0]; next !== undefined && next.bytes <= this.freeBytes; next = this.waiting[0]) {
      this.waiting.shift();
      this.freeBytes -= next.bytes;
      next.enter();
    }
  }
}

/** The length that the client announced; undefined for a chunked body. Throws `limit-exceeded` at once for too much. */
export function announcedBytes(request: IncomingMessage, limitBytes: number): number | undefined {
  const header = request.headers["content-length"];
  if (header === undefined) return undefined;
  const bytes = Number(header);
  if (bytes > limitBytes)
    throw new CostorError("limit-exceeded", `a body of ${bytes} bytes; at most ${limitBytes} are taken`);
  return bytes;
}

export class BodyReader {
  readonly budget = new BodyBudget();
  private readonly watchMs: number;

  /** @param watchMs how often the rate of a body is looked at */
  constructor(watchMs: number = limits.bodyWatchMs) {
    this.watchMs = watchMs;
  }

  /**
   * The whole body, in memory of its own that may be transferred to another thread.
   * Throws `limit-exceeded` for too much, `bad-request` for a body that ends early or comes too slowly.
   */
  read(request: IncomingMessage, limitBytes: number): Promise<Buffer<ArrayBuffer>> {
    return readBody(request, limitBytes, this.watchMs);
  }
}

async function readBody(request: IncomingMessage, limitBytes: number, watchMs: number): Promise<Buffer<ArrayBuffer>> {
  const announced = announcedBytes(request, limitBytes);
  let body = Buffer.allocUnsafeSlow(announced ?? Math.min(64 * 1024, limitBytes));
  let used = 0;
  let usedAtLastLook = 0;
  const watch = setInterval(() => {
    if (used - usedAtLastLook < limits.bodyMinBytesPerSecond * (watchMs / 1000)) {
      request.destroy(new CostorError("bad-request", "the body comes too slowly"));
    }
    usedAtLastLook = used;
  }, watchMs);
  watch.unref();
  try {
    for await (const piece of request as AsyncIterable<Buffer>) {
      if (used + piece.length > limitBytes)
        throw new CostorError("limit-exceeded", `a body of more than ${limitBytes} bytes`);
      if (used + piece.length > body.length)
        body = grown(body, Math.min(limitBytes, Math.max(body.length * 2, used + piece.length)));
      piece.copy(body, used);
      used += piece.length;
    }
  } catch (cause) {
    if (cause instanceof CostorError) throw cause;
    throw new CostorError("bad-request", "the body ended early", { cause });
  } finally {
    clearInterval(watch);
  }
  if (announced !== undefined && used !== announced)
    throw new CostorError("bad-request", `the body has ${used} bytes, not ${announced}`);
  return body.length === used ? body : grown(body.subarray(0, used), used);
}

function grown(body: Buffer, bytes: number): Buffer<ArrayBuffer> {
  const larger = Buffer.allocUnsafeSlow(bytes);
  body.copy(larger);
  return larger;
}
