/**
 * HTTPS to one site, at whichever of its addresses answers. Only a server whose certificate was signed by the site's own
 * authority, for the site's own name, is talked to; nothing is sent to another one.
 */
import { once } from "node:events";
import type { ClientRequest, IncomingMessage } from "node:http";
import { Agent, request } from "node:https";
import type { TLSSocket } from "node:tls";
import type { SiteSettings } from "#agent/config/agent-config.ts";
import { CostorError, isCostorError } from "#protocol/errors.ts";
import { limits } from "#protocol/limits.ts";
import { serverNameOf } from "#protocol/server-name.ts";
import { describeAnswer, describeConnectionFailure } from "./failure.ts";
import type { RateLimit } from "./rate-limit.ts";
import { formatSiteAddress, type SiteAddress } from "./site-address.ts";

export interface SiteRequest {
  readonly method: "GET" | "POST";
  readonly path: string;
  readonly contentType?: string;
  /** Sent end to end, without being joined first. */
  readonly body?: readonly Uint8Array[];
  /** Slows the body down. */
  readonly rateLimit?: RateLimit;
  /** The longest silence on the line before the attempt counts as failed. */
  readonly silenceMs?: number;
  readonly signal?: AbortSignal;
}

export interface SiteConnectionInit {
  readonly site: SiteSettings;
  /** The agent's token; absent while it enrols. */
  readonly token?: string;
  /** Most requests at a time. */
  readonly socketsCount: number;
}

const CONNECT_MS = 10_000;
const SILENCE_MS = 60_000;
/** Pieces smaller than this are handed to TLS together. */
const CORKED_BYTES = 256 * 1024;

export class SiteConnection {
  private readonly init: SiteConnectionInit;
  private readonly agent: Agent;
  private readonly servername: string;
  /** The address that answered last. */
  private preferredIndex = 0;

  constructor(init: SiteConnectionInit) {
    this.init = init;
    this.servername = serverNameOf(init.site.siteId);
    this.agent = new Agent({ keepAlive: true, maxSockets: init.socketsCount, scheduling: "lifo" });
  }

  close(): void {
    this.agent.destroy();
  }

  /**
   * The answer of the first address that gives one, its body unread. Throws what the site answered as an error,
   * `site-unreachable`, `site-identity-changed`, or the signal's reason.
   */
  async send(asked: SiteRequest): Promise<IncomingMessage> {
    const { addresses } = this.init.site;
    let worst: CostorError | undefined;
    for (let turn = 0; turn < addresses.length; turn++) {
      const index = (this.preferredIndex + turn) % addresses.length;
      try {
        const answer = await this.sendTo(addresses[index]!, asked);
        this.preferredIndex = index;
        return answer;
      } catch (error) {
        asked.signal?.throwIfAborted();
        if (!isCostorError(error) || error.details["status"] !== undefined) throw error;
        // That a stranger answers at one address matters more than that nobody does at another.
        if (!worst || error.code === "site-identity-changed") worst = error;
      }
    }
    throw worst!;
  }

  private async sendTo(address: SiteAddress, asked: SiteRequest, isSecondTry = false): Promise<IncomingMessage> {
    const name = formatSiteAddress(address);
    const call = this.open(address, asked);
    const answered = once(call, "response") as Promise<[IncomingMessage]>;
    const written = writeBody(call, asked);
    // Both may fail after the other has ended the wait.
    written.catch(() => undefined);
    answered.catch(() => undefined);
    try {
      await Promise.race([written, answered]);
      const [answer] = await answered;
      if (answer.statusCode! >= 200 && answer.statusCode! < 300) return answer;
      const body = await readAll(answer, limits.jsonAnswerBytes, name);
      throw describeAnswer(answer.statusCode!, answer.headers, body, name);
    } catch (error) {
      call.destroy();
      if (isCostorError(error) || asked.signal?.aborted) throw error;
      // The site closed a kept connection just when it was used again: nothing is wrong with it.
      if (call.reusedSocket && !isSecondTry) return this.sendTo(address, asked, true);
      throw describeConnectionFailure(error as Error, name);
    }
  }

  private open(address: SiteAddress, asked: SiteRequest): ClientRequest {
    const { site, token } = this.init;
    const bodyBytes = asked.body?.reduce((sum, piece) => sum + piece.length, 0);
    const call = request({
      agent: this.agent,
      host: address.host,
      port: address.port,
      method: asked.method,
      path: asked.path,
      ca: site.caCertificate,
      servername: this.servername,
      minVersion: "TLSv1.3",
      signal: asked.signal,
      timeout: asked.silenceMs ?? SILENCE_MS,
      headers: {
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        ...(bodyBytes === undefined ? {} : { "content-type": asked.contentType, "content-length": bodyBytes }),
      },
    });
    // After an early answer the rest of the body can still fail.
    call.on("error", () => undefined);
    call.on("timeout", () => call.destroy(Object.assign(new Error("the site is silent"), { code: "ETIMEDOUT" })));
    call.on("socket", (socket) => limitConnecting(socket as TLSSocket, call));
    return call;
  }
}

function limitConnecting(socket: TLSSocket, call: ClientRequest): void {
  if (!socket.connecting) return;
  const timer = setTimeout(
    () => call.destroy(Object.assign(new Error("no connection"), { code: "ETIMEDOUT" })),
    CONNECT_MS,
  );
  const stop = (): void => clearTimeout(timer);
  socket.once("secureConnect", stop);
  socket.once("close", stop);
}

/**
 * Resolves only when all is written or the call has ended; a call that failed meanwhile says so by its own event. It waits
 * for what it wrote, not for a `drain` event: Node 24 loses that one now and then on a kept connection (seen: all four
 * connections idle, each request waiting for it, no listener left on the socket).
 */
async function writeBody(call: ClientRequest, asked: SiteRequest): Promise<void> {
  let corkedBytes = 0;
  call.cork();
  for (const whole of asked.body ?? []) {
    const pieceBytes = asked.rateLimit?.pieceBytes ?? whole.length;
    for (let at = 0; at < whole.length; at += pieceBytes) {
      const piece = whole.subarray(at, at + pieceBytes);
      if (asked.rateLimit) await asked.rateLimit.take(piece.length, asked.signal);
      if (call.destroyed) return;
      corkedBytes += piece.length;
      if (corkedBytes < CORKED_BYTES && !asked.rateLimit) {
        call.write(piece);
        continue;
      }
      corkedBytes = 0;
      const written = writeThrough(call, piece);
      call.uncork();
      await written;
      if (call.destroyed) return;
      call.cork();
    }
  }
  call.uncork();
  call.end();
}

/** Writes a piece; resolves when it, and all before it, went to the system, or when the call has ended. */
function writeThrough(call: ClientRequest, piece: Uint8Array): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const done = (): void => {
    call.off("close", done);
    resolve();
  };
  call.once("close", done);
  call.write(piece, done);
  return promise;
}

/** The whole body of an answer. Throws `site-answer-invalid` when it is longer than `mostBytes`. */
export async function readAll(answer: IncomingMessage, mostBytes: number, name: string): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let bytes = 0;
  for await (const piece of answer as AsyncIterable<Buffer>) {
    bytes += piece.length;
    if (bytes > mostBytes)
      throw new CostorError("site-answer-invalid", `${name}: an answer is longer than ${mostBytes} bytes`);
    pieces.push(piece);
  }
  return pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces);
}
