/** The sites of the demo, the lines between them, and what is seen of them all from outside. */
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { FederationStatus } from "#node/federation/federation-status.ts";
import type { PrimeId, SiteId } from "#protocol/ids.ts";
import { CuttableLinks } from "./cuttable-links.ts";
import { DemoSite } from "./demo-site.ts";
import type { LiveView, SiteRow } from "./live-view.ts";

/** What the demo shows is not so. */
class DemoFailure extends Error {}

export function check(condition: boolean, why: string): asserts condition {
  if (!condition) throw new DemoFailure(why);
}

export interface DemoFederationInit {
  readonly names: readonly string[];
  readonly directory: string;
  readonly signal: AbortSignal;
}

export interface WaitInit {
  readonly what: string;
  readonly mostMs: number;
  /** Asks to send again and again: what is new would wait for up to an hour. */
  readonly sends?: boolean;
  /** What is not so yet; undefined ends the wait. */
  readonly lacking: () => string | undefined | Promise<string | undefined>;
}

const LOOK_EVERY_MS = 500;
const SEND_EVERY_MS = 3_000;

export class DemoFederation implements AsyncDisposable {
  readonly sites: readonly DemoSite[];
  readonly links = new CuttableLinks();
  /** By which others reach each. */
  readonly doors = new Map<DemoSite, number>();
  readonly statuses = new Map<DemoSite, FederationStatus>();
  readonly signal: AbortSignal;
  readonly directory: string;
  readonly view: LiveView;
  readonly #wiped = new Set<DemoSite>();
  readonly #end = new AbortController();
  /** Last lines of the sites' logs. */
  readonly log: string[] = [];

  constructor({ view }: { view: LiveView }, { names, directory, signal }: DemoFederationInit) {
    this.view = view;
    this.signal = AbortSignal.any([signal, this.#end.signal]);
    this.directory = directory;
    const onLog = (name: string) => (line: string) => {
      this.log.push(`${name}: ${line}`);
      if (this.log.length > 40) this.log.shift();
    };
    this.sites = names.map(
      (name) => new DemoSite({ name, directory: join(directory, name), signal: this.signal, onLog: onLog(name) }),
    );
  }

  /** Starts it, or starts it again; others reach it through its door alone. */
  async start(site: DemoSite, environment?: Record<string, string>): Promise<void> {
    if (!this.doors.has(site)) this.doors.set(site, await this.links.open(site.name));
    await site.start(environment);
    this.links.place({ name: site.name, pid: site.pid!, port: site.peerPort! });
  }

  /** On a new disk, by its kit and where others are. */
  async recover(site: DemoSite, kit: string, members: readonly string[]): Promise<void> {
    await site.recover(kit, members);
    this.links.place({ name: site.name, pid: site.pid!, port: site.peerPort! });
  }

  /** As a power cut does, and a fire after it. */
  async wipe(site: DemoSite): Promise<void> {
    await site.kill();
    site.wipe();
    this.#wiped.add(site);
    this.statuses.delete(site);
  }

  idOf(site: DemoSite): SiteId {
    return this.statuses.get(site)!.site;
  }

  /** Those that run and are in the federation. */
  get live(): DemoSite[] {
    return this.sites.filter((site) => site.isRunning && this.statuses.has(site));
  }

  /** Asks all sites how it is, and shows it. */
  async look(doing: string): Promise<void> {
    await Promise.all(
      this.sites.map(async (site) => {
        if (!site.isRunning) return;
        const status = await site.call("federationStatus", {}).catch(() => undefined);
        if (status !== undefined) this.statuses.set(site, status);
      }),
    );
    this.signal.throwIfAborted();
    this.view.show(
      this.sites.map((site) => this.#rowOf(site)),
      doing,
    );
  }

  #rowOf(site: DemoSite): SiteRow {
    const status = this.statuses.get(site);
    const { storedCount = 0, safeCount = 0 } = status?.snapshots ?? {};
    return {
      name: site.name,
      state: this.#wiped.has(site) ? "WIPED" : site.isRunning ? "runs" : "stopped",
      role: status?.role ?? "",
      reachedCount: site.isRunning ? (status?.connectedCount ?? 0) : 0,
      ...{ storedCount, safeCount },
      ownBytes: status?.slices.reduce((sum, { bytes }) => sum + bytes, 0) ?? 0,
      keptBytes: status?.kept.reduce((sum, { bytes }) => sum + bytes, 0) ?? 0,
      behindBytes: status?.behindBytes ?? 0,
    };
  }

  /** Shows how it is until nothing is lacking. Throws a {@link DemoFailure} that says what, when it takes too long. */
  async until({ what, mostMs, sends = false, lacking }: WaitInit): Promise<void> {
    const startedMs = performance.now();
    let sentMs = Number.NEGATIVE_INFINITY;
    for (;;) {
      await this.look(what);
      const missing = await lacking();
      if (missing === undefined) return;
      check(performance.now() - startedMs < mostMs, `${what}: after ${Math.round(mostMs / 1000)} s ${missing}`);
      if (sends && performance.now() - sentMs > SEND_EVERY_MS) {
        sentMs = performance.now();
        await Promise.all(this.unsafe().map((site) => site.call("federationSend", {})));
      }
      await delay(LOOK_EVERY_MS, undefined, { signal: this.signal });
    }
  }

  /** While work lasts, shows how it is. */
  async during<Result>(what: string, work: Promise<Result>): Promise<Result> {
    const done = new AbortController();
    const look = async (): Promise<void> => {
      while (!done.signal.aborted) {
        await this.look(what);
        await delay(LOOK_EVERY_MS, undefined, { signal: done.signal });
      }
    };
    // It ends with the work; the end of all is for the work to tell.
    const looking = look().catch(() => undefined);
    try {
      return await work;
    } finally {
      done.abort();
      await looking;
    }
  }

  /** Of what runs. */
  unsafe(): DemoSite[] {
    return this.live.filter((site) => {
      const { storedCount, safeCount } = this.statuses.get(site)!.snapshots;
      return safeCount < storedCount;
    });
  }

  /** Until each of the snapshots that there are is held twice elsewhere. */
  untilSafe(what: string, mostMs: number, snapshotsCount: number): Promise<void> {
    return this.until({
      ...{ what, mostMs, sends: true },
      lacking: () => {
        const short = this.live.filter((site) => this.statuses.get(site)!.snapshots.storedCount < snapshotsCount);
        const names = [...new Set([...this.unsafe(), ...short])].map(({ name }) => name);
        return names.length === 0 ? undefined : `this is not safe: ${names.join(", ")}`;
      },
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#end.abort();
    await Promise.all(this.sites.map((site) => site[Symbol.asyncDispose]()));
    await this.links[Symbol.asyncDispose]();
  }
}

/** What a stopped site keeps for an owner, and can read. */
export async function readableOf(site: DemoSite, owner: SiteId): Promise<Map<PrimeId, Buffer>> {
  await using store = await site.openStore();
  const readable = new Map<PrimeId, Buffer>();
  for await (const page of store.kept(owner))
    for (const id of page) {
      const stored = await store.get(id).catch(() => undefined);
      if (stored !== undefined) readable.set(id, stored);
    }
  return readable;
}
