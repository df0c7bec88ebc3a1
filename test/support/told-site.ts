/** A site whose agent and other records stand in its ledger, sealed to the read key of its kit, as after a fire only the ledger has them. */
import { type SealedPlace, sealedContext } from "#node/federation/sealed-statements.ts";
import { AgentRegistry } from "#node/site/agent-registry.ts";
import type { AgentId, SiteId } from "#protocol/ids.ts";
import { deriveReadKey } from "#protocol/keys.ts";
import { publicKeyOf } from "#protocol/raw-keys.ts";
import { sealToReadKey } from "#protocol/read-sealing.ts";
import { createMemoryStore } from "./memory-store.ts";
import { Replica } from "./replica.ts";

/** 32 bytes. */
export const kitRoot = Buffer.alloc(32, 7);

export interface ToldSite {
  readonly ledger: Replica["ledger"];
  readonly siteId: SiteId;
  readonly tell: (place: SealedPlace, value: Uint8Array) => Promise<void>;
}

export async function toldSite(agent: AgentId): Promise<ToldSite> {
  const { own, ledger, siteId } = await Replica.open("site");
  const readKey = publicKeyOf("x25519", deriveReadKey(kitRoot, 1).privateKey);
  const tell = async (place: SealedPlace, value: Uint8Array): Promise<void> => {
    const sealed = await sealToReadKey(value, readKey, sealedContext(siteId, place));
    await own.write({ ...place, sealed: Buffer.from(sealed) });
  };
  const registry = await AgentRegistry.open(createMemoryStore());
  const { fact } = registry.prepare({ id: agent, name: "office", hostName: "office", enrolledMs: 5 });
  await tell({ kind: "agent", agent }, fact.value!);
  return { ledger, siteId, tell };
}
