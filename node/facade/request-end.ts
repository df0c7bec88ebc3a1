/** When a request is over: its answer went out, or its client has gone. What it holds of the site is given back then. */
import type { FastifyInstance, FastifyRequest } from "fastify";
import { CostorError } from "#protocol/errors.ts";

declare module "fastify" {
  interface FastifyRequest {
    /** Aborted when the request is over. Unlike `signal`, not yet when its body was read. */
    over: AbortSignal;
  }
}

/** To be called before any other hook is added. */
export function watchRequestEnds(server: FastifyInstance): void {
  server.decorateRequest("over");
  server.addHook("onRequest", async (request, reply) => {
    const controller = new AbortController();
    request.over = controller.signal;
    reply.raw.once("close", () => controller.abort(new CostorError("interrupted", "the request is over")));
  });
}

/** Disposes of `held` when the request is over. */
export function holdUntilEnd({ over }: FastifyRequest, held: Disposable): void {
  if (over.aborted) held[Symbol.dispose]();
  else over.addEventListener("abort", () => held[Symbol.dispose](), { once: true });
}
