/**
 * Reads request bodies: bounded in size, in their sum, and in how slowly they may come. Node's own
 * time-outs guard headers and whole requests; a body that trickles is ended here.
 */
import type { FastifyRequest } from "fastify";
import type { IncomingMessage } from "node:http";
import { CostorError } from "#protocol/errors.ts";
import { limits } from "#protocol/limits.ts";
import { noteDropped } from "#protocol/young-garbage.ts";
import { BodyBudget } from "./body-budget.ts";
import { holdUntilEnd } from "./request-end.ts";

/** The length that the client announced; undefined for a chunked body. Throws `limit-exceeded` at once for too much. */
function announcedBytes(request: IncomingMessage, limitBytes: number): number | undefined {
  const header = request.headers["content-length"];
  if (header === undefined) return undefined;
  const bytes = Number(header);
  if (bytes > limitBytes)
    throw new CostorError("limit-exceeded", `a body of ${bytes} bytes; at most ${limitBytes} are taken`);
  return bytes;
}

export class BodyReader {
  private readonly budget = new BodyBudget();
  private readonly watchMs: number;

  /** @param watchMs how often the rate of a body is looked at */
  constructor(watchMs: number = limits.bodyWatchMs) {
    this.watchMs = watchMs;
  }

  /**
   * The whole body, in memory of its own that may be transferred to another thread. Waits, unread, until the budget has room
   * for it, which it keeps until the request is over. The room is its agent's, or where there is none, its address's.
   * Throws `limit-exceeded` for too much, `bad-request` for a body that ends early or comes too slowly.
   */
  async read(request: FastifyRequest, limitBytes: number): Promise<Buffer<ArrayBuffer>> {
    const bytes = announcedBytes(request.raw, limitBytes) ?? limitBytes;
    holdUntilEnd(request, await this.budget.take(request.agent?.id ?? request.ip, bytes, request.over));
    return readBody(request.raw, limitBytes, this.watchMs);
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
  noteDropped(used);
  if (announced !== undefined && used !== announced)
    throw new CostorError("bad-request", `the body has ${used} bytes, not ${announced}`);
  return body.length === used ? body : grown(body.subarray(0, used), used);
}

function grown(body: Buffer, bytes: number): Buffer<ArrayBuffer> {
  const larger = Buffer.allocUnsafeSlow(bytes);
  body.copy(larger);
  return larger;
}
