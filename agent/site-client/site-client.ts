/**
 * The agent's side of the HTTP contract (protocol/http.ts). Every call but `enrol` is idempotent, and repeated while the
 * failure can pass by itself; every answer is checked. May be called any number of times in parallel.
 */
import type { IncomingMessage } from "node:http";
import type * as v from "valibot";
import { type Clock, systemClock } from "#agent/schedule/clock.ts";
import type { SiteSettings } from "#agent/config/agent-config.ts";
import { batchEntry, batchEntryBytes, readBatch, type StoredPrime } from "#protocol/batch.ts";
import { CostorError, isCostorError } from "#protocol/errors.ts";
import {
  checkInResponse,
  type CheckInResponse,
  type CommitRequest,
  type CommitResponse,
  commitResponse,
  contentTypes,
  type EnrolRequest,
  type EnrolResponse,
  enrolResponse,
  openSessionResponse,
  type OpenSessionRequest,
  type OpenSessionResponse,
  paths,
  primesResponse,
  snapshotResponse,
  type SnapshotResponse,
  snapshotsResponse,
  type SnapshotSummary,
} from "#protocol/http.ts";
import { type PrimeId, primeIdToBytes, type SessionId, type SnapshotId } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
import { describeConnectionFailure, parseAnswer } from "./failure.ts";
import { createRateLimit, type RateLimit } from "./rate-limit.ts";
import { type RetryPolicy, withRetries } from "./retry.ts";
import { readAll, SiteConnection, type SiteRequest } from "./site-connection.ts";

export interface SiteClientInit {
  readonly site: SiteSettings;
  /** Absent only while enrolling. */
  readonly token?: string;
  /** Most requests at a time; 4 by default. */
  readonly socketsCount?: number;
  /** Bound of what {@link SiteClient.sendPrimes} sends, all calls together. */
  readonly sendBytesPerSecond?: number;
  /** How long to try while the site has not answered once; 10 s by default. */
  readonly firstContactForMs?: number;
  /** How long to try when a site that had answered is gone; 10 min by default. */
  readonly reconnectForMs?: number;
}

export interface SiteClientComponents {
  readonly clock: Clock;
  readonly random: () => number;
}

/** A site that reports a failing or full disk is asked again only this long: a person has to help. */
const STORE_RETRY_MS = 15_000;
/** A commit walks what is new in the snapshot, without a word meanwhile. */
const COMMIT_SILENCE_MS = 30 * 60_000;
/** Under a bandwidth limit a batch holds about what goes through in this time. */
const LIMITED_BATCH_SECONDS = 5;

export class SiteClient implements Disposable {
  private readonly connection: SiteConnection;
  private readonly components: SiteClientComponents;
  private readonly policy: RetryPolicy;
  private readonly rateLimit: RateLimit | undefined;
  private hasAnswered = false;
  /** Ends when the last batch under a bandwidth limit has been sent. */
  private limitedTurn: Promise<void> = Promise.resolve();

  constructor(init: SiteClientInit, components: SiteClientComponents = { clock: systemClock, random: Math.random }) {
    this.components = components;
    this.connection = new SiteConnection({ site: init.site, token: init.token, socketsCount: init.socketsCount ?? 4 });
    this.rateLimit =
      init.sendBytesPerSecond === undefined ? undefined : createRateLimit(init.sendBytesPerSecond, components.clock);
    const firstContactForMs = init.firstContactForMs ?? 10_000;
    const reconnectForMs = init.reconnectForMs ?? 600_000;
    this.policy = {
      baseMs: 250,
      mostMs: 20_000,
      giveUpAfterMs: (error) => {
        if (error.details["isFinal"] === true) return 0;
        if (error.code === "site-unreachable") return this.hasAnswered ? reconnectForMs : firstContactForMs;
        if (error.code === "too-many-requests") return reconnectForMs;
        return error.code === "store-failed" || error.code === "store-full" ? STORE_RETRY_MS : 0;
      },
    };
  }

  /** Ends kept connections; calls under way fail. */
  [Symbol.dispose](): void {
    this.connection.close();
  }

