/** Every error as RFC 9457 `application/problem+json` with a code from the registry; nothing of the inside shows. */
import type { FastifyReply, FastifyRequest } from "fastify";
import * as v from "valibot";
import { CostorError, type ErrorCode, errorRegistry } from "#protocol/errors.ts";
import { type Problem, contentTypes } from "#protocol/http.ts";
import { limits } from "#protocol/limits.ts";

/** Seconds after which a client may try again, when the error itself names none. */
const RETRY_AFTER_SECONDS = 5;

const codesOfFastify: Readonly<Record<string, ErrorCode>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: "limit-exceeded",
  FST_ERR_NOT_FOUND: "not-found",
};

/** `error` as an error of ours; whatever has no meaning for the client becomes `internal`. */
export function asCostorError(error: unknown): CostorError {
  if (error instanceof CostorError) return error;
  if (v.isValiError(error)) {
    const issue = error.issues[0];
    const path = v.getDotPath(issue);
    return new CostorError("bad-request", path ? `${path}: ${issue.message}` : issue.message, { cause: error });
  }
  const { code, statusCode } = (error ?? {}) as { code?: unknown; statusCode?: unknown };
  const message = error instanceof Error ? error.message : "";
  if (typeof code === "string" && code in codesOfFastify)
    return new CostorError(codesOfFastify[code]!, message, { cause: error });
  if (typeof statusCode === "number" && statusCode >= 400 && statusCode < 500)
    return new CostorError("bad-request", message, { cause: error });
  return new CostorError("internal", "the site met an error of its own; its log tells more", { cause: error });
}

function problemOf(error: CostorError): Problem {
  const { status, help } = errorRegistry[error.code];
  const details =
    error.code === "internal" || Object.keys(error.details).length === 0 ? undefined : { ...error.details };
  return {
    type: `urn:costor:error:${error.code}`,
    title: error.code,
    status,
    detail: error.code === "internal" ? "the site met an error of its own; its log tells more" : error.message,
    code: error.code,
    help,
    ...(details ? { details } : {}),
  };
}

/** Answers with `error`. A body that was not read, and is too large to be worth reading to its end, ends the connection. */
export function sendProblem(request: FastifyRequest, reply: FastifyReply, error: CostorError): FastifyReply {
  const { retryable } = errorRegistry[error.code];
  if (retryable) reply.header("retry-after", String(error.details["retryAfterSeconds"] ?? RETRY_AFTER_SECONDS));
  if (error.code === "unauthorised") reply.header("www-authenticate", "Bearer");
  const unreadBytes = request.raw.complete ? 0 : Number(request.headers["content-length"] ?? Infinity);
  if (unreadBytes > limits.batchBytes) reply.header("connection", "close");
  // As bytes: Fastify would add a charset to the type of a text, which RFC 9457 has not.
  return reply
    .code(error.status)
    .type(contentTypes.problem)
    .send(Buffer.from(JSON.stringify(problemOf(error))));
}
