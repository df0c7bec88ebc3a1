/**
 * Tries as an agent what no agent may: to delete, overwrite, read or claim what is another's. The agent is a throwaway one, in no list, and comes
 * by the door that all agents come by. docs/specs/http.md
 */
import type { Site } from "#node/site/site.ts";
import { batchEntry } from "#protocol/batch.ts";
import { CostorError, isCostorError } from "#protocol/errors.ts";
import { type WireNodePointer, paths } from "#protocol/http.ts";
import { type AgentId, type PrimeId, type SnapshotId, makeUuidV7, primeIdToBytes } from "#protocol/ids.ts";
import { primeIdOf } from "#protocol/sealing.ts";
import type { AgentDoor, DoorCall } from "./agent-door.ts";
import type { ForbiddenCalls } from "./forbidden-calls.ts";

export interface AgentTamperingComponents {
  readonly site: Pick<Site, "agents" | "sessions" | "snapshots" | "store" | "regainedSnapshots" | "now">;
  readonly door: AgentDoor;
}

/** Somebody's snapshot, and a prime that it reaches; undefined when its files are empty. */
export interface TamperedSnapshot {
  readonly agent: AgentId;
  readonly snapshot: SnapshotId;
  readonly root: WireNodePointer;
  readonly prime: PrimeId | undefined;
}

/** Throws `site-unreachable` when the site's own door does not answer. */
export async function tamperAsAgent(
  { site, door }: AgentTamperingComponents,
  target: TamperedSnapshot,
  calls: ForbiddenCalls,
): Promise<void> {
  const { agent, snapshot } = target;
  let endedToken: string;
  {
    using visitor = site.agents.visit(site.now());
    const { token } = visitor;
    endedToken = token;
    const path = paths.snapshot(snapshot);
    const tries: readonly [string, DoorCall, string][] = [
      ["delete another machine's snapshot", { token, method: "DELETE", path }, "not-found"],
      ["overwrite another machine's snapshot", { token, method: "PUT", path, json: {} }, "not-found"],
      ["look at another machine's snapshot", { token, method: "GET", path }, "snapshot-unknown"],
    ];
    for (const [what, call, code] of tries) calls.note(what, (await door.call(call)).code, [code]);
    try {
      if (target.prime !== undefined)
        await tamperWithPrime({ site, door }, { ...target, prime: target.prime, token }, calls);
    } finally {
      await site.sessions.forget(visitor.agent);
    }
  }
  const ended = await door.call({ token: endedToken, method: "GET", path: paths.snapshots });
  calls.note("come back after its access was ended", ended.code, ["unauthorised"]);
  await examine(site, { agent, snapshot }, target, calls);
}

async function tamperWithPrime(
  { site, door }: AgentTamperingComponents,
  { prime, root, token }: TamperedSnapshot & { readonly prime: PrimeId; readonly token: string },
  calls: ForbiddenCalls,
): Promise<void> {
  // While snapshots come back, agents may read what they have no keys for.
  if (!site.regainedSnapshots.isAny) {
    const read = { token, method: "POST", path: paths.readPrimes, octets: primeIdToBytes(prime) } as const;
    calls.note("read another machine's data", (await door.call(read)).code, ["prime-missing"]);
  }
  const snapshotId = makeUuidV7(site.now());
  // Where another machine has taken the site's place nobody backs up.
  const opened = await door.call({
    ...{ token, method: "POST", path: paths.sessions },
    json: { job: "tamper drill", snapshotId },
  });
  if (opened.code === "site-superseded") return;
  if (opened.code !== undefined) throw new CostorError("site-unreachable", `no session is opened here: ${opened.code}`);
  const { sessionId } = opened.json as { readonly sessionId: string };
  const overwrite: DoorCall = {
    ...{ token, method: "POST", path: paths.primes(sessionId) },
    octets: Buffer.concat(batchEntry({ id: prime, stored: Buffer.from("something else") })),
  };
  calls.note("overwrite another machine's data", (await door.call(overwrite)).code, ["prime-mismatch"]);
  const counts = { startedMs: 0, objectsCount: 0, filesCount: 0, bytes: 0, unreadableCount: 0 };
  const commit = { snapshotId, job: "tamper drill", roots: [Buffer.from("/").toString("base64")], ...counts, root };
  const claim = { token, method: "POST", path: paths.commit(sessionId), json: commit } as const;
  calls.note("claim another machine's files", (await door.call(claim)).code, ["commit-incomplete"]);
}

/** Whether all is as it was. */
async function examine(
  { snapshots, store }: Pick<Site, "snapshots" | "store">,
  { agent, snapshot }: Pick<TamperedSnapshot, "agent" | "snapshot">,
  { root, prime }: TamperedSnapshot,
  calls: ForbiddenCalls,
): Promise<void> {
  try {
    const found = await snapshots.get(agent, snapshot);
    if (JSON.stringify(found.root) !== JSON.stringify(root))
      calls.failed("the snapshot afterwards", "it is another one");
    if (prime !== undefined && primeIdOf(await store.get(prime)) !== prime)
      calls.failed("the data afterwards", "it is not what it was");
  } catch (error) {
    if (!(error instanceof CostorError) || isCostorError(error, "store-failed")) throw error;
    calls.damaged("what was there before", error);
  }
}
