/** How a ledger lies in its store: keys, and reading it from its start. */
import { decodeCbor, encodeCbor } from "#protocol/cbor.ts";
import { type LogId, type SiteId, parseSiteId } from "#protocol/ids.ts";
import { type RecoveryLink, parseRecoveryChain } from "#protocol/recovery-chain.ts";
import { type Entry, type Log, openLog, parseEntry } from "./entry.ts";
import type { LedgerChange, LedgerStore } from "./ledger-store.ts";
import { type ForkProof, type HeldEntry, holdEntry } from "./log-state.ts";

const PREFIX = { log: "log/", entry: "entry/", fork: "fork/", unplaced: "unplaced/", chain: "chain/" } as const;
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

export const unplacedKey = (logId: LogId, hash: string): string => `${PREFIX.unplaced}${logId}/${hash}`;
export const keepUnplaced = ({ logId, hash, bytes }: Entry): LedgerChange => ({
  key: unplacedKey(logId, hash),
  value: bytes,
});

export const keepChain = (siteId: SiteId, chain: readonly RecoveryLink[]): LedgerChange => ({
  key: `${PREFIX.chain}${siteId}`,
  value: encodeCbor(chain.map(({ bytes }) => bytes)),
});

const FORGOTTEN_AT_ONCE_COUNT = 1000;

/** How many bytes they had. */
export async function forgetEntries(store: LedgerStore, logId: LogId, seqs: Iterable<number>): Promise<number> {
  const keys = [...seqs].map((seq) => entryKey(logId, seq));
  let bytes = 0;
  for (let at = 0; at < keys.length; at += FORGOTTEN_AT_ONCE_COUNT) {
    const some = keys.slice(at, at + FORGOTTEN_AT_ONCE_COUNT);
    for (const key of some) bytes += (await store.get(key))?.length ?? 0;
    await store.write(some.map((key) => ({ key, value: undefined })));
  }
  return bytes;
}

export interface KeptLedger {
  readonly logs: readonly Log[];
  /** All that were ever admitted. */
  readonly entries: readonly HeldEntry[];
  readonly forks: readonly { readonly logId: LogId; readonly seq: number; readonly proof: ForkProof }[];
  /** Retires whose places other entries have. */
  readonly unplaced: readonly HeldEntry[];
  /** Of the recovery keys of each site that has another one than its first. */
  readonly chains: ReadonlyMap<SiteId, readonly RecoveryLink[]>;
}

export async function readKeptLedger(store: LedgerStore): Promise<KeptLedger> {
  const logs: Log[] = [];
  const entries: HeldEntry[] = [];
  const forks: KeptLedger["forks"][number][] = [];
  const unplaced: HeldEntry[] = [];
  const chains = new Map<SiteId, readonly RecoveryLink[]>();
  for await (const { key, value } of store.all()) {
    if (key.startsWith(PREFIX.log)) logs.push(openLog(value));
    else if (key.startsWith(PREFIX.entry)) entries.push(holdEntry(parseEntry(value)));
    else if (key.startsWith(PREFIX.unplaced)) unplaced.push(holdEntry(parseEntry(value)));
    else if (key.startsWith(PREFIX.fork)) {
      const proof = decodeCbor(value) as unknown as ForkProof;
      const { logId, seq } = parseEntry(proof[0]);
      forks.push({ logId, seq, proof });
    } else if (key.startsWith(PREFIX.chain)) {
      const siteId = parseSiteId(key.slice(PREFIX.chain.length));
      chains.set(siteId, parseRecoveryChain(decodeCbor(value) as unknown as Uint8Array[], siteId));
    }
  }
  return { logs, entries, forks, unplaced, chains };
}
