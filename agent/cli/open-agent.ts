/** The composition root of the agent's commands: configuration and site, and what queries need on top of them. */
import { join } from "node:path";
import type { AgentConfig } from "#agent/config/agent-config.ts";
import { loadAgentConfig } from "#agent/config/config-file.ts";
import { ContentIdentity } from "#protocol/content-identity.ts";
import { chooseSnapshot, type SnapshotTree } from "#agent/query/snapshot-tree.ts";
import { TreeCache } from "#agent/query/tree-cache.ts";
import { SiteClient } from "#agent/site-client/site-client.ts";
import { CostorError } from "#protocol/errors.ts";
import type { SnapshotSummary } from "#protocol/http.ts";
import { parseSnapshotId, type PrimeId, type SnapshotId } from "#protocol/ids.ts";
import { nodePointerFromWire } from "#protocol/node-pointer.ts";
import { openPrime } from "#protocol/sealing.ts";
import type { ContentSlice } from "#protocol/tree.ts";
import { TreeReader } from "#protocol/tree-reader.ts";

export interface OpenedAgent extends Disposable {
  readonly config: AgentConfig;
  readonly client: SiteClient;
}

/** Throws `bad-config`. Warnings about the file go to stderr. */
export async function openAgent(configFile: string, socketsCount?: number): Promise<OpenedAgent> {
  const config = await loadAgentConfig(configFile);
  for (const warning of config.warnings) process.stderr.write(`costor: ${warning}\n`);
  const client = clientOf(config, socketsCount);
  return { config, client, [Symbol.dispose]: () => client[Symbol.dispose]() };
}

export function clientOf(config: AgentConfig, socketsCount?: number): SiteClient {
  return new SiteClient({
    site: config.site,
    token: config.agent.token,
    sendBytesPerSecond: config.bandwidthLimitBytesPerSecond,
    socketsCount,
  });
}

export interface AgentQueries extends AsyncDisposable {
  readonly reader: TreeReader;
  readonly contents: ContentIdentity;
  /** Oldest first. */
  snapshots(): Promise<readonly SnapshotSummary[]>;
  /** The id that `text` names; see {@link chooseSnapshot}. */
  choose(text: string): Promise<SnapshotId>;
  tree(id: SnapshotId): Promise<SnapshotTree>;
  /** All snapshots' trees, oldest first. */
  trees(): Promise<SnapshotTree[]>;
}

/** Content primes kept open: neighbours of small files lie in the same one. */
const OPENED_COUNT = 8;
const TREES_AT_A_TIME_COUNT = 4;

export async function openQueries(configFile: string, signal: AbortSignal): Promise<AgentQueries> {
  const { config, client } = await openAgent(configFile);
  const fetch = (id: PrimeId): Promise<Uint8Array> => fetchOne(client, id, signal);
  const cache = new TreeCache({ fetch, nowMs: Date.now }, { directory: join(config.databaseDirectory, "tree-cache") });
  let listed: Promise<readonly SnapshotSummary[]> | undefined;
  const snapshots = (): Promise<readonly SnapshotSummary[]> => (listed ??= client.snapshots(signal));
  const tree = async (id: SnapshotId): Promise<SnapshotTree> => {
    const { root, startedMs } = await client.snapshot(id, signal);
    return { id, startedMs, root: nodePointerFromWire(root) };
  };
  return {
    reader: new TreeReader({ fetchPrime: (id) => cache.fetchPrime(id) }),
    contents: new ContentIdentity({ readContent: openedContents(fetch) }),
    snapshots,
    async choose(text) {
      return chooseSnapshot(
        text,
        (await snapshots()).map(({ id }) => parseSnapshotId(id)),
      );
    },
    tree,
    async trees() {
      const ids = (await snapshots()).map(({ id }) => parseSnapshotId(id));
      const trees: SnapshotTree[] = [];
      for (let at = 0; at < ids.length; at += TREES_AT_A_TIME_COUNT) {
        trees.push(...(await Promise.all(ids.slice(at, at + TREES_AT_A_TIME_COUNT).map(tree))));
      }
      return trees;
    },
    async [Symbol.asyncDispose]() {
      client[Symbol.dispose]();
      await cache[Symbol.asyncDispose]();
    },
  };
}

async function fetchOne(client: SiteClient, id: PrimeId, signal: AbortSignal): Promise<Uint8Array> {
  for await (const prime of client.readPrimes([id], signal)) return prime.stored;
  throw new CostorError("prime-missing", `the site sent no prime ${id}`);
}

function openedContents(fetch: (id: PrimeId) => Promise<Uint8Array>): (slice: ContentSlice) => Promise<Uint8Array> {
  const opened = new Map<PrimeId, Uint8Array>();
  return async (slice) => {
    let plain = opened.get(slice.prime.id);
    if (!plain) {
      plain = openPrime(await fetch(slice.prime.id), slice.prime, "content");
      if (opened.size >= OPENED_COUNT) opened.delete(opened.keys().next().value!);
      opened.set(slice.prime.id, plain);
    }
    return plain.subarray(slice.offsetBytes, slice.offsetBytes + slice.lengthBytes);
  };
}