  /** Spends the enrolment token; never repeated, since a lost answer leaves it spent. */
  async enrol(request: EnrolRequest, signal?: AbortSignal): Promise<EnrolResponse> {
    const answer = await this.connection.send({ ...jsonBody(request), method: "POST", path: paths.enrol, signal });
    return parseAnswer(enrolResponse, await readAll(answer, limits.jsonBodyBytes, paths.enrol), paths.enrol);
  }

  checkIn(signal?: AbortSignal): Promise<CheckInResponse> {
    return this.json(checkInResponse, { method: "GET", path: paths.checkIn, signal });
  }

  /** The same snapshot gives the same session. */
  openSession(request: OpenSessionRequest, signal?: AbortSignal): Promise<OpenSessionResponse> {
    return this.json(openSessionResponse, { ...jsonBody(request), method: "POST", path: paths.sessions, signal });
  }

  /** For each id, in order, whether the site wants it sent: true for what this agent has not sent yet. */
  async missing(sessionId: SessionId, ids: readonly PrimeId[], signal?: AbortSignal): Promise<boolean[]> {
    const answers: boolean[] = [];
    for (let at = 0; at < ids.length; at += limits.missingIdsCount) {
      const asked = ids.slice(at, at + limits.missingIdsCount);
      const path = paths.missing(sessionId);
      const octets = await this.octets(
        { method: "POST", path, ...octetBody(asked.map(primeIdToBytes)), signal },
        asked.length,
      );
      if (octets.length !== asked.length || octets.some((octet) => octet > 1)) {
        throw new CostorError("site-answer-invalid", `the answer of ${path} is not one byte 0 or 1 for each id`);
      }
      for (const octet of octets) answers.push(octet === 1);
    }
    return answers;
  }

  /**
   * Resolves when all are durable at the site. At most `limits.batchPrimesCount` primes and `limits.batchBytes` in all.
   * The bytes must stay unchanged until then.
   */
  async sendPrimes(sessionId: SessionId, primes: readonly StoredPrime[], signal?: AbortSignal): Promise<void> {
    if (!this.rateLimit) return this.sendBatch(sessionId, primes, signal);
    // One small batch at a time, so that none is so slow that the site gives up on it.
    const mostBytes = this.rateLimit.bytesPerSecond * LIMITED_BATCH_SECONDS;
    const turn = this.limitedTurn.then(async () => {
      for (const batch of splitBatch(primes, mostBytes)) await this.sendBatch(sessionId, batch, signal);
    });
    this.limitedTurn = turn.catch(() => undefined);
    return turn;
  }

  private async sendBatch(sessionId: SessionId, primes: readonly StoredPrime[], signal?: AbortSignal): Promise<void> {
    const path = paths.primes(sessionId);
    const body = primes.flatMap((prime) => batchEntry(prime));
    const request: SiteRequest = { method: "POST", path, ...octetBody(body), rateLimit: this.rateLimit, signal };
    const { storedCount } = await this.json(primesResponse, request);
    if (storedCount !== primes.length) {
      throw new CostorError(
        "site-answer-invalid",
        `${path}: the site stored ${storedCount} primes of ${primes.length}`,
      );
    }
  }

  /** Throws `commit-incomplete` with `details.missing`, ids that are to be sent first. */
  commit(sessionId: SessionId, request: CommitRequest, signal?: AbortSignal): Promise<CommitResponse> {
    const path = paths.commit(sessionId);
    return this.json(commitResponse, {
      ...jsonBody(request),
      method: "POST",
      path,
      silenceMs: COMMIT_SILENCE_MS,
      signal,
    });
  }

  /** This agent's own, oldest first. */
  async snapshots(signal?: AbortSignal): Promise<SnapshotSummary[]> {
    return (await this.json(snapshotsResponse, { method: "GET", path: paths.snapshots, signal })).snapshots;
  }

  snapshot(id: SnapshotId, signal?: AbortSignal): Promise<SnapshotResponse> {
    return this.json(snapshotResponse, { method: "GET", path: paths.snapshot(id), signal });
  }

