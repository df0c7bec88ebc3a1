/** The scenario `replicate` by CoStor: two sites in one federation, of which one has primes that the other is to hold. */
import { cp, mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { FederationStatus } from "#node/federation/federation-status.ts";
import { SegmentStore } from "#node/store/segment-store.ts";
import type { SiteId } from "#protocol/ids.ts";
import { callOn } from "#node/cli/site-access.ts";
import { freePort, type ServerProcess, startServer } from "./server-process.ts";
import { waitUntil } from "./patience.ts";
import type { Replicating } from "./replicate.ts";
import { idOf, primeBatches } from "./replicated-primes.ts";

const launcher = join(import.meta.dirname, "../../costor");
const READ_COUNT = 64;

interface SiteFolder {
  readonly name: string;
  readonly folder: string;
  readonly peerPort: number;
}

/** Two sites that know each other and do not run; the owner has the primes and has paused its sending. */
export class ReplicatingSites {
  readonly #owner: SiteFolder;
  readonly #holder: SiteFolder;
  readonly #ownerId: SiteId;
  readonly #sizes: readonly number[];

  private constructor(owner: SiteFolder, holder: SiteFolder, init: { ownerId: SiteId; sizes: readonly number[] }) {
    this.#owner = owner;
    this.#holder = holder;
    this.#ownerId = init.ownerId;
    this.#sizes = init.sizes;
  }

  static async prepare(folder: string, sizes: readonly number[]): Promise<ReplicatingSites> {
    const [owner, holder] = await Promise.all(
      ["owner", "holder"].map(async (name) => ({ name, folder: join(folder, name), peerPort: await freePort() })),
    );
    const ownerId = await federate(owner!, holder!);
    await using store = await SegmentStore.open({ directory: join(owner!.folder, "site/store") });
    for (const batch of primeBatches(sizes)) await store.putFor(ownerId, batch);
    return new ReplicatingSites(owner!, holder!, { ownerId, sizes });
  }

  /** Copies of both, running and connected. */
  async start(folder: string): Promise<Replicating> {
    const copyOf = async (site: SiteFolder): Promise<SiteFolder> => {
      const copy = { ...site, folder: join(folder, site.name) };
      await cp(site.folder, copy.folder, { recursive: true });
      return copy;
    };
    const [owner, holder] = [await copyOf(this.#owner), await copyOf(this.#holder)];
    const processes = [await startSite(holder), await startSite(owner)] as const;
    const run = new ReplicatingRun({ owner, holder, processes, ownerId: this.#ownerId, sizes: this.#sizes });
    await waitUntil("the sites to find each other", async () => {
      const status = await statusOf(owner);
      return status.connectedCount === 1 && (status.waiting?.startsWith("people have paused") ?? false);
    });
    return run;
  }
}

interface RunInit {
  readonly owner: SiteFolder;
  readonly holder: SiteFolder;
  readonly processes: readonly [holder: ServerProcess, owner: ServerProcess];
  readonly ownerId: SiteId;
  readonly sizes: readonly number[];
}

class ReplicatingRun implements Replicating {
  readonly #init: RunInit;

  constructor(init: RunInit) {
    this.#init = init;
  }

  /** Owner and holder. */
  get pids(): readonly [number, number] {
    const [holder, owner] = this.#init.processes;
    return [owner.pid, holder.pid];
  }

  /** Until the owner has the holder's receipts for all slices. */
  async replicate(): Promise<void> {
    const { owner } = this.#init;
    await callOn(dataOf(owner), "federationSettings", { change: { isPaused: false } });
    await callOn(dataOf(owner), "federationSend", {});
    await waitUntil("receipts for all slices", async () => {
      const { slices } = await statusOf(owner);
      return slices.every(
        ({ generation, copies }) => generation > 0 && copies.some((copy) => copy.generation === generation),
      );
    });
  }

  /** Ends both sites, and reads all that the holder keeps. Throws when it is not what was sent. */
  async verify(): Promise<void> {
    await this[Symbol.asyncDispose]();
    const { holder, ownerId, sizes } = this.#init;
    await using store = await SegmentStore.open({ directory: join(holder.folder, "site/store") });
    let [count, bytes] = [0, 0];
    for await (const page of store.kept(ownerId))
      for (let at = 0; at < page.length; at += READ_COUNT) {
        const ids = page.slice(at, at + READ_COUNT);
        for (const [index, stored] of (await store.getMany(ids)).entries()) {
          if (idOf(stored) !== ids[index]) throw new Error(`the holder has other bytes as prime ${ids[index]}`);
          count++;
          bytes += stored.length;
        }
      }
    const sentBytes = sizes.reduce((sum, size) => sum + size, 0);
    if (count !== sizes.length || bytes !== sentBytes)
      throw new Error(`the holder has ${count} primes of ${bytes} bytes, not ${sizes.length} of ${sentBytes}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#init.processes.map((server) => server[Symbol.asyncDispose]()));
  }
}

const dataOf = ({ folder }: SiteFolder): string => join(folder, "site");
const statusOf = (site: SiteFolder): Promise<FederationStatus> => callOn(dataOf(site), "federationStatus", {});

async function startSite(site: SiteFolder): Promise<ServerProcess> {
  await mkdir(site.folder, { recursive: true });
  const port = await freePort();
  const words = ["site", "start", "--data", dataOf(site), "--listen", `127.0.0.1:${port}`, "--name", site.name];
  words.push("--peer-listen", `127.0.0.1:${site.peerPort}`, "--peer-websocket", "off", "--no-lan-discovery");
  words.push("--kit", join(site.folder, "kit.txt"));
  const server = await startServer({ program: launcher, arguments: words }, port, join(site.folder, "log.txt"));
  // It listens for agents a moment before it takes commands.
  await waitUntil("its commands", () => callOn(dataOf(site), "federationSettings", { change: {} }).then(() => true));
  return server;
}

/** Makes both members of one federation, and ends them. The owner's id. */
async function federate(owner: SiteFolder, holder: SiteFolder): Promise<SiteId> {
  await using _owner = await startSite(owner);
  await using _holder = await startSite(holder);
  await callOn(dataOf(owner), "federationCreate", { name: "bench" });
  await callOn(dataOf(owner), "federationSettings", { change: { isPaused: true } });
  const lifeMs = 3_600_000;
  const { invitation } = await callOn(dataOf(owner), "federationInvite", { name: holder.name, lifeMs });
  const shown = Promise.withResolvers<string>();
  const joined = callOn(dataOf(holder), "federationJoin", { invitation }, (progress) =>
    shown.resolve((progress as { words: string[] }).words.join(" ")),
  );
  await Promise.race([shown.promise, joined]);
  const { newcomers } = await callOn(dataOf(owner), "federationNewcomers", {});
  await callOn(dataOf(owner), "federationConfirm", { site: newcomers[0]!.site, words: await shown.promise });
  await joined;
  await callOn(dataOf(owner), "federationAdmit", { site: newcomers[0]!.site });
  await waitUntil("both to be members", async () => (await statusOf(holder)).membersCount === 2);
  return (await statusOf(owner)).site;
}
