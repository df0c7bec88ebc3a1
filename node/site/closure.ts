/**
 * Whether everything that a snapshot's root reaches is durable here *and was sent by this agent*: a prime that only another
 * agent has sent counts as missing, so that nobody learns what others hold, or gets at it.
 *
 * A tree slice is *closed* for an agent once everything below it was found. Closed marks are kept by the store, which
 * clears them whenever it loses or ends anything, so a commit walks only what is new, and keeps it for the site as it goes. Marks are set only after a whole walk
 * without a gap. The walk is iterative and goes down before it goes on: it holds pointers to slices that wait, a mark of each
 * that it met, at most one page's inlined nodes, and ids in batches. All of them have limits, since trees come from agents.
 */
import { createHash } from "node:crypto";
import { setImmediate } from "node:timers/promises";
import type { PrimeStore } from "#node/store/prime-store.ts";
import { CostorError, isCostorError } from "#protocol/errors.ts";
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

export interface ClosureComponents {
  readonly store: Pick<PrimeStore, "hasSent" | "get" | "areClosed" | "markClosed" | "closedEpoch">;
  /** Keeps primes for the site itself; durable when it returns. */
  readonly keep: (ids: readonly PrimeId[]) => Promise<void>;
}

interface TreeSlice {
  readonly slice: ContentSlice;
  /** 0 for a node; for a reference page, its levels above the content. */
  readonly depth: number;
}

interface MetSlice extends TreeSlice {
  readonly mark: string;
}

/** Whose walk it is. */
interface Walker {
  /** Marks of one are not another's. */
  readonly name: string;
  /** For each id whether it counts as here. */
  readonly areHere: (ids: readonly PrimeId[]) => Promise<boolean[]>;
  /** Told of what cannot be read, which then is passed over; without it that ends the walk. */
  readonly onUnreadable?: (error: unknown) => void;
  readonly signal?: AbortSignal | undefined;
}

/** The mark of a slice: it names the walker and everything that decides what the slice decodes to. */
function markOf(walker: string, { slice, depth }: TreeSlice): string {
  const place = `kept ${walker} ${slice.prime.id} ${slice.prime.lengthBytes} ${slice.offsetBytes} ${slice.lengthBytes} ${depth} `;
  return createHash("sha256").update(place).update(slice.prime.key).digest("base64url").slice(0, 27);
}

/** `slice` with a key of its own: the one that was decoded is a view, and would keep its whole page in memory. */
function withOwnKey({ prime, offsetBytes, lengthBytes }: ContentSlice): ContentSlice {
  return { prime: { ...prime, key: Uint8Array.from(prime.key) }, offsetBytes, lengthBytes };
}

class ClosureWalk {
  private readonly store: ClosureComponents["store"];
  private readonly keep: ClosureComponents["keep"];
  private readonly walker: Walker;
  private readonly reader: TreeReader;
  /** Marks of all slices that were met. */
  private readonly visited = new Set<string>();
  private readonly missing = new Set<PrimeId>();
  private unasked = new Set<PrimeId>();
  /** Found, and not kept yet. */
  private unkept: PrimeId[] = [];
  private hasUnreadable = false;
  /** Not asked about yet. */
  private readonly met: MetSlice[] = [];
  /** Sent, and not closed: to be entered, the last one first. */
  private readonly open: TreeSlice[] = [];

  constructor({ store, keep }: ClosureComponents, walker: Walker) {
    this.store = store;
    this.keep = keep;
    this.walker = walker;
    this.reader = new TreeReader({ fetchPrime: (id) => store.get(id) });
  }

  /** The missing primes that were met, at most `limits.commitMissingCount`; empty when the root is closed. */
  async run(root: NodePointer): Promise<PrimeId[]> {
    const epoch = await this.store.closedEpoch();
    if ("slice" in root) this.meet({ slice: root.slice, depth: 0 });
    else await this.enterNode(root);
    while (this.missing.size < limits.commitMissingCount) {
      const next = this.met.length < ASKED_AT_ONCE_COUNT ? this.open.pop() : undefined;
      if (next) await this.enter(next);
      else if (this.met.length > 0) await this.askSlices();
      else break;
    }
    await this.ask();
    await this.keepFound();
    if (this.missing.size === 0 && !this.hasUnreadable) await this.store.markClosed([...this.visited], epoch);
    return [...this.missing].slice(0, limits.commitMissingCount);
  }

  /** Notes a slice, once. Throws `tree-invalid` above the limits of a walk. */
  private meet({ slice, depth }: TreeSlice): void {
    const mark = markOf(this.walker.name, { slice, depth });
    if (this.visited.has(mark)) return;
    if (this.visited.size >= limits.commitSlicesCount)
      failTree(`more than ${limits.commitSlicesCount} nodes and pages that no earlier snapshot has`);
    if (this.met.length + this.open.length >= limits.commitWaitingCount)
      failTree(`more than ${limits.commitWaitingCount} nodes and pages that wait for others below them`);
    this.visited.add(mark);
    this.met.push({ slice: withOwnKey(slice), depth, mark });
  }

