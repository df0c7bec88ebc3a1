/** How a ledger lies in its store: keys, and reading it from its start. */
import { decodeCbor, encodeCbor } from "#protocol/cbor.ts";
import type { LogId } from "#protocol/ids.ts";
import { type Log, openLog, parseEntry } from "./entry.ts";
import type { LedgerChange, LedgerStore } from "./ledger-store.ts";
import { type ForkProof, type HeldEntry, holdEntry } from "./log-state.ts";

const PREFIX = { log: "log/", entry: "entry/", fork: "fork/" } as const;
const SEQ_DIGITS = 16;

export const entryKey = (logId: LogId, seq: number): string =>
  `${PREFIX.entry}${logId}/${String(seq).padStart(SEQ_DIGITS, "0")}`;
export const keepEntry = (logId: LogId, seq: number, value: Uint8Array): LedgerChange => ({
  key: entryKey(logId, seq),
  value,
});
export const keepLog = ({ id, bytes }: Log): LedgerChange => ({ key: `${PREFIX.log}${id}`, value: bytes });
export const keepFork = (logId: LogId, proof: ForkProof): LedgerChange => ({
  key: `${PREFIX.fork}${logId}`,
  value: encodeCbor(proof),
});

export interface KeptLedger {
  readonly logs: readonly Log[];
  /** All that were ever admitted. */
  readonly entries: readonly HeldEntry[];
  readonly forks: readonly { readonly logId: LogId; readonly seq: number; readonly proof: ForkProof }[];
}

export async function readKeptLedger(store: LedgerStore): Promise<KeptLedger> {
  const logs: Log[] = [];
  const entries: HeldEntry[] = [];
  const forks: KeptLedger["forks"][number][] = [];
  for await (const { key, value } of store.all()) {
    if (key.startsWith(PREFIX.log)) logs.push(openLog(value));
    else if (key.startsWith(PREFIX.entry)) entries.push(holdEntry(parseEntry(value)));
    else if (key.startsWith(PREFIX.fork)) {
      const proof = decodeCbor(value) as unknown as ForkProof;
      const { logId, seq } = parseEntry(proof[0]);
      forks.push({ logId, seq, proof });
    }
  }
  return { logs, entries, forks };
}
