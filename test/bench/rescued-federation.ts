/**
 * Four sites as processes, for the scenarios `recover` and `remote-restore`: one that will be lost, two that hold its copies, and one that
 * keeps nothing and helps. They are made once below the work folder; each run goes on with copies of them.
 */
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { memberAddress } from "#node/cli/kit-federation.ts";
import { DemoSite } from "#test/demo/demo-site.ts";
import { bringIn, vote } from "#test/demo/joining.ts";
import { type Corpus, corpusCounts } from "./corpora.ts";
import { cpuSecondsOf } from "./measure.ts";
import { waitUntil } from "./patience.ts";

const NAMES = ["lost", "left", "right", "helper"] as const;
type Name = (typeof NAMES)[number];
const SEND_EVERY_MS = 2_000;

/** What is known of the sites once they are made. */
interface Made {
  readonly ports: Readonly<Record<Name, { readonly agent: number; readonly peer: number }>>;
  /** Where the holders are, as a recovery is told. */
  readonly members: readonly string[];
  readonly contentBytes: number;
  readonly primesCount: number;
  /** The first backup: the command's time, and processor time of agent and sites. */
  readonly backupSeconds: number;
  readonly backupCpuSeconds: number;
}

export class RescuedFederation implements AsyncDisposable {
  readonly made: Made;
  readonly sites: Readonly<Record<Name, DemoSite>>;
  readonly #end: AbortController;

  private constructor(made: Made, sites: Readonly<Record<Name, DemoSite>>, end: AbortController) {
    this.made = made;
    this.sites = sites;
    this.#end = end;
  }

  /** Copies of all four in a new folder, none of them running. */
  static async open(workFolder: string, corpus: Corpus, runFolder: string): Promise<RescuedFederation> {
    const folder = join(workFolder, `federation-of-${corpus.paths[0]!.split("/").at(-1)}`);
    if (!existsSync(join(folder, "made.json"))) await make(folder, corpus);
    const made = JSON.parse(await readFile(join(folder, "made.json"), "utf8")) as Made;
    await rm(runFolder, { recursive: true, force: true });
    execFileSync("cp", ["-a", "--reflink=auto", folder, runFolder]);
    const end = new AbortController();
    return new RescuedFederation(made, sitesIn(runFolder, end.signal, made), end);
  }

  /** Until each is connected with the others of them. */
  async startAll(names: readonly Name[]): Promise<void> {
    const sites = names.map((name) => this.sites[name]);
    await Promise.all(sites.map((site) => site.start()));
    await waitUntil("the sites to find each other", async () =>
      (await Promise.all(sites.map(statusOf))).every(({ connectedCount }) => connectedCount >= names.length - 1),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(Object.values(this.sites).map((site) => site.stop()));
    this.#end.abort(new Error("the run is over"));
  }
}

export const statusOf = (site: DemoSite) => site.call("federationStatus", {});

function sitesIn(folder: string, signal: AbortSignal, made?: Made): Record<Name, DemoSite> {
  const entries = NAMES.map((name) => {
    const site = new DemoSite({ name, directory: join(folder, name), signal, onLog: () => undefined });
    if (made !== undefined) {
      site.agentPort = made.ports[name].agent;
      site.peerPort = made.ports[name].peer;
    }
    return [name, site] as const;
  });
  return Object.fromEntries(entries) as Record<Name, DemoSite>;
}

async function make(folder: string, corpus: Corpus): Promise<void> {
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  const signal = new AbortController().signal;
  const sites = sitesIn(folder, signal);
  const { lost, helper } = sites;
  const all = Object.values(sites);
  try {
    await Promise.all(all.map((site) => site.start()));
    for (const site of all) {
      const announced = ["--announce", `/ip4/127.0.0.1/tcp/${site.peerPort}`, "--place", site.name];
      await site.command(["federation", "settings", ...announced]);
    }
    await lost.command(["federation", "create", "--name", "bench"]);
    for (const [at, site] of all.entries()) if (at > 0) await admit(site, all.slice(0, at));
    await helper.command(["federation", "settings", "--offer", "0B"]);
    await lost.enrolAgent();
    execFileSync("sync");
    const before = cpuSecondsOf(process.pid);
    const startMs = performance.now();
    await lost.backUp(corpus.paths);
    const backupSeconds = (performance.now() - startMs) / 1000;
    const backupCpuSeconds = cpuSecondsOf(process.pid) - before;
    let sentMs = Number.NEGATIVE_INFINITY;
    await waitUntil("two copies of everything", async () => {
      if (performance.now() - sentMs > SEND_EVERY_MS) await lost.call("federationSend", {});
      sentMs = performance.now();
      const { snapshots } = await statusOf(lost);
      return snapshots.storedCount === 1 && snapshots.safeCount === 1;
    });
    const { members } = await lost.call("federationMembers", {});
    const peerOf = (name: Name) => members.find((member) => member.name === name)!.peer!;
    const addressOf = (name: Name) =>
      memberAddress(`/ip4/127.0.0.1/tcp/${sites[name].peerPort}`, peerOf(name) as Parameters<typeof memberAddress>[1]);
    const made: Made = {
      ports: Object.fromEntries(
        NAMES.map((name) => [name, { agent: sites[name].agentPort!, peer: sites[name].peerPort! }]),
      ) as Made["ports"],
      members: (["left", "right"] as const).map(addressOf),
      contentBytes: corpusCounts(corpus).contentBytes,
      primesCount: (await lost.call("stats", {})).store.primesCount,
      ...{ backupSeconds, backupCpuSeconds },
    };
    await Promise.all(all.map((site) => site.stop()));
    await writeFile(join(folder, "made.json"), JSON.stringify(made));
  } finally {
    await Promise.all(all.map((site) => site.stop()));
  }
}

async function admit(site: DemoSite, members: readonly DemoSite[]): Promise<void> {
  await bringIn(site, members[0]!);
  await waitUntil("members to hear of it", async () =>
    (await Promise.all(members.map((member) => member.call("federationMembers", {})))).every((list) =>
      list.members.some(({ name }) => name === site.name),
    ),
  );
  await vote("admit", site.name, members);
  await waitUntil("it to be a member", async () =>
    (await Promise.all([...members, site].map(statusOf))).every(
      ({ role, membersCount }) => role === "member" && membersCount === members.length + 1,
    ),
  );
}