  /** Asks which of some slices are closed and which were sent; those that are to be entered become open. */
  private async askSlices(): Promise<void> {
    const batch = this.met.splice(0, ASKED_AT_ONCE_COUNT);
    const closed = await this.store.areClosed(batch.map(({ mark }) => mark));
    const unclosed = batch.filter((_, index) => !closed[index]);
    const sent = await this.walker.areHere(unclosed.map(({ slice }) => slice.prime.id));
    for (const [index, { slice, depth }] of unclosed.entries()) {
      if (sent[index]) {
        this.open.push({ slice, depth });
        this.unkept.push(slice.prime.id);
      } else this.missing.add(slice.prime.id);
    }
    if (this.unkept.length >= ASKED_AT_ONCE_COUNT) await this.keepFound();
  }

  private async enter({ slice, depth }: TreeSlice): Promise<void> {
    // A page that is opened already is read without a turn of the event loop, and others want to be served.
    await setImmediate();
    this.walker.signal?.throwIfAborted();
    if (depth === 0) return this.enterNode({ slice });
    const below = await this.read(async () => decodeReferencePage(await this.reader.readSlice(slice)));
    for (const next of below ?? []) {
      if (depth > 1) this.meet({ slice: next, depth: depth - 1 });
      else this.unasked.add(next.prime.id);
    }
    if (this.unasked.size >= ASKED_AT_ONCE_COUNT) await this.ask();
  }

  /** A node with all that is inlined in it. */
  private async enterNode(start: NodePointer): Promise<void> {
    const inlined: NodePointer[] = [start];
    for (let pointer = inlined.pop(); pointer !== undefined; pointer = inlined.pop()) {
      const node = pointer;
      const links: NodeLinks | undefined = await this.read(async () => linksOfNode(await this.reader.node(node)));
      if (links === undefined) continue;
      for (const below of links.nodes) {
        if ("inline" in below) inlined.push(below);
        else this.meet({ slice: below.slice, depth: 0 });
      }
      for (const page of links.pages) {
        if (page.depth < 1 || page.depth > REFERENCE_DEPTH_COUNT) failTree("a reference list nested too deep");
        this.meet(page);
      }
      for (const prime of links.content) this.unasked.add(prime.id);
      if (this.unasked.size >= ASKED_AT_ONCE_COUNT) await this.ask();
    }
  }

  /** Undefined for what is passed over. */
  private async read<T>(action: () => Promise<T>): Promise<T | undefined> {
    try {
      return await action();
    } catch (error) {
      if (this.walker.onUnreadable === undefined || !isUnreadable(error)) throw error;
      this.hasUnreadable = true;
      this.walker.onUnreadable(error);
      return undefined;
    }
  }

  private async ask(): Promise<void> {
    const ids = [...this.unasked];
    this.unasked = new Set();
    if (ids.length === 0) return;
    const sent = await this.walker.areHere(ids);
    for (const [index, id] of ids.entries()) {
      if (sent[index]) this.unkept.push(id);
      else this.missing.add(id);
    }
    if (this.unkept.length >= ASKED_AT_ONCE_COUNT) await this.keepFound();
  }

  private async keepFound(): Promise<void> {
    const ids = this.unkept;
    this.unkept = [];
    if (ids.length > 0) await this.keep(ids);
  }
}

/**
 * Returns when everything that `root` reaches is durable, was sent by `agent`, and is kept for the site. Throws `commit-incomplete` with the
 * missing primes in `details.missing` (hex, the first of them), and `tree-invalid` for what is no tree.
 */
export async function verifyClosure(components: ClosureComponents, agent: AgentId, root: NodePointer): Promise<void> {
  const areHere = (ids: readonly PrimeId[]): Promise<boolean[]> => components.store.hasSent(agent, ids);
  let missing: PrimeId[];
  try {
    missing = await new ClosureWalk(components, { name: agent, areHere }).run(root);
  } catch (error) {
    throw asTreeError(error);
  }
  if (missing.length > 0) {
    throw new CostorError("commit-incomplete", `${missing.length} or more primes of the snapshot are missing`, {
      details: { missing },
    });
  }
}

export interface KeptTreeInit {
  /** Whose tree it is: what one agent's walk has kept another's keeps again. */
  readonly agent: AgentId;
  readonly root: NodePointer;
  readonly onUnreadable: (error: unknown) => void;
  readonly signal?: AbortSignal | undefined;
}

