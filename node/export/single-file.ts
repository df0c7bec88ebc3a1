/** One file over HTTP, whole or a range of it (RFC 9110, section 14). A range opens only the primes that it touches. */
import { createHash } from "node:crypto";
import { CostorError } from "#protocol/errors.ts";
import type { FileObject } from "#protocol/tree.ts";
import type { ExportSource } from "./export-source.ts";
import { readFileBytes } from "./file-content.ts";

export interface ByteRange {
  readonly startBytes: number;
  /** Behind the last byte. */
  readonly endBytes: number;
}

export interface FileRequest {
  /** Values of the request's headers of these names. */
  readonly range?: string | undefined;
  readonly ifRange?: string | undefined;
  readonly ifNoneMatch?: string | undefined;
}

export interface FileAnswer {
  readonly status: 200 | 206 | 304 | 416;
  readonly headers: Readonly<Record<string, string>>;
  /** Undefined for an answer without a body; exactly as many bytes as Content-Length says, or it throws. */
  readonly chunks: AsyncGenerator<Buffer, void, void> | undefined;
}

const SINGLE_RANGE = /^bytes=[ \t]*(?:(\d{1,15})-(\d{1,15})?|-(\d{1,15}))[ \t]*$/i;

/**
 * The range of a file of `sizeBytes` that a Range header asks for. `whole`: there is no header, or one that a server may
 * ignore: another unit, several ranges, a malformed one. `unsatisfiable`: nothing of the file lies in the range.
 */
export function parseRange(header: string | undefined, sizeBytes: number): ByteRange | "whole" | "unsatisfiable" {
  const match = SINGLE_RANGE.exec(header ?? "");
  if (!match) return "whole";
  const [, first, last, suffix] = match;
  if (suffix !== undefined) {
    if (Number(suffix) === 0 || sizeBytes === 0) return "unsatisfiable";
    return { startBytes: Math.max(sizeBytes - Number(suffix), 0), endBytes: sizeBytes };
  }
  const startBytes = Number(first);
  if (last !== undefined && Number(last) < startBytes) return "whole";
  if (startBytes >= sizeBytes) return "unsatisfiable";
  return { startBytes, endBytes: last === undefined ? sizeBytes : Math.min(Number(last) + 1, sizeBytes) };
}

/** A strong validator: equal tags mean equal bytes, since a slice's prime is named by its content. */
export function entityTagOf(file: FileObject): string {
  const digest = createHash("sha256").update(`${file.sizeBytes}`);
  for (const extent of file.extents ?? []) digest.update(` ${extent.offsetBytes}+${extent.lengthBytes}`);
  const slices = "slices" in file.content ? file.content.slices : file.content.pages;
  digest.update("slices" in file.content ? "|slices" : `|pages ${file.content.depth}`);
  for (const { prime, offsetBytes, lengthBytes } of slices) digest.update(`|${prime.id} ${offsetBytes}+${lengthBytes}`);
  return `"${digest.digest("base64url").slice(0, 32)}"`;
}

/** Answers a GET; the caller leaves the body away for a HEAD. */
export function readRange(
  source: ExportSource,
  file: FileObject,
  request: FileRequest,
  signal?: AbortSignal,
): FileAnswer {
  const etag = entityTagOf(file);
  const headers = { etag, "accept-ranges": "bytes" };
  if (matchesTag(request.ifNoneMatch, etag)) return { status: 304, headers, chunks: undefined };
  const isRangeWanted = request.ifRange === undefined || request.ifRange === etag;
  const range = isRangeWanted ? parseRange(request.range, file.sizeBytes) : "whole";
  if (range === "unsatisfiable") {
    return {
      status: 416,
      headers: { ...headers, "content-range": `bytes */${file.sizeBytes}`, "content-length": "0" },
      chunks: undefined,
    };
  }
  const { startBytes, endBytes } = range === "whole" ? { startBytes: 0, endBytes: file.sizeBytes } : range;
  const contentLength = { "content-length": String(endBytes - startBytes) };
  const chunks = exactly(readFileBytes(source, file, startBytes, endBytes, signal), endBytes - startBytes);
  if (range === "whole") return { status: 200, headers: { ...headers, ...contentLength }, chunks };
  const contentRange = { "content-range": `bytes ${startBytes}-${endBytes - 1}/${file.sizeBytes}` };
  return { status: 206, headers: { ...headers, ...contentLength, ...contentRange }, chunks };
}

function matchesTag(header: string | undefined, etag: string): boolean {
  if (header === undefined) return false;
  return header.trim() === "*" || header.split(",").some((tag) => tag.trim().replace(/^W\//, "") === etag);
}

async function* exactly(chunks: AsyncGenerator<Buffer, void, void>, bytes: number): AsyncGenerator<Buffer, void, void> {
  let sent = 0;
  for await (const chunk of chunks) {
    sent += chunk.length;
    yield chunk;
  }
  if (sent !== bytes) throw new CostorError("tree-invalid", `a file gave ${sent} bytes where its tree says ${bytes}`);
}
