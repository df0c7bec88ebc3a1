/** Tells the site's log what happens in its federation. What another site can make happen again and again is said once, and counted. */
import type { Logger } from "pino";
import type { FederationEvent } from "#node/federation/federation-event.ts";
import { peerLimits } from "#node/peers/peer-limits.ts";
import { RefusalLog } from "#node/peers/refusal-log.ts";
import { CostorError, isCostorError } from "#protocol/errors.ts";

/** Whoever passes a message on is not known. */
const SOMEBODY = "whoever spread it";

export class FederationLog {
  readonly #log: Pick<Logger, "debug" | "info" | "warn" | "error">;
  readonly #refusals: RefusalLog;

  constructor(components: { log: Pick<Logger, "debug" | "info" | "warn" | "error"> }, limits = peerLimits()) {
    this.#log = components.log;
    this.#refusals = new RefusalLog(components, { limits });
  }

  tell(event: FederationEvent): void {
    const log = this.#log;
    switch (event.event) {
      case "fork-found":
        return log.error(event, "two machines write as one site: see `costor federation status`");
      case "site-full":
        return this.#refusals.refused("it has more to say than the ledger takes of it", event.siteId);
      case "recovery-key":
        return log.warn(event, "a site has a new recovery key; what the former one signs does not count any more");
      case "recovery-key-rival":
        return this.#refusals.refused(
          "two new recovery keys in one place: see `costor federation status`",
          event.siteId,
        );
      case "sync-failed":
        if (isCostorError(event.error, "peer-misbehaved"))
          return this.#refusals.refused(`synchronising: ${textOf(event.error)}`, event.peer);
        return log[isCostorError(event.error, "peer-unreachable") ? "debug" : "warn"](
          { peer: event.peer, err: event.error },
          "the ledger was not compared with a peer's",
        );
      case "message-refused":
        return this.#refusals.refused(`what no member writes: ${textOf(event.error)}`, SOMEBODY);
      case "refused":
        return this.#refusals.refused(`${event.protocol}: ${textOf(event.error)}`, event.peer);
      case "ticket-used":
        return log.warn(
          { owner: event.owner, peer: event.peer },
          "a site fetches another site's copies from here, by its recovery kit",
        );
      case "helping":
        return log.warn(event, "a remote restore has begun: somebody has the recovery kit of that site");
      case "helped":
        return log.warn(event, "a remote restore has ended");
      case "holder-failed":
        return log.warn(
          { holder: event.holder, err: event.error },
          "a holder did not do its part of a remote restore or a drill; others are asked",
        );
      case "newcomer":
        return log.warn(event, "a site shows an invitation: compare the words with `costor federation confirm`");
      case "put-off":
        return log[isCostorError(event.error, "ledger-waiting") ? "debug" : "warn"](
          { what: event.what, err: event.error },
          "put off until later",
        );
      case "roster":
        return log.info(event, "the roster of the federation");
      case "run-progress":
        return log.debug(event, "copies are sent");
      case "run-ended":
        return log.info({ holder: event.holder, slices: event.reports.length }, "copies were sent");
      case "run-failed":
      case "audit-failed":
        return log[isCostorError(event.error, "peer-unreachable") ? "debug" : "warn"](
          { event: event.event, holder: event.holder, err: event.error },
          "a holder did not do its part; it is tried again",
        );
      case "fault":
        return log.error({ err: event.error }, "a fault in the federation");
    }
  }
}

/** With its first cause: that is what the other side did. */
function textOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof CostorError ? `${error.message}: ${error.cause.message}` : error.message;
}