/** Keeps everything that a root reaches, whether or not it is here. Throws `tree-invalid` for a tree too large to be walked. */
export async function keepTree(
  components: ClosureComponents,
  { agent, root, onUnreadable, signal }: KeptTreeInit,
): Promise<void> {
  const areHere = async (ids: readonly PrimeId[]): Promise<boolean[]> => ids.map(() => true);
  await new ClosureWalk(components, { name: `site ${agent}`, areHere, onUnreadable, signal }).run(root);
}

/** Whether all that `root` is seen to reach counts as here. Throws `tree-invalid` for a tree too large to be walked. */
export async function isWholeTree(
  components: {
    readonly store: Pick<ClosureComponents["store"], "hasSent" | "areClosed" | "markClosed" | "closedEpoch">;
    readonly primes: Pick<ClosureComponents["store"], "get">;
    readonly areHere: Walker["areHere"];
  },
  agent: AgentId,
  root: NodePointer,
): Promise<boolean> {
  const { store, primes, areHere } = components;
  const walk = new ClosureWalk(
    { store: readingBy(store, primes), keep: async () => undefined },
    { name: `whole ${agent}`, areHere, onUnreadable: () => undefined },
  );
  return (await walk.run(root)).length === 0;
}

/** Tells of all that `root` reaches, as far as it can be read. Throws `tree-invalid` for a tree too large to be walked. */
export async function walkTree(
  components: {
    readonly primes: Pick<ClosureComponents["store"], "get">;
    readonly onReached: (ids: readonly PrimeId[]) => Promise<void>;
  },
  root: NodePointer,
  signal: AbortSignal | undefined,
): Promise<void> {
  const none = async (asked: readonly unknown[]): Promise<boolean[]> => asked.map(() => false);
  const store = readingBy(
    { hasSent: (_, ids) => none(ids), areClosed: none, markClosed: async () => undefined, closedEpoch: async () => 0 },
    components.primes,
  );
  const areHere = async (ids: readonly PrimeId[]): Promise<boolean[]> => ids.map(() => true);
  const walker: Walker = { name: "", areHere, onUnreadable: () => undefined, signal };
  await new ClosureWalk({ store, keep: components.onReached }, walker).run(root);
}

/** The store, with primes from elsewhere. */
export const readingBy = (
  store: Pick<ClosureComponents["store"], "hasSent" | "areClosed" | "markClosed" | "closedEpoch">,
  primes: Pick<ClosureComponents["store"], "get">,
): ClosureComponents["store"] => ({
  hasSent: (agent, ids) => store.hasSent(agent, ids),
  areClosed: (marks) => store.areClosed(marks),
  markClosed: (marks, epoch) => store.markClosed(marks, epoch),
  closedEpoch: () => store.closedEpoch(),
  get: (id) => primes.get(id),
});

/** Slices that earlier walks have gone through, by {@link markOf}. */
export interface WalkedSlices {
  has(mark: string): boolean;
  add(mark: string): void;
}

/**
 * Tells of every prime that `root` reaches, here or not, but for what lies below slices that were walked. Throws what reading throws, and
 * `tree-invalid`: then it has not told of all.
 */
export async function reachTree(
  {
    get,
    walked,
    reached,
  }: {
    readonly get: PrimeStore["get"];
    readonly walked: WalkedSlices;
    readonly reached: (ids: readonly PrimeId[]) => void;
  },
  root: NodePointer,
  signal: AbortSignal | undefined,
): Promise<void> {
  const store: ClosureComponents["store"] = {
    get,
    hasSent: async (_, ids) => ids.map(() => true),
    areClosed: async (marks) => marks.map((mark) => walked.has(mark)),
    markClosed: async (marks) => marks.forEach((mark) => walked.add(mark)),
    closedEpoch: async () => 0,
  };
  const areHere = async (ids: readonly PrimeId[]): Promise<boolean[]> => ids.map(() => true);
  const keep = async (ids: readonly PrimeId[]): Promise<void> => reached(ids);
  await new ClosureWalk({ store, keep }, { name: "reach", areHere, signal }).run(root);
}

/** How many primes that `root` reaches were met that are not here or cannot be read; 0 when all of it is here. */
export async function missingFromTree(
  store: ClosureComponents["store"] & Pick<PrimeStore, "has">,
  root: NodePointer,
  signal: AbortSignal,
): Promise<number> {
  let unreadableCount = 0;
  const onUnreadable = (): void => void unreadableCount++;
  const areHere = (ids: readonly PrimeId[]): Promise<boolean[]> => store.has(ids);
  const walk = new ClosureWalk({ store, keep: async () => undefined }, { name: "here", areHere, onUnreadable, signal });
  return (await walk.run(root)).length + unreadableCount;
}

const isUnreadable = (error: unknown): boolean =>
  isCostorError(error, "prime-missing") ||
  isCostorError(error, "prime-corrupt") ||
  isCostorError(asTreeError(error), "tree-invalid");

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
