/**
 * Direct restore on the site's side: subtrees as tar and zip, single files with ranges. The first chunk is at hand before
 * the status goes out, so that what fails at once is an error; what fails later cuts the connection, and only a whole archive
 * has the trailers. Spec: docs/specs/export.md.
 */
import { createHash } from "node:crypto";
import { Readable } from "node:stream";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { type ExportSource, type ExportStart, type ExportStream, findExportStart } from "#node/export/export-source.ts";
import { openPrimeSource } from "#node/export/prime-source.ts";
import { type FileAnswer, readRange } from "#node/export/single-file.ts";
import { createTarStream } from "#node/export/tar.ts";
import { createZipStream } from "#node/export/zip.ts";
import type { Site } from "#node/site/site.ts";
import type { ByteString } from "#protocol/byte-string.ts";
import { CostorError } from "#protocol/errors.ts";
import { contentTypes, paths } from "#protocol/http.ts";
import type { AgentId } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
import { nodePointerFromWire } from "#protocol/node-pointer.ts";
import { parseSnapshotPath } from "./agent-routes.ts";
import { agentOf } from "./authentication.ts";
import type { BodyBudget } from "./body-budget.ts";
import { contentDisposition, parseExportPath } from "./export-path.ts";
import { holdUntilEnd } from "./request-end.ts";

interface IdInPath {
  Params: { id: string };
}
type ExportRequest = FastifyRequest<IdInPath>;
type FileChunks = NonNullable<FileAnswer["chunks"]>;

interface Archive {
  readonly extension: string;
  readonly type: string;
  create(
    source: ExportSource,
    start: ExportStart,
    options: { readonly signal: AbortSignal; readonly nowMs: number },
  ): ExportStream;
}

/** Room while a file is read at once: for primes and tree pages that are opened. */
const SMALL_FILE_ROOM_BYTES = 8 * limits.primeStoredBytes;

/** @param answers room for answers in memory */
export function addExportRoutes(server: FastifyInstance, site: Site, answers: BodyBudget): void {
  const exports = new ExportSlots();
  /** A small file, or range, is read at once and waits for room; it needs no slot, which a slow client could hold. */
  const fileBody = async (request: FastifyRequest, { headers }: FileAnswer, chunks: FileChunks) => {
    const agent = agentOf(request).id;
    if (Number(headers["content-length"]) > limits.smallFileBytes) return bodyOf(chunks, exports.take(agent));
    holdUntilEnd(request, await answers.take(agent, SMALL_FILE_ROOM_BYTES, request.over));
    return Buffer.concat(await Array.fromAsync(chunks));
  };
  const addArchive = (url: string, archive: Archive): void => {
    server.route<IdInPath>({
      method: ["GET", "HEAD"],
      url,
      handler: async (request, reply) => {
        const { source, start, name } = await openExport(site, request);
        reply.type(archive.type).header("content-disposition", contentDisposition(name, archive.extension));
        if (request.method === "HEAD") return reply.send();
        const slot = exports.take(agentOf(request).id);
        return sendArchive(reply, archive.create(source, start, { signal: request.signal, nowMs: site.now() }), slot);
      },
    });
  };
  addArchive(paths.tar(":id"), { extension: ".tar", type: "application/x-tar", create: createTarStream });
  addArchive(paths.zip(":id"), { extension: ".zip", type: "application/zip", create: createZipStream });

  server.route<IdInPath>({
    method: ["GET", "HEAD"],
    url: paths.file(":id"),
    handler: async (request, reply) => {
      const { source, start, name } = await openExport(site, request);
      if (!("object" in start) || start.object.type !== "file") {
        throw new CostorError("bad-request", "this is no file; ask for it as tar or zip");
      }
      const { "if-range": ifRange, "if-none-match": ifNoneMatch } = request.headers;
      // Ranges are defined for GET only (RFC 9110, section 14.2).
      const range = request.method === "GET" ? request.headers.range : undefined;
      const answer = readRange(
        source,
        start.object,
        { range, ifRange: ifRange as string | undefined, ifNoneMatch },
        request.signal,
      );
      // Content of a snapshot is whatever its maker wanted: never shown as a page of this site.
      const headers = {
        ...answer.headers,
        "content-type": contentTypes.octets,
        "content-disposition": contentDisposition(name, ""),
        "content-security-policy": "sandbox",
      };
      const body =
        request.method === "GET" && answer.chunks ? await fileBody(request, answer, answer.chunks) : undefined;
      return reply.code(answer.status).headers(headers).send(body);
    },
  });
}

/**
 * Exports under way, at most `limits.exportsAtOnceCount`, so that their memory is bounded, and of one agent at most
 * `limits.exportsPerAgentCount`, so that none takes them all.
 */
class ExportSlots {
  private readonly taken: AgentId[] = [];

  /** Throws `too-many-requests` when all are taken. */
  take(agent: AgentId): Disposable {
    const own = this.taken.filter((other) => other === agent);
    if (this.taken.length >= limits.exportsAtOnceCount || own.length >= limits.exportsPerAgentCount) {
      throw new CostorError(
        "too-many-requests",
        `${this.taken.length} exports are under way, ${own.length} of them yours`,
        {
          details: { retryAfterSeconds: 30 },
        },
      );
    }
    this.taken.push(agent);
    let isTaken = true;
    return {
      [Symbol.dispose]: () => {
        if (isTaken) this.taken.splice(this.taken.indexOf(agent), 1);
        isTaken = false;
      },
    };
  }
}

/** Throws `snapshot-unknown`, `path-unknown`, `bad-request`. */
async function openExport(
  site: Site,
  request: ExportRequest,
): Promise<{ source: ExportSource; start: ExportStart; name: ByteString }> {
  const path = parseExportPath(request.raw.url ?? "");
  const id = parseSnapshotPath(request.params.id);
  const snapshot = await site.snapshots.get(agentOf(request).id, id);
  const source = openPrimeSource({ fetchPrime: (prime) => site.primes.get(prime) });
  const start = await findExportStart(source, nodePointerFromWire(snapshot.root), path);
  return { source, start, name: path.at(-1) ?? (`snapshot-${id}` as ByteString) };
}

async function sendArchive(
  reply: FastifyReply,
  { chunks, totals }: ExportStream,
  slot: Disposable,
): Promise<FastifyReply> {
  const digest = createHash("sha256");
  const hashed = async function* (): AsyncGenerator<Buffer, void, void> {
    for await (const chunk of chunks) {
      digest.update(chunk);
      yield chunk;
    }
  };
  const body = await bodyOf(hashed(), slot);
  reply.trailer("costor-entries", async () => String(totals.entriesCount));
  reply.trailer("content-digest", async () => `sha-256=:${digest.digest("base64")}:`);
  return reply.send(body);
}

/** The chunks as a body, the first of them already made; frees the slot however they end. */
async function bodyOf(chunks: AsyncGenerator<Buffer, void, void>, slot: Disposable): Promise<Readable> {
  let first: IteratorResult<Buffer, void>;
  try {
    first = await chunks.next();
  } catch (error) {
    slot[Symbol.dispose]();
    throw error;
  }
  const all = async function* (): AsyncGenerator<Buffer, void, void> {
    if (!first.done) yield first.value;
    yield* chunks;
  };
  const body = Readable.from(all(), { objectMode: false, highWaterMark: 1024 * 1024 });
  return body.once("close", () => slot[Symbol.dispose]());
}
