/**
 * A TLS-terminating HTTP proxy in front of a site that cuts, delays, duplicates, replays and reorders requests by a plan.
 * It proves itself with the site's own credentials, as a school's reverse proxy would, so that clients notice nothing
 * but the faults. Bodies of requests are buffered; answers are streamed, trailers too.
 */
import { type IncomingHttpHeaders, type IncomingMessage, type ServerResponse, STATUS_CODES } from "node:http";
import { Agent, createServer, request as httpsRequest } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import type { Fault, FaultKind, FaultPlan } from "./fault-plan.ts";

export interface ProxyTarget {
  readonly host: string;
  readonly port: number;
  /** PEM of the authority that the site's certificate comes from. */
  readonly ca: string;
  readonly servername: string;
}

export interface FaultProxyInit {
  readonly target: ProxyTarget;
  /** PEM key and chain that the proxy shows its clients. */
  readonly credentials: { readonly key: string; readonly cert: string };
  readonly plan: FaultPlan;
}

/** One request as the proxy met it. */
export interface FaultRecord {
  readonly number: number;
  readonly method: string;
  readonly path: string;
  readonly kind: FaultKind;
  /** How often the site was sent it, whole. */
  sentCount: number;
}

export interface FaultProxy extends AsyncDisposable {
  readonly port: number;
  readonly log: readonly FaultRecord[];
  /** How often each kind was met. */
  counts(): Partial<Record<FaultKind, number>>;
  /** Cuts every connection now; while offline, new ones are cut too. */
  setOnline(isOnline: boolean): void;
  /** Resolves when nothing is under way, replays included. */
  settled(): Promise<void>;
}

const TRICKLE_BYTES = 700;
const TRICKLE_PIECES_COUNT = 40;
const HOP_BY_HOP = new Set(["connection", "keep-alive", "transfer-encoding", "upgrade", "proxy-connection", "te"]);

interface Asked {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

export async function startFaultProxy({ target, credentials, plan }: FaultProxyInit): Promise<FaultProxy> {
  const upstream = new Upstream(target);
  const log: FaultRecord[] = [];
  const sockets = new Set<Socket>();
  const underway = new Set<Promise<void>>();
  const overtaking = new Overtaking();
  let isOnline = true;

  const server = createServer({ ...credentials, keepAliveTimeout: 60_000 });
  server.on("connection", (socket: Socket) => {
    if (!isOnline) return void socket.destroy();
    sockets.add(socket);
    socket.on("error", () => undefined).once("close", () => sockets.delete(socket));
  });
  server.on("tlsClientError", () => undefined);
  server.on("request", (request: IncomingMessage, response: ServerResponse) => {
    const number = log.length;
    const fault = plan.faultOf(number);
    const record: FaultRecord = { number, method: request.method!, path: request.url!, kind: fault.kind, sentCount: 0 };
    log.push(record);
    request.on("error", () => undefined);
    response.on("error", () => undefined);
    // A client that goes away, or a site that does, ends the exchange: for the client a cut connection.
    const handled = new Exchange(upstream, overtaking, fault, record)
      .run(request, response)
      .catch(() => void request.socket.destroy());
    const finished = handled.finally(() => underway.delete(finished));
    underway.add(finished);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));

  const cutAll = (): void => {
    for (const socket of sockets) socket.destroy();
    upstream.cut();
  };
  const settled = async (): Promise<void> => {
    while (underway.size > 0) await Promise.all(underway);
  };
  return {
    port: (server.address() as AddressInfo).port,
    log,
    counts: () => {
      const counts: Partial<Record<FaultKind, number>> = {};
      for (const { kind } of log) counts[kind] = (counts[kind] ?? 0) + 1;
      return counts;
    },
    setOnline: (online) => {
      isOnline = online;
      if (!online) cutAll();
    },
    settled,
    [Symbol.asyncDispose]: async () => {
      isOnline = false;
      const closed = new Promise((resolve) => server.close(resolve));
      cutAll();
      upstream.close();
      overtaking.passed();
      await settled();
      await closed;
    },
  };
}

/** Lets held requests wait for another one to pass. */
class Overtaking {
  private waiting: (() => void)[] = [];

  async wait(mostMs: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, mostMs);
    this.waiting.push(resolve);
    await promise;
    clearTimeout(timer);
  }

  passed(): void {
    for (const resolve of this.waiting.splice(0)) resolve();
  }
}

class Upstream {
  private readonly target: ProxyTarget;
  private agent = new Agent({ keepAlive: true });
  private isClosed = false;

  constructor(target: ProxyTarget) {
    this.target = target;
  }

  /** Sends a request whole; its answer once the head is there. */
  send(asked: Asked): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      this.open(asked, resolve).on("error", reject).end(asked.body);
    });
  }

  /** Sends the head and the first bytes of the body, then cuts. */
  sendPart(asked: Asked, bytes: number): Promise<void> {
    return new Promise((resolve) => {
      const request = this.open(asked, () => undefined);
      request.on("error", () => undefined).once("close", resolve);
      request.write(asked.body.subarray(0, bytes), () => setImmediate(() => request.destroy()));
    });
  }

  /** Sends a request in small pieces; its answer once the head is there. */
  trickle(asked: Asked): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      const request = this.open(asked, resolve).on("error", reject);
      const pieceBytes = Math.max(TRICKLE_BYTES, Math.ceil(asked.body.length / TRICKLE_PIECES_COUNT));
      const write = (at: number): void => {
        if (request.destroyed) return;
        if (at >= asked.body.length) return void request.end();
        request.write(asked.body.subarray(at, at + pieceBytes), () => setImmediate(write, at + pieceBytes));
      };
      write(0);
    });
  }

  cut(): void {
    this.agent.destroy();
    if (!this.isClosed) this.agent = new Agent({ keepAlive: true });
  }

  close(): void {
    this.isClosed = true;
    this.agent.destroy();
  }

  private open(asked: Asked, onAnswer: (answer: IncomingMessage) => void): ReturnType<typeof httpsRequest> {
    const headers: Record<string, string | string[]> = {};
    for (const [name, value] of Object.entries(asked.headers))
      if (value !== undefined && !HOP_BY_HOP.has(name)) headers[name] = value;
    if (asked.body.length > 0) headers["content-length"] = String(asked.body.length);
    return httpsRequest(
      { ...this.target, agent: this.agent, method: asked.method, path: asked.path, headers },
      onAnswer,
    );
  }
}

