/** Turns what goes wrong on the wire, and what a site answers, into coded errors. */
import type { IncomingHttpHeaders } from "node:http";
import * as v from "valibot";
import { CostorError, type ErrorCode, errorRegistry } from "#protocol/errors.ts";
import { contentTypes, problem } from "#protocol/http.ts";

/** What OpenSSL and Node say when the server cannot prove that it is the site. */
const IDENTITY_CODES: ReadonlySet<string> = new Set([
  "CERT_SIGNATURE_FAILURE",
  "CERT_UNTRUSTED",
  "CERT_REJECTED",
  "CERT_CHAIN_TOO_LONG",
  "DEPTH_ZERO_SELF_SIGNED_CERT",
  "ERR_TLS_CERT_ALTNAME_INVALID",
  "HOSTNAME_MISMATCH",
  "INVALID_CA",
  "INVALID_PURPOSE",
  "PATH_LENGTH_EXCEEDED",
  "SELF_SIGNED_CERT_IN_CHAIN",
  "UNABLE_TO_GET_ISSUER_CERT",
  "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
]);
const DATE_CODES: ReadonlySet<string> = new Set(["CERT_HAS_EXPIRED", "CERT_NOT_YET_VALID"]);

/** The coded error of a connection that failed before a whole answer was there. */
export function describeConnectionFailure(error: Error & { code?: string }, address: string): CostorError {
  const code = error.code ?? "";
  if (IDENTITY_CODES.has(code)) {
    return new CostorError(
      "site-identity-changed",
      `${address} cannot prove that it is the site of this machine: ${error.message}`,
      {
        cause: error,
        details: { address, cause: code },
      },
    );
  }
  const hint = DATE_CODES.has(code) ? ". Check the clocks of this machine and of the site" : "";
  return new CostorError("site-unreachable", `${address}: ${error.message || code || "the connection failed"}${hint}`, {
    cause: error,
    details: { address, cause: code, ...(hint === "" ? {} : { isFinal: true }) },
  });
}

/** The coded error of an answer other than success. */
export function describeAnswer(
  status: number,
  headers: IncomingHttpHeaders,
  body: Buffer,
  address: string,
): CostorError {
  const retryAfterMs = parseRetryAfter(headers["retry-after"]);
  const details = { address, status, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) };
  if (headers["content-type"]?.startsWith(contentTypes.problem)) {
    const parsed = v.safeParse(problem, parseJson(body));
    if (parsed.success && parsed.output.code in errorRegistry) {
      const { code, detail } = parsed.output;
      return new CostorError(code as ErrorCode, detail, { details: { ...parsed.output.details, ...details } });
    }
  }
  // No answer of a site: a proxy's, or another program's that has the address now.
  const isPassing = status >= 500 || status === 408 || status === 425 || status === 429;
  const code: ErrorCode = isPassing ? "site-unreachable" : "site-answer-invalid";
  return new CostorError(code, `${address} answered with HTTP status ${status}, and not as a site does`, { details });
}

function parseJson(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString("utf8"));
  } catch {
    return undefined;
  }
}

/** The value of a JSON answer that follows `schema`. Throws `site-answer-invalid`. */
export function parseAnswer<Schema extends v.GenericSchema>(
  schema: Schema,
  body: Buffer,
  path: string,
): v.InferOutput<Schema> {
  const parsed = v.safeParse(schema, parseJson(body));
  if (parsed.success) return parsed.output;
  const issue = parsed.issues[0];
  const where = v.getDotPath(issue) ?? "the whole";
  throw new CostorError("site-answer-invalid", `the answer of ${path} is not as agreed: ${where}: ${issue.message}`);
}

/** Seconds, as sites send; a date would need equal clocks. At most ten minutes. */
function parseRetryAfter(header: string | undefined): number | undefined {
  if (header === undefined || !/^\d{1,6}$/.test(header)) return undefined;
  return Math.min(Number(header) * 1000, 600_000);
}
