/** The agents and snapshots that facts of a site tell of, with the roots opened by read keys of its kit. */
import { readAgents } from "#node/site/agent-registry.ts";
import { makeRootSealer } from "#node/site/root-sealer.ts";
import { SnapshotRegistry } from "#node/site/snapshot-registry.ts";
import type { PrimeStore } from "#node/store/prime-store.ts";
import { type CborMap, decodeCbor, encodeCbor } from "#protocol/cbor.ts";
import { isCostorError } from "#protocol/errors.ts";
import type { SnapshotResponse, SnapshotSummary } from "#protocol/http.ts";
import type { AgentId, SiteId, SnapshotId } from "#protocol/ids.ts";
import type { RescuedAgent } from "./rescued-site.ts";

export type FactReader = Pick<PrimeStore, "fact" | "facts">;

export interface RescuedSnapshotsInit {
  readonly siteId: SiteId;
  /** X25519 private keys, at least one; those of several generations are tried in turn. */
  readonly readKeys: readonly Uint8Array[];
}

export class RescuedSnapshots {
  readonly #facts: FactReader;
  readonly #registry: SnapshotRegistry;

  constructor({ facts: told }: { facts: FactReader }, { siteId, readKeys }: RescuedSnapshotsInit) {
    const facts = withoutExpiry(told);
    this.#facts = facts;
    const sealers = readKeys.map((readPrivateKey) => makeRootSealer({ siteId }, { readPrivateKey }));
    this.#registry = new SnapshotRegistry({
      store: facts,
      sealer: {
        ...sealers[0]!,
        open: (sealed, agent, snapshot) => firstThatOpens(sealers, (sealer) => sealer.open(sealed, agent, snapshot)),
      },
    });
  }

  async agents(): Promise<RescuedAgent[]> {
    const named = new Map<AgentId, { name: string; hostName: string }>();
    for await (const { id, name, hostName } of readAgents(this.#facts)) named.set(id, { name, hostName });
    const ids = new Set<AgentId>();
    for await (const { agent } of this.#registry.keys()) ids.add(agent);
    const agents: RescuedAgent[] = [];
    for (const id of ids) {
      const snapshots = await this.#registry.list(id);
      const names = named.get(id) ?? { name: "", hostName: "" };
      agents.push({ id, ...names, snapshotsCount: snapshots.length, newestMs: snapshots.at(-1)?.receivedMs ?? 0 });
    }
    return agents.toSorted((one, other) => other.newestMs - one.newestMs);
  }

  snapshots(agent: AgentId): Promise<SnapshotSummary[]> {
    return this.#registry.list(agent);
  }

  snapshot(agent: AgentId, snapshot: SnapshotId): Promise<SnapshotResponse> {
    return this.#registry.get(agent, snapshot);
  }

  /** Whether there is any snapshot, also one that is to go, and the keys open it. */
  async opensAny(): Promise<boolean> {
    for await (const { agent, snapshot } of this.#registry.keys()) {
      try {
        await this.#registry.root(agent, snapshot);
        return true;
      } catch (error) {
        if (!isCostorError(error, "seal-broken")) throw error;
      }
    }
    return false;
  }
}

/** A snapshot that is to go is shown as any other: whoever has had the site may have wanted that, and it is still there. */
const withoutExpiry = (facts: FactReader): FactReader => ({
  fact: async (kind, key) => {
    const value = await facts.fact(kind, key);
    return value && kind === "snapshot" ? unexpired(value) : value;
  },
  async *facts(kind, prefix) {
    for await (const { key, value } of facts.facts(kind, prefix))
      yield { key, value: kind === "snapshot" ? unexpired(value) : value };
  },
});

function unexpired(value: Buffer): Buffer {
  const { expiry, ...fields } = { ...(decodeCbor(value) as CborMap) };
  return expiry === undefined ? value : encodeCbor(fields);
}

/** Throws what the first one throws when none opens it. */
export async function firstThatOpens<Key>(
  keys: readonly Key[],
  open: (key: Key) => Promise<Uint8Array>,
): Promise<Uint8Array> {
  let failure: unknown;
  for (const key of keys) {
    try {
      return await open(key);
    } catch (error) {
      if (!isCostorError(error, "seal-broken")) throw error;
      failure ??= error;
    }
  }
  throw failure;
}
