/**
 * Whether everything that a snapshot's root reaches is durable here *and was sent by this agent*: a prime that only another
 * agent has sent counts as missing, so that nobody learns what others hold, or gets at it.
 *
 * A tree slice is *closed* for an agent once everything below it was found. Closed marks are kept by the store, which
 * clears them whenever it loses anything, so a commit walks only what is new. Marks are set only after a whole walk
 * without a gap. The walk is iterative: it holds pointers to slices, at most one page's inlined nodes, and ids in batches.
 */
import { createHash } from "node:crypto";
import type { PrimeStore } from "#node/store/prime-store.ts";
import { CostorError } from "#protocol/errors.ts";
import type { AgentId, PrimeId } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
import { decodeReferencePage } from "#protocol/tree-decoding.ts";
import { type NodeLinks, linksOfNode } from "#protocol/tree-links.ts";
import { TreeReader } from "#protocol/tree-reader.ts";
import { type ContentSlice, type NodePointer, failTree } from "#protocol/tree.ts";

/** Ids asked of the store in one call. */
const ASKED_AT_ONCE_COUNT = 4096;
/** Pages of references over pages of references: more levels than any real file needs. */
const REFERENCE_DEPTH_COUNT = 8;

type ClosureStore = Pick<PrimeStore, "hasSent" | "get" | "areClosed" | "markClosed" | "closedEpoch">;

interface PendingSlice {
  readonly slice: ContentSlice;
  /** 0 for a node; for a reference page, its levels above the content. */
  readonly depth: number;
}

/** The mark of a slice: it names the agent and everything that decides what the slice decodes to. */
function markOf(agent: AgentId, { slice, depth }: PendingSlice): string {
  const place = `${agent} ${slice.prime.id} ${slice.prime.lengthBytes} ${slice.offsetBytes} ${slice.lengthBytes} ${depth} `;
  return createHash("sha256").update(place).update(slice.prime.key).digest("base64url").slice(0, 27);
}

class ClosureWalk {
  private readonly store: ClosureStore;
  private readonly agent: AgentId;
  private readonly reader: TreeReader;
  private readonly visited = new Set<string>();
  private readonly missing = new Set<PrimeId>();
  private unasked = new Set<PrimeId>();
  private pending: PendingSlice[] = [];

  constructor(store: ClosureStore, agent: AgentId) {
    this.store = store;
    this.agent = agent;
    this.reader = new TreeReader({ fetchPrime: (id) => store.get(id) });
  }

  /** The missing primes that were met, at most `limits.commitMissingCount`; empty when the root is closed. */
  async run(root: NodePointer): Promise<PrimeId[]> {
    const epoch = await this.store.closedEpoch();
    if ("slice" in root) this.pending.push({ slice: root.slice, depth: 0 });
    else await this.enterNode(root);
    while (this.pending.length > 0 && this.missing.size < limits.commitMissingCount) await this.visitSome();
    await this.ask();
    if (this.missing.size === 0) await this.store.markClosed([...this.visited], epoch);
    return [...this.missing].slice(0, limits.commitMissingCount);
  }

  /** Visits a batch of pending slices: asks once which are closed and which were sent. */
  private async visitSome(): Promise<void> {
    const batch: { mark: string; pending: PendingSlice }[] = [];
    while (batch.length < ASKED_AT_ONCE_COUNT && this.pending.length > 0) {
      const pending = this.pending.pop()!;
      const mark = markOf(this.agent, pending);
      if (this.visited.has(mark)) continue;
      this.visited.add(mark);
      batch.push({ mark, pending });
    }
    const closed = await this.store.areClosed(batch.map(({ mark }) => mark));
    const open = batch.filter((_, index) => !closed[index]);
    const sent = await this.store.hasSent(
      this.agent,
      open.map(({ pending }) => pending.slice.prime.id),
    );
    for (const [index, { pending }] of open.entries()) {
      if (sent[index]) await this.enter(pending);
      else this.missing.add(pending.slice.prime.id);
    }
  }

  private async enter({ slice, depth }: PendingSlice): Promise<void> {
    if (depth === 0) return this.enterNode({ slice });
    const below = decodeReferencePage(await this.reader.readSlice(slice));
    for (const next of below) {
      if (depth > 1) this.pending.push({ slice: next, depth: depth - 1 });
      else this.unasked.add(next.prime.id);
    }
    if (this.unasked.size >= ASKED_AT_ONCE_COUNT) await this.ask();
  }

  /** A node with all that is inlined in it. */
  private async enterNode(start: NodePointer): Promise<void> {
    const inlined: NodePointer[] = [start];
    for (let pointer = inlined.pop(); pointer !== undefined; pointer = inlined.pop()) {
      const links: NodeLinks = linksOfNode(await this.reader.node(pointer));
      for (const node of links.nodes) {
        if ("inline" in node) inlined.push(node);
        else this.pending.push({ slice: node.slice, depth: 0 });
      }
      for (const page of links.pages) {
        if (page.depth < 1 || page.depth > REFERENCE_DEPTH_COUNT) failTree("a reference list nested too deep");
        this.pending.push(page);
      }
      for (const prime of links.content) this.unasked.add(prime.id);
      if (this.unasked.size >= ASKED_AT_ONCE_COUNT) await this.ask();
    }
  }

  private async ask(): Promise<void> {
    const ids = [...this.unasked];
    this.unasked = new Set();
    if (ids.length === 0) return;
    const sent = await this.store.hasSent(this.agent, ids);
    for (const [index, id] of ids.entries()) if (!sent[index]) this.missing.add(id);
  }
}

/**
 * Returns when everything that `root` reaches is durable and was sent by `agent`. Throws `commit-incomplete` with the
 * missing primes in `details.missing` (hex, the first of them), and `tree-invalid` for what is no tree.
 */
export async function verifyClosure(store: ClosureStore, agent: AgentId, root: NodePointer): Promise<void> {
  let missing: PrimeId[];
  try {
    missing = await new ClosureWalk(store, agent).run(root);
  } catch (error) {
    throw asTreeError(error);
  }
  if (missing.length > 0) {
    throw new CostorError("commit-incomplete", `${missing.length} or more primes of the snapshot are missing`, {
      details: { missing },
    });
  }
}

/** What an agent's own tree does to the walk is the agent's fault; what the store throws stays as it is. */
function asTreeError(error: unknown): unknown {
  if (!(error instanceof CostorError)) return error;
  const isTreeFault =
    error.code === "bad-encoding" ||
    error.code === "bad-id" ||
    (error.code === "prime-corrupt" && error.details["failed"] !== undefined && error.details["failed"] !== "id");
  return isTreeFault
    ? new CostorError("tree-invalid", `the snapshot's tree cannot be read: ${error.message}`, { cause: error })
    : error;
}
