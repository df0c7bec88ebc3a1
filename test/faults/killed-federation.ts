/**
 * A federation of three sites as processes, with an agent at one of them: what its rounds of kills share. Two sites hold all that the first has, so
 * that each of them alone gives all of it back.
 */
import assert from "node:assert/strict";
import { cpSync } from "node:fs";
import { join } from "node:path";
import { DemoSite } from "#test/demo/demo-site.ts";
import { federate, until } from "#test/integration/federated-sites.ts";
import { memberAddress } from "#node/cli/kit-federation.ts";
import type { FederationStatus } from "#node/federation/federation-status.ts";
import { openSiteStore } from "#node/site/site-store.ts";
import { isCostorError } from "#protocol/errors.ts";
import type { Failpoint } from "#protocol/failpoint.ts";
import type { PrimeId, SiteId } from "#protocol/ids.ts";
import { primeIdOf } from "#protocol/sealing.ts";
import { count } from "#test/support/level.ts";
import { removeTrees, scratchDirectory } from "#test/support/scratch.ts";
import { CommandFailed } from "../../scripts/costor-process.ts";
import { AcknowledgedSnapshots } from "./acknowledged.ts";
import { AgentUnderFault } from "./agent-under-fault.ts";
import { ChangingTree } from "./changing-tree.ts";
import { type RunningCommand, runCommand, startCommand } from "./command.ts";
import { treeManifest } from "./tree-manifest.ts";

export const environmentOf = (failpoint: Failpoint, passesCount = 1): Record<string, string> => ({
  COSTOR_FAILPOINT: `${failpoint}:${passesCount}`,
});

interface Parts {
  readonly directory: string;
  readonly sites: readonly DemoSite[];
  readonly agent: AgentUnderFault;
  readonly siteId: SiteId;
  readonly members: readonly string[];
  readonly end: AbortController;
  readonly log: string[];
}

export class KilledFederation implements AsyncDisposable {
  readonly sites: readonly DemoSite[];
  readonly agent: AgentUnderFault;
  readonly tree: ChangingTree;
  readonly snapshots: AcknowledgedSnapshots;
  /** Of the owner. */
  readonly siteId: SiteId;
  /** All that the sites said. */
  readonly log: string[];
  readonly #parts: Parts;
  #storedCount = 0;

  private constructor(parts: Parts, seed: number) {
    this.#parts = parts;
    ({ sites: this.sites, agent: this.agent, siteId: this.siteId, log: this.log } = parts);
    const treePath = join(parts.directory, "tree");
    this.tree = new ChangingTree(treePath, { seed, smallFilesCount: 25, largeFileBytes: 400_000 });
    this.snapshots = new AcknowledgedSnapshots(this.agent, this.tree);
  }

  static async make(seed: number): Promise<KilledFederation> {
    const directory = await scratchDirectory("killed-federation");
    const end = new AbortController();
    const log: string[] = [];
    const sites = ["Aldein", "Brixen", "Corvara"].map(
      (name) =>
        new DemoSite({
          ...{ name, directory: join(directory, name), signal: end.signal },
          onLog: (line) => void log.push(`${name}: ${line}`),
        }),
    );
    await federate(sites);
    const [owner] = sites;
    const enrolToken = async (name: string): Promise<string> => {
      const words = ["site", "enrol-token", "--name", name, "--address", `127.0.0.1:${owner!.agentPort}`];
      return (await owner!.command<{ token: string }>(words)).token;
    };
    const agent = await AgentUnderFault.enrol({ enrolToken });
    const { site: siteId } = await owner!.call("federationStatus", {});
    const { members } = await owner!.call("federationMembers", {});
    const others = members.filter(({ name }) => name !== owner!.name);
    const addresses = others.flatMap((member) => member.addresses.map((to) => memberAddress(to, member.peer!)));
    return new KilledFederation({ directory, sites, agent, siteId, members: addresses, end, log }, seed);
  }

  get owner(): DemoSite {
    return this.sites[0]!;
  }

  get holders(): readonly DemoSite[] {
    return this.sites.slice(1);
  }

  status(): Promise<FederationStatus> {
    return this.owner.call("federationStatus", {});
  }

  async backUp(): Promise<void> {
    this.tree.change();
    const { snapshotId } = await this.agent.hurriedBackup([this.tree.path]);
    this.snapshots.acknowledge(snapshotId!, this.tree.manifest());
    this.#storedCount++;
  }

  /** Whether all that was acknowledged is held twice elsewhere. */
  async isSafe(): Promise<boolean> {
    const { snapshots, alarms, comesBack } = await this.status();
    const { storedCount, safeCount } = snapshots;
    // That its backups were read elsewhere with its kit is told to its people, and stays.
    const isWhole = comesBack === undefined && alarms.every(({ code }) => code === "helped");
    return isWhole && storedCount >= this.#storedCount && safeCount === storedCount;
  }