  /**
   * The primes in the asked order, each once per mention; not verified: `openPrime` does that. Goes on after a cut
   * connection where it stopped. Throws `prime-missing` for one that this agent has not sent.
   */
  async *readPrimes(ids: readonly PrimeId[], signal?: AbortSignal): AsyncGenerator<StoredPrime> {
    for (let at = 0; at < ids.length; at += limits.readIdsCount) {
      yield* this.readSome(ids.slice(at, at + limits.readIdsCount), signal);
    }
  }

  private async *readSome(ids: readonly PrimeId[], signal?: AbortSignal): AsyncGenerator<StoredPrime> {
    let givenCount = 0;
    while (givenCount < ids.length) {
      const rest = ids.slice(givenCount);
      const request: SiteRequest = {
        method: "POST",
        path: paths.readPrimes,
        ...octetBody(rest.map(primeIdToBytes)),
        signal,
      };
      // The first prime is part of what is repeated, so that a connection that is always cut before it gives up in the end.
      const { first, following } = await this.repeat(() => this.startReading(request), signal);
      let next = first;
      try {
        while (!next.done) {
          if (next.value.id !== ids[givenCount]) {
            throw new CostorError(
              "site-answer-invalid",
              `${paths.readPrimes}: prime ${next.value.id} came in place of ${ids[givenCount]}`,
            );
          }
          givenCount++;
          yield next.value;
          next = await following.next();
        }
      } catch (error) {
        signal?.throwIfAborted();
        if (isCostorError(error) && error.code !== "bad-request") throw error;
        // The connection was cut, perhaps inside a prime: the loop asks for the rest.
      } finally {
        await following.return(undefined).catch(() => undefined);
      }
    }
  }

  private async startReading(
    request: SiteRequest,
  ): Promise<{ first: IteratorResult<StoredPrime>; following: AsyncGenerator<StoredPrime> }> {
    const answer = await this.connection.send(request);
    const following = readBatch(answer as AsyncIterable<Buffer>);
    try {
      const first = await following.next();
      if (first.done) throw new Error("the answer ended before the first prime");
      return { first, following };
    } catch (error) {
      answer.destroy();
      if (isCostorError(error, "limit-exceeded")) throw error;
      throw describeConnectionFailure(error as Error, "the site");
    }
  }

  private async json<Schema extends v.GenericSchema>(
    schema: Schema,
    request: SiteRequest,
  ): Promise<v.InferOutput<Schema>> {
    return parseAnswer(schema, await this.octets(request, limits.jsonAnswerBytes), request.path);
  }

  private octets(request: SiteRequest, mostBytes: number): Promise<Buffer> {
    return this.repeat(async () => {
      const answer = await this.connection.send(request);
      return readWhole(answer, mostBytes, request.path);
    }, request.signal);
  }

  private repeat<T>(attempt: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    const noted = async (): Promise<T> => {
      try {
        const result = await attempt();
        this.hasAnswered = true;
        return result;
      } catch (error) {
        if (isCostorError(error) && error.details["status"] !== undefined) this.hasAnswered = true;
        throw error;
      }
    };
    return withRetries(noted, this.policy, this.components, signal);
  }
}

/** The primes in order, in batches of at most `mostBytes` or one prime. */
function* splitBatch(primes: readonly StoredPrime[], mostBytes: number): Generator<StoredPrime[]> {
  let batch: StoredPrime[] = [];
  let bytes = 0;
  for (const prime of primes) {
    const entryBytes = batchEntryBytes(prime.stored.length);
    if (batch.length > 0 && bytes + entryBytes > mostBytes) {
      yield batch;
      batch = [];
      bytes = 0;
    }
    batch.push(prime);
    bytes += entryBytes;
  }
  if (batch.length > 0) yield batch;
}

async function readWhole(answer: IncomingMessage, mostBytes: number, path: string): Promise<Buffer> {
  try {
    return await readAll(answer, mostBytes, path);
  } catch (error) {
    if (isCostorError(error)) throw error;
    throw describeConnectionFailure(error as Error, path);
  }
}

const jsonBody = (value: object): Pick<SiteRequest, "body" | "contentType"> => ({
  body: [Buffer.from(JSON.stringify(value), "utf8")],
  contentType: contentTypes.json,
});

const octetBody = (pieces: readonly Uint8Array[]): Pick<SiteRequest, "body" | "contentType"> => ({
  body: pieces,
  contentType: contentTypes.octets,
});