/** One request of a client with its fault. Rejects when either side's connection ends early. */
class Exchange {
  private readonly upstream: Upstream;
  private readonly overtaking: Overtaking;
  private readonly fault: Fault;
  private readonly record: FaultRecord;
  /** The other of two answers, until it has come. */
  private second: Promise<unknown> | undefined;

  constructor(upstream: Upstream, overtaking: Overtaking, fault: Fault, record: FaultRecord) {
    this.upstream = upstream;
    this.overtaking = overtaking;
    this.fault = fault;
    this.record = record;
  }

  async run(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { kind, waitMs, cutRatio } = this.fault;
    if (kind === "cut-before") return void request.socket.destroy();
    const pieces: Buffer[] = [];
    for await (const piece of request as AsyncIterable<Buffer>) pieces.push(piece);
    const asked: Asked = {
      method: request.method!,
      path: request.url!,
      headers: request.headers,
      body: Buffer.concat(pieces),
    };
    if (kind === "cut-request") {
      // At least a byte is missing, so that the site can tell.
      await this.upstream.sendPart(asked, Math.min(Math.floor(asked.body.length * cutRatio), asked.body.length - 1));
      return void request.socket.destroy();
    }
    if (kind === "gateway-error") return sendGatewayError(response, cutRatio);
    if (kind === "delay-request") await sleep(waitMs);
    if (kind === "hold") await this.overtaking.wait(waitMs);

    const answer = await this.answerTo(asked);
    if (kind === "lose-answer" || kind === "gateway-error-after") {
      await drain(answer);
      if (kind === "lose-answer") return void request.socket.destroy();
      return sendGatewayError(response, cutRatio);
    }
    if (kind === "delay-answer") await sleep(waitMs);
    await this.relay(answer, response).finally(() => this.second);
    if (kind === "replay") {
      await sleep(waitMs);
      await this.send(asked).then(drain, () => undefined);
    }
  }

  private async answerTo(asked: Asked): Promise<IncomingMessage> {
    if (this.fault.kind === "trickle") return this.upstream.trickle(asked).finally(() => this.passed());
    if (this.fault.kind === "duplicate") await drain(await this.send(asked));
    if (this.fault.kind === "duplicate-at-once") {
      const both = [this.send(asked), this.send(asked)];
      const first = await Promise.any(both);
      const drained = both.map((one) => one.then((answer) => (answer === first ? undefined : drain(answer))));
      this.second = Promise.allSettled(drained);
      return first;
    }
    return this.send(asked);
  }

  private send(asked: Asked): Promise<IncomingMessage> {
    return this.upstream.send(asked).finally(() => this.passed());
  }

  private passed(): void {
    this.record.sentCount++;
    this.overtaking.passed();
  }

  private async relay(answer: IncomingMessage, response: ServerResponse): Promise<void> {
    const headers = Object.entries(answer.headers).filter(([name]) => !HOP_BY_HOP.has(name));
    response.writeHead(answer.statusCode!, Object.fromEntries(headers) as Record<string, string>);
    response.flushHeaders();
    const announcedBytes = Number(answer.headers["content-length"] ?? 1024 * 1024);
    const cutBytes = this.fault.kind === "cut-answer" ? Math.floor(announcedBytes * this.fault.cutRatio) : Infinity;
    let relayedBytes = 0;
    for await (const piece of answer as AsyncIterable<Buffer>) {
      if (relayedBytes + piece.length > cutBytes) {
        const last = piece.subarray(0, cutBytes - relayedBytes);
        return void response.write(last, () => response.destroy());
      }
      relayedBytes += piece.length;
      await this.write(response, piece);
    }
    if (this.fault.kind === "cut-answer") return void response.destroy();
    if (Object.keys(answer.trailers).length > 0) response.addTrailers(answer.trailers as Record<string, string>);
    await new Promise<void>((resolve) => response.once("close", resolve).end(resolve));
  }

  private async write(response: ServerResponse, piece: Buffer): Promise<void> {
    const pieceBytes =
      this.fault.kind === "trickle"
        ? Math.max(TRICKLE_BYTES, Math.ceil(piece.length / TRICKLE_PIECES_COUNT))
        : piece.length;
    for (let at = 0; at < piece.length; at += pieceBytes) {
      await new Promise<void>((resolve, reject) => {
        response.write(piece.subarray(at, at + pieceBytes), (error) => (error ? reject(error) : resolve()));
      });
    }
  }
}

async function drain(answer: IncomingMessage): Promise<void> {
  for await (const _ of answer);
}

/** What a reverse proxy says when it does not reach the site: HTML, nothing of ours. */
function sendGatewayError(response: ServerResponse, ratio: number): void {
  const status = [502, 503, 504][Math.floor(ratio * 3)]!;
  response
    .writeHead(status, { "content-type": "text/html" })
    .end(`<html><h1>${status} ${STATUS_CODES[status]}</h1></html>\n`);
}
