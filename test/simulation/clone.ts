/** A second machine with a site's key, which writes on in the site's log where another site can hear it. */
import { signEntry } from "#ledger/entry.ts";
import { SLICES_COUNT } from "#ledger/slice.ts";
import { type StatementOf, entryOf } from "#ledger/statements.ts";
import { isCostorError } from "#protocol/errors.ts";
import { makeUuidV7, parseEntryId } from "#protocol/ids.ts";
import { hashOfSet } from "#node/replication/prime-set-hash.ts";
import type { FaultEffectsComponents } from "./fault-effects.ts";
import type { SimSite } from "./sim-site.ts";

/** It says that nothing of a slice is needed any more. Whether somebody is there to hear it. */
export function writeAsClone(site: SimSite, { rng, honest, time }: FaultEffectsComponents, label: string): boolean {
  const details = rng.fork(label);
  const hearers = honest.filter((other) => other !== site && other.program?.ledger.log(site.identity.log.id));
  if (site.isCloned || hearers.length === 0) return false;
  const { ledger } = details.pick(hearers).program!;
  const { log, peerSeed, siteId } = site.identity;
  const lastSeq = ledger.log(log.id)?.lastSeq ?? -1;
  // In place of the newest entry, or after it.
  const seq = Math.max(0, lastSeq + details.below(2));
  const slice = details.below(SLICES_COUNT);
  const former = ledger.statement(siteId, "live-set", `${slice}`)?.statement;
  const statement: StatementOf<"live-set"> = {
    kind: "live-set",
    ...{ slice, generation: (former?.generation ?? 0) + 1, count: 0, bytes: 0 },
    ...{ hash: hashOfSet([]), snapshots: former?.snapshots ?? 0 },
  };
  const timeMs = time.clock.now();
  const id = parseEntryId(makeUuidV7(timeMs, (bytes) => bytes.set(details.bytes(bytes.length))));
  const entry = signEntry({ id, logId: log.id, seq, timeMs, ...entryOf([statement]) }, peerSeed);
  site.isCloned = true;
  ledger.offer({ entries: [entry] }).catch((error: unknown) => {
    // The hearer may have crashed, or its disk may fail.
    if (!isCostorError(error) || error.code === "internal") throw error;
  });
  return true;
}
