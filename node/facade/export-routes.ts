/**
 * Direct restore: an agent's own snapshots as tar, zip, or single files with ranges, made while they are pulled. The path
 * is a query parameter of percent-encoded bytes, since a name need not be UTF-8. What fails after the status went out
 * cuts the connection, so that nothing cut looks whole.
 */
import { Readable } from "node:stream";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { type ExportSource, type ExportStart, findExportStart } from "#node/export/export-source.ts";
import { OpenedPrimes } from "#node/export/opened-primes.ts";
import type { Site } from "#node/site/site.ts";
import type { ByteString } from "#protocol/byte-string.ts";
import { byteStringFromBytes, byteStringToBytes } from "#protocol/byte-string.ts";
import { CostorError } from "#protocol/errors.ts";
import { contentTypes } from "#protocol/http.ts";
import { limits } from "#protocol/limits.ts";
import { nodePointerFromWire } from "#protocol/node-pointer.ts";
import { TreeReader } from "#protocol/tree-reader.ts";
import { parseSnapshotPath } from "./agent-routes.ts";
import { agentOf } from "./authentication.ts";

interface ExportRequest {
  Params: { id: string };
}

export const exportPaths = {
  tar: (snapshotId: string) => `/v1/snapshots/${snapshotId}/tar`,
  zip: (snapshotId: string) => `/v1/snapshots/${snapshotId}/zip`,
  file: (snapshotId: string) => `/v1/snapshots/${snapshotId}/file`,
} as const;

export function addExportRoutes(server: FastifyInstance, site: Site): void {
  server.get<ExportRequest>(exportPaths.tar(":id"), { exposeHeadRoute: false }, async (request, reply) => {
    const { source, start } = await openExport(site, request, request.params.id);
    const { createTarStream } = await import("#node/export/tar.ts");
    reply.type("application/x-tar").header("content-disposition", `attachment; filename="${request.params.id}.tar"`);
    return sendChunks(reply, createTarStream(source, start, { signal: request.signal }).chunks);
  });
  server.get<ExportRequest>(exportPaths.zip(":id"), { exposeHeadRoute: false }, async (request, reply) => {
    const { source, start } = await openExport(site, request, request.params.id);
    const { createZipStream } = await import("#node/export/zip.ts");
    reply.type("application/zip").header("content-disposition", `attachment; filename="${request.params.id}.zip"`);
    return sendChunks(reply, createZipStream(source, start, { signal: request.signal, nowMs: site.now() }).chunks);
  });
  server.get<ExportRequest>(exportPaths.file(":id"), async (request, reply) => {
    const { source, start } = await openExport(site, request, request.params.id);
    if (!("object" in start) || start.object.type !== "file") throw new CostorError("path-unknown", "there is no file at this path");
    const { readRange } = await import("#node/export/single-file.ts");
    const { range, "if-range": ifRange, "if-none-match": ifNoneMatch } = request.headers;
    const answer = readRange(source, start.object, { range, ifRange: ifRange as string | undefined, ifNoneMatch }, request.signal);
    reply.code(answer.status).type(contentTypes.octets).headers(answer.headers).header("content-disposition", fileDisposition(start.object.name));
    if (!answer.chunks || request.method === "HEAD") return reply.send();
    return sendChunks(reply, answer.chunks);
  });
}

async function openExport(site: Site, request: FastifyRequest, snapshotId: string): Promise<{ source: ExportSource; start: ExportStart }> {
  const agent = agentOf(request).id;
  const { root } = await site.snapshots.get(agent, parseSnapshotPath(snapshotId));
  const fetchPrime = site.store.get.bind(site.store);
  const primes = new OpenedPrimes({ fetchPrime }, { limitBytes: limits.exportOpenedBytes });
  const source: ExportSource = { tree: new TreeReader({ fetchPrime }), openSlice: (slice) => primes.openSlice(slice) };
  return { source, start: await findExportStart(source, nodePointerFromWire(root), pathInQuery(request.raw.url ?? "")) };
}

/** The names of the parameter `path`, by its bytes. Throws `bad-request`. */
export function pathInQuery(url: string): ByteString[] {
  const query = url.split("?", 2)[1] ?? "";
  const values = query.split("&").filter((pair) => pair.startsWith("path="));
  if (values.length > 1) throw new CostorError("bad-request", "path is given more than once");
  const encoded = values[0]?.slice("path=".length) ?? "";
  if (/%(?![0-9a-fA-F]{2})/.test(encoded)) throw new CostorError("bad-request", "path is not percent-encoded");
  const raw = Buffer.from(encoded, "latin1").toString("latin1");
  const bytes = Buffer.from(raw.replace(/%([0-9a-fA-F]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16))), "latin1");
  return byteStringFromBytes(bytes)
    .split("/")
    .filter((name) => name !== "") as ByteString[];
}

/** RFC 6266 with RFC 8187: a name for every client, and the bytes of the real one. */
function fileDisposition(name: ByteString): string {
  const plain = name.replace(/[^A-Za-z0-9._ -]/g, "_");
  const encoded = [...byteStringToBytes(name)].map((byte) => (/[A-Za-z0-9._-]/.test(String.fromCharCode(byte)) ? String.fromCharCode(byte) : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`));
  return `attachment; filename="${plain}"; filename*=UTF-8''${encoded.join("")}`;
}

async function sendChunks(reply: FastifyReply, chunks: AsyncGenerator<Buffer, void, void>): Promise<FastifyReply> {
  // The first piece is at hand before the status goes out: what is wrong from the start is an error and no cut answer.
  const first = await chunks.next();
  const rest = async function* (): AsyncGenerator<Buffer, void, void> {
    if (first.done) return;
    yield first.value;
    yield* chunks;
  };
  return reply.send(Readable.from(rest(), { objectMode: false }));
}
