/**
 * Primes in and out. Bodies are raw bytes. A batch is read into memory once and handed over to the store; a read is pulled by
 * the client, with a few primes fetched ahead, for which it has room in a budget until it is over.
 */
import { Readable } from "node:stream";
import type { FastifyInstance, FastifyRequest } from "fastify";
import type { Site } from "#node/site/site.ts";
import { parseSessionPath } from "#node/site/upload-sessions.ts";
import { batchEntry } from "#protocol/batch.ts";
import { CostorError } from "#protocol/errors.ts";
import { contentTypes, paths } from "#protocol/http.ts";
import { type PrimeId, primeIdFromBytes } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
import { noteDropped } from "#protocol/young-garbage.ts";
import { agentOf } from "./authentication.ts";
import type { BodyReader } from "./bodies.ts";
import type { BodyBudget } from "./body-budget.ts";
import { holdUntilEnd } from "./request-end.ts";

interface IdInPath {
  Params: { id: string };
}

const ID_BYTES = 32;
/** Room of one answer: for primes on their way out, and for those fetched ahead, of which each may turn out the largest. */
const ANSWER_BYTES = 4 * limits.primeStoredBytes;
/** Below this, head and bytes go into one write. */
const JOINED_BYTES = 64 * 1024;

/** @param answers room for answers in memory */
export function addPrimeRoutes(server: FastifyInstance, site: Site, bodies: BodyReader, answers: BodyBudget): void {
  server.post<IdInPath>(paths.missing(":id"), async (request, reply) => {
    const session = parseSessionPath(request.params.id);
    const ids = await readIds(bodies, request, limits.missingIdsCount);
    const missing = await site.sessions.missing(agentOf(request).id, session, ids);
    return reply.type(contentTypes.octets).send(Buffer.from(missing.map(Number)));
  });

  server.post<IdInPath>(paths.primes(":id"), async (request) => {
    const session = parseSessionPath(request.params.id);
    const agent = agentOf(request).id;
    site.sessions.require(agent, session);
    return await site.sessions.putBatch(agent, session, await readOctets(bodies, request, limits.batchBytes));
  });

  server.post(paths.readPrimes, async (request, reply) => {
    const agent = agentOf(request).id;
    const ids = await readIds(bodies, request, limits.readIdsCount);
    const readable = await site.primes.areReadable(agent, ids);
    const missing = ids.filter((_, index) => !readable[index]);
    if (missing.length > 0) {
      const others = missing.length > 1 ? ` and ${missing.length - 1} others are` : " is";
      throw new CostorError("prime-missing", `prime ${missing[0]}${others} not held for this agent`, {
        details: { missing },
      });
    }
    const roomBytes = Math.min(ANSWER_BYTES, ids.length * limits.primeStoredBytes);
    holdUntilEnd(request, await answers.take(agent, roomBytes, request.over));
    const leaving: { body?: Readable } = {};
    const batch = readAsBatch(site, ids, () => reply.raw.writableLength + (leaving.body?.readableLength ?? 0));
    // The first prime is at hand before the status goes out, so that a damaged one is an error and no cut answer.
    const first = await batch.next();
    leaving.body = Readable.from(startingWith(first, batch), { objectMode: false, highWaterMark: 1024 * 1024 });
    return reply.type(contentTypes.octets).send(leaving.body);
  });
}

async function readOctets(
  bodies: BodyReader,
  request: FastifyRequest,
  limitBytes: number,
): Promise<Buffer<ArrayBuffer>> {
  if (request.headers["content-type"] !== contentTypes.octets) {
    throw new CostorError("bad-request", `the content type is ${contentTypes.octets}`);
  }
  return bodies.read(request, limitBytes);
}

/** A body of ids end to end. */
async function readIds(bodies: BodyReader, request: FastifyRequest, limitCount: number): Promise<PrimeId[]> {
  const body = await readOctets(bodies, request, limitCount * ID_BYTES);
  if (body.length % ID_BYTES !== 0)
    throw new CostorError("bad-request", `the body is no list of ids of ${ID_BYTES} bytes`);
  const ids: PrimeId[] = [];
  for (let at = 0; at < body.length; at += ID_BYTES) ids.push(primeIdFromBytes(body.subarray(at, at + ID_BYTES)));
  return ids;
}

/** @param leavingBytes how much of what was given out the client has not taken yet */
async function* readAsBatch(
  site: Site,
  ids: readonly PrimeId[],
  leavingBytes: () => number,
): AsyncGenerator<Uint8Array, void> {
  const ahead: Promise<Buffer>[] = [];
  let aheadBytes = 0;
  const fetch = async (id: PrimeId): Promise<Buffer> => {
    aheadBytes += limits.primeStoredBytes;
    const stored = await site.primes.get(id);
    aheadBytes += stored.length - limits.primeStoredBytes;
    return stored;
  };
  const hasRoom = (): boolean => leavingBytes() + aheadBytes + limits.primeStoredBytes <= ANSWER_BYTES;
  let next = 0;
  for (const id of ids) {
    while (next < ids.length && (ahead.length === 0 || hasRoom())) {
      const fetching = fetch(ids[next++]!);
      fetching.catch(() => undefined);
      ahead.push(fetching);
    }
    const stored = await ahead.shift()!;
    aheadBytes -= stored.length;
    const entry = batchEntry({ id, stored });
    if (stored.length < JOINED_BYTES) yield Buffer.concat(entry);
    else yield* entry;
    noteDropped(stored.length);
  }
}

async function* startingWith<T>(
  first: IteratorResult<T, void>,
  rest: AsyncGenerator<T, void>,
): AsyncGenerator<T, void> {
  if (first.done) return;
  yield first.value;
  yield* rest;
}
