/** A site with a real facade, real TLS and its own identity, on loopback, in this process; and a bare HTTPS client for it. */
import type { IncomingHttpHeaders } from "node:http";
import { request as httpsRequest } from "node:https";
import { connect as tlsConnect, type TLSSocket } from "node:tls";
import { pino } from "pino";
import type { CopiesOf } from "#node/facade/agent-routes.ts";
import type { DrillResults } from "#node/facade/metrics.ts";
import { type Facade, type FacadePatience, startFacade } from "#node/facade/facade.ts";
import { ensureIdentity } from "#node/site/first-run.ts";
import { certificatePem } from "#node/site/pem.ts";
import { type Site, openSite } from "#node/site/site.ts";
import type { PrimeStore } from "#node/store/prime-store.ts";
import { parseEnrolToken } from "#protocol/enrol-token.ts";
import type { EnrolResponse, Problem } from "#protocol/http.ts";
import { serverNameOf } from "#protocol/server-name.ts";
import { createMemoryStore } from "#test/support/memory-store.ts";
import { scratchDirectory } from "#test/support/scratch.ts";

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  json<T = unknown>(): T;
  /** The problem; fails for any other kind of answer. */
  problem(): Problem;
}

export interface Ask {
  readonly method?: string;
  readonly path: string;
  readonly token?: string;
  readonly headers?: Record<string, string>;
  /** Sent as JSON. */
  readonly json?: unknown;
  /** Sent as octets. */
  readonly octets?: Uint8Array;
}

export interface TestSite extends AsyncDisposable {
  readonly site: Site;
  readonly facade: Facade;
  readonly dataDirectory: string;
  readonly store: PrimeStore;
  /** What the facade logged, one JSON line each. */
  readonly log: string[];
  ask(ask: Ask): Promise<Answer>;
  enrol(name?: string): Promise<EnrolResponse>;
  /** A connection that has done TLS and sent nothing. */
  connect(): Promise<TLSSocket>;
}

export async function startTestSite(
  init: {
    store?: PrimeStore;
    dataDirectory?: string;
    now?: () => number;
    patience?: FacadePatience;
    copiesOf?: CopiesOf;
    isSuperseded?: () => boolean;
    drills?: DrillResults;
  } = {},
): Promise<TestSite> {
  const { store = createMemoryStore(), dataDirectory = await scratchDirectory("site"), now = Date.now } = init;
  const log: string[] = [];
  await ensureIdentity(dataDirectory, store, { siteName: "Test", showKit: () => {}, nowMs: now() });
  const site = await openSite(dataDirectory, { store, now });
  const credentials = await site.credentials(["127.0.0.1"]);
  const logger = pino({ level: "debug" }, { write: (line: string) => void log.push(line) });
  const { copiesOf, isSuperseded, drills } = init;
  const facade = await startFacade(
    {
      site,
      log: logger,
      ...(copiesOf && { copiesOf }),
      ...(isSuperseded && { isSuperseded }),
      ...(drills && { drills }),
    },
    { credentials, host: "127.0.0.1", port: 0, patience: init.patience },
  );
  const { port } = facade.address;
  const tls = {
    host: "127.0.0.1",
    port,
    ca: certificatePem(site.identity.caCertificate),
    servername: serverNameOf(site.identity.siteId),
  };

  const ask = ({ method, path, token, headers = {}, json, octets }: Ask): Promise<Answer> => {
    const body = json !== undefined ? Buffer.from(JSON.stringify(json)) : octets;
    const type = json !== undefined ? "application/json" : octets ? "application/octet-stream" : undefined;
    const all = {
      ...(type ? { "content-type": type, "content-length": String(body!.length) } : {}),
      ...(token ? { authorization: `Bearer ${token}` } : {}),
      ...headers,
    };
    return new Promise((resolve, reject) => {
      const request = httpsRequest(
        { ...tls, path, method: method ?? (body ? "POST" : "GET"), headers: all, agent: false },
        async (response) => {
          try {
            const pieces: Buffer[] = [];
            for await (const piece of response) pieces.push(piece as Buffer);
            resolve(answerOf(response.statusCode!, response.headers, Buffer.concat(pieces)));
          } catch (error) {
            reject(error);
          }
        },
      );
      request.on("error", reject);
      request.end(body);
    });
  };
  return {
    site,
    facade,
    dataDirectory,
    store,
    log,
    ask,
    enrol: async (name = "machine") => {
      const { token } = await site.enrolments.issue(name, [`127.0.0.1:${port}`]);
      const secret = Buffer.from(parseEnrolToken(token).secret).toString("base64url");
      const answer = await ask({ path: "/v1/enrol", json: { secret, hostName: name } });
      return answer.json<EnrolResponse>();
    },
    connect: () =>
      new Promise((resolve, reject) => {
        const socket = tlsConnect(tls, () => resolve(socket));
        socket.on("error", reject);
      }),
    [Symbol.asyncDispose]: () => facade[Symbol.asyncDispose](),
  };
}

function answerOf(status: number, headers: IncomingHttpHeaders, body: Buffer): Answer {
  const json = <T>(): T => JSON.parse(body.toString()) as T;
  return {
    status,
    headers,
    body,
    json,
    problem: () => {
      if (headers["content-type"] !== "application/problem+json")
        throw new Error(`${status} ${headers["content-type"]}: ${body.toString().slice(0, 200)}`);
      const problem = json<Problem>();
      if (problem.status !== status) throw new Error(`status ${status} carries a problem of ${problem.status}`);
      return problem;
    },
  };
}
