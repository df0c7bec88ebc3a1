/**
 * Enrolment tokens: made for a person to carry to a machine, good once and for a day. Only the SHA-256 of a token's secret
 * is kept. The agent and the end of its token become durable together, so no crash lets a token be used twice.
 */
import { createHash, randomBytes } from "node:crypto";
import * as v from "valibot";
import type { PrimeStore } from "#node/store/prime-store.ts";
import { encodeCbor } from "#protocol/cbor.ts";
import { formatEnrolToken } from "#protocol/enrol-token.ts";
import { CostorError } from "#protocol/errors.ts";
import { type AgentId, type SiteId, makeUuidV7, parseAgentId } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
import type { AgentRecord, AgentRegistry } from "./agent-registry.ts";
import { SerialQueue } from "./serial-queue.ts";
import { type SiteFact, readFactValue } from "./site-facts.ts";

const KIND = "enrolment";
const time = v.pipe(v.number(), v.safeInteger());
const schema = v.strictObject({
  name: v.string(),
  madeMs: time,
  expiresMs: time,
  usedMs: v.optional(time),
  /** The agent that the machine is to be. */
  agent: v.optional(
    v.pipe(
      v.string(),
      v.transform((text): AgentId => parseAgentId(text)),
    ),
  ),
});
type Enrolment = v.InferOutput<typeof schema>;

export interface EnrolmentComponents {
  readonly store: Pick<PrimeStore, "appendFacts" | "fact">;
  readonly agents: AgentRegistry;
  readonly now: () => number;
  readonly siteId: SiteId;
  /** SHA-256 of the CA certificate's DER. */
  readonly caHash: Uint8Array;
}

const keyOf = (secret: Uint8Array): string => createHash("sha256").update(secret).digest("hex");
const factOf = (key: string, enrolment: Enrolment): SiteFact => ({ kind: KIND, key, value: encodeCbor(enrolment) });

export class Enrolments {
  private readonly components: EnrolmentComponents;
  private readonly queue = new SerialQueue();

  constructor(components: EnrolmentComponents) {
    this.components = components;
  }

  /**
   * A new token for a machine that will be called `name`, which tells it to look for the site at `addresses`. With `agent`, for a machine
   * that was set up anew: it will be that agent, with its snapshots, and whoever was it before no more.
   */
  async issue(
    name: string,
    addresses: readonly string[],
    agent?: AgentId,
  ): Promise<{ token: string; expiresMs: number }> {
    const { store, siteId, caHash, now } = this.components;
    const secret = randomBytes(16);
    const madeMs = now();
    const expiresMs = madeMs + limits.enrolTokenLifeMs;
    const token = formatEnrolToken({ addresses, siteId, caHash, secret });
    await store.appendFacts([
      factOf(keyOf(secret), { name, madeMs, expiresMs, ...(agent === undefined ? {} : { agent }) }),
    ]);
    return { token, expiresMs };
  }

  /** The agent and its token, for the secret of an enrolment token. Throws `enrolment-refused`, alike for every reason. */
  redeem(secret: Uint8Array, hostName: string): Promise<{ agent: AgentRecord; token: string }> {
    return this.queue.run(async () => {
      const { store, agents, now } = this.components;
      const key = keyOf(secret);
      const value = await store.fact(KIND, key);
      const enrolment = value === undefined ? undefined : readFactValue(value, schema, KIND);
      const nowMs = now();
      // A clock set back must not bring an old token back to life either.
      const isGood =
        enrolment !== undefined &&
        enrolment.usedMs === undefined &&
        nowMs < enrolment.expiresMs &&
        nowMs >= enrolment.madeMs - limits.enrolTokenLifeMs;
      if (!isGood) throw new CostorError("enrolment-refused", "this enrolment token is unknown, used or expired");
      const agent: AgentRecord = {
        id: enrolment.agent ?? (makeUuidV7(nowMs) as AgentId),
        name: enrolment.name,
        hostName,
        enrolledMs: nowMs,
      };
      const { token, fact, admit } = agents.prepare(agent);
      await store.appendFacts([fact, factOf(key, { ...enrolment, usedMs: nowMs })]);
      admit();
      return { agent, token };
    });
  }
}