  /** Without a step by hand: that it is sent now, and not within the hour, only saves time. */
  async untilSafe(): Promise<void> {
    let last: unknown;
    await until("everything is held twice elsewhere", async () => {
      if (await this.isSafe()) return true;
      const { snapshots, alarms, comesBack } = await this.status();
      last = { snapshots, alarms, comesBack };
      await this.owner.call("federationSend", {});
      return false;
    }).catch((cause: unknown) => {
      throw new Error(JSON.stringify(last), { cause });
    });
  }

  /** Starts a site to die. Whether it died before it was ready. */
  async diesAtStart(site: DemoSite, environment: Record<string, string>): Promise<boolean> {
    return site.start(environment).then(() => false, isKill);
  }

  /** Asks to send until a site has died, which is true, or all is safe. */
  async sendUntilDeathOf(site: DemoSite): Promise<boolean> {
    const died = site.ended().catch(isKill);
    let isDead = false;
    void died.then(() => (isDead = true));
    await until("it is killed, or everything is safe", async () => {
      if (isDead) return true;
      await this.owner.call("federationSend", {}).catch(notYet);
      return !isDead && (await this.isSafe().catch(notYet));
    });
    return isDead && died;
  }

  /** The owner, on an empty machine. */
  startRecovering(environment: Record<string, string>): RunningCommand {
    const { owner } = this;
    const members = this.#parts.members.flatMap((member) => ["--member", member]);
    const where = ["--listen", `127.0.0.1:${owner.agentPort}`, "--peer-listen", `127.0.0.1:${owner.peerPort}`];
    const words = ["--data", owner.data, "--kit", owner.kit, ...where, "--peer-websocket", "off", "--no-lan-discovery"];
    return startCommand(["site", "recover", ...words, ...members, "--log-level", "error", "--json"], {
      env: environment,
    });
  }

  /** The same command again, or a start where that is what it asks for. */
  async goOnRecovering(): Promise<void> {
    const { owner } = this;
    try {
      await owner.recover(owner.kit, this.#parts.members);
    } catch (error) {
      if (!isCostorError(error, "site-exists")) throw error;
      await owner.start();
    }
  }

  /** What a site that does not run keeps of the owner's, as the next start would find it. */
  async keptBy(site: DemoSite): Promise<Set<PrimeId>> {
    const copy = await scratchDirectory("killed-copy");
    try {
      cpSync(join(site.data, "store"), join(copy, "store"), { recursive: true });
      await using store = await openSiteStore(copy);
      const found = new Set<PrimeId>();
      for await (const page of store.kept(this.siteId))
        for (const [at, stored] of (
          await Promise.all(page.map((id) => store.get(id).catch(() => undefined)))
        ).entries())
          if (stored !== undefined && primeIdOf(stored) === page[at]) found.add(page[at]!);
      return found;
    } finally {
      removeTrees([copy]);
    }
  }

  /** A snapshot from a holder, with the kit. */
  async verifyElsewhere(helper: DemoSite, snapshot = "latest"): Promise<void> {
    const to = await scratchDirectory("killed-restored");
    try {
      const words = ["--data", helper.data, "--kit", this.owner.kit, "--snapshot", snapshot, "--target", to];
      const end = await runCommand(["federation", "restore", ...words, "--agent", "machine", "--json"]);
      assert.equal(end.code, 0, end.stderr + end.stdout);
      this.snapshots.verifyManifest(snapshot, treeManifest(join(to, this.tree.path)));
    } finally {
      removeTrees([to]);
    }
  }

  /** What the owner gives, and what each holder gives while all others are off. */
  async verifyEverything(): Promise<void> {
    await this.untilSafe();
    await this.snapshots.verifyAll();
    const check = await this.owner.command<{ findings: unknown[] }>(["site", "check", "--read-data"]);
    assert.deepEqual(check.findings, []);
    for (const helper of this.holders) {
      await Promise.all(this.sites.filter((site) => site !== helper).map((site) => site.kill()));
      for (const id of this.snapshots.newest(count(1, 3))) await this.verifyElsewhere(helper, id);
      for (const site of this.sites) if (site !== helper) await site.start();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.agent[Symbol.dispose]();
    await Promise.all(this.sites.map((site) => site.stop()));
    removeTrees([this.#parts.directory]);
  }
}

/** True; throws what is no kill. */
function isKill(error: unknown): true {
  if (error instanceof CommandFailed) return true;
  throw error;
}

/** False; throws what is no end of a site's process. */
export function isGone(error: unknown): false {
  if (isCostorError(error, "site-unreachable")) return false;
  throw error;
}

/** False while a site is not in its federation yet. */
export function notYet(error: unknown): false {
  return isCostorError(error, "not-in-federation") ? false : isGone(error);
}
