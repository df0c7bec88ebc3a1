/**
 * Rounds of killing sites of a federation while copies are sent, damage is found and healed, and a site that burnt comes back. After each kill
 * the sites have to come by themselves to where everything is held twice elsewhere; and everything acknowledged has to be there, byte by byte.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { DemoSite } from "#test/demo/demo-site.ts";
import { until } from "#test/integration/federated-sites.ts";
import type { Failpoint } from "#protocol/failpoint.ts";
import { seededRandom } from "#test/support/recording-disk.ts";
import { removeTrees } from "#test/support/scratch.ts";
import type { KillHistogram, KillPlace } from "./kill-histogram.ts";
import { shuffledRounds } from "./kill-targets.ts";
import { KilledFederation, environmentOf, isGone, notYet } from "./killed-federation.ts";
import { overwriteSectors } from "./wrong-sectors.ts";

type Victim = "owner" | "holder";
interface Phased {
  readonly phase: "replicate" | "heal" | "recover";
  readonly victim: Victim;
  /** Undefined: at a random moment. */
  readonly failpoint?: Failpoint;
  readonly passesMaxCount: number;
}

const at = (phase: Phased["phase"], victim: Victim, failpoint?: Failpoint, passesMaxCount = 1): Phased => ({
  ...{ phase, victim, passesMaxCount },
  ...(failpoint && { failpoint }),
});

export const federationTargets: readonly Phased[] = [
  at("replicate", "owner", "replicate.signed"),
  at("replicate", "owner", "replicate.sending", 6),
  at("replicate", "owner", "replicate.taken", 2),
  at("replicate", "holder", "replicate.kept", 6),
  at("replicate", "holder", "replicate.receipted"),
  at("replicate", "holder", "sync.written", 8),
  at("replicate", "owner"),
  at("replicate", "holder"),
  at("heal", "owner", "scrub.recorded", 2),
  at("heal", "owner", "heal.kept"),
  at("heal", "holder", "scrub.recorded", 2),
  at("heal", "owner"),
  at("recover", "owner", "recover.known"),
  at("recover", "owner", "recover.records-here"),
  at("recover", "owner", "recover.identity-written"),
  at("recover", "owner", "recover.identity-placed"),
  at("recover", "owner", "recover.settled"),
  at("recover", "owner", "heal.kept"),
  at("recover", "owner"),
  at("recover", "holder"),
  at("recover", "owner", "lost-store.known"),
  at("recover", "owner", "lost-store.records-here"),
];
export const federationPhases = ["replicate", "heal", "recover"] as const;

const placeOf = ({ phase, victim, failpoint }: Phased): KillPlace => ({
  phase,
  place: `${failpoint ?? "any time"} (${victim})`,
});

const ATTEMPTS_COUNT = 3;
const SECTORS_COUNT = 4;

export interface FederationKillsInit {
  readonly seed: number;
  readonly targets: readonly Phased[];
  readonly killsCount: number;
  readonly signal?: AbortSignal;
}

/** One federation and `killsCount` kills, added to `histogram`. */
export async function runFederationKills(init: FederationKillsInit, histogram: KillHistogram): Promise<void> {
  await using federation = await KilledFederation.make(init.seed);
  await new FederationKills(federation, init.seed).run(init, histogram);
}

class FederationKills {
  readonly #federation: KilledFederation;
  readonly #random: () => number;
  #sendingMs = 2000;
  #comingBackMs = 8000;

  constructor(federation: KilledFederation, seed: number) {
    this.#federation = federation;
    this.#random = seededRandom(seed);
  }

  async run(init: FederationKillsInit, histogram: KillHistogram): Promise<void> {
    const { targets, killsCount, signal, seed } = init;
    await this.#federation.backUp();
    await this.#federation.untilSafe();
    for (const target of shuffledRounds(targets, killsCount, this.#random)) {
      signal?.throwIfAborted();
      await this.#round(target).catch((cause: unknown) => {
        const log = this.#federation.log.slice(-30).join("\n");
        throw new Error(`after a kill at ${JSON.stringify(target)}, seed ${seed}; the sites said: ${log}`, { cause });
      });
      histogram.add(placeOf(target));
    }
    await this.#federation.verifyEverything();
  }

  async #round(target: Phased): Promise<void> {
    const { snapshots } = this.#federation;
    let isKilled = false;
    for (let attempt = 1; !isKilled && attempt <= ATTEMPTS_COUNT; attempt++) {
      // A count of passes that was not reached: the first pass always is.
      const passesCount = attempt === 1 ? 1 + Math.floor(this.#random() * target.passesMaxCount) : 1;
      const environment = target.failpoint === undefined ? {} : environmentOf(target.failpoint, passesCount);
      isKilled = await this.#kill(target, environment);
      if (!isKilled) await this.#federation.untilSafe();
    }
    assert.ok(isKilled, "the failpoint was never passed");
    await this.#federation.untilSafe();
    await snapshots.findAll();
    await snapshots.verifySample(this.#random());
    if (this.#random() < 0.15) await this.#federation.verifyElsewhere(this.#anyHolder());
  }

  /** Whether it came to the kill. Afterwards all sites run. */
  #kill(target: Phased, environment: Record<string, string>): Promise<boolean> {
    if (target.phase === "replicate") return this.#killWhileSending(target, environment);
    if (target.phase === "heal") return this.#killWhileHealing(target, environment);
    if (target.failpoint?.startsWith("lost-store.") === true) return this.#killWithLostStore(environment);
    return this.#killWhileRecovering(target, environment);
  }

  #anyHolder(): DemoSite {
    const { holders } = this.#federation;
    return holders[Math.floor(this.#random() * holders.length)]!;
  }

  #victimOf({ victim }: Phased): DemoSite {
    return victim === "owner" ? this.#federation.owner : this.#anyHolder();
  }

  #halt(site: DemoSite): Promise<void> {
    return this.#random() < 0.5 ? site.stop() : site.kill();
  }

  /** What was held before the kill is held after it, by the store itself. */
  async #killWhileSending(target: Phased, environment: Record<string, string>): Promise<boolean> {
    const federation = this.#federation;
    const site = this.#victimOf(target);
    await this.#halt(site);
    const before = await federation.keptBy(site);
    if (target.victim === "holder") await federation.backUp();
    let isKilled = await federation.diesAtStart(site, environment);
    if (target.victim === "owner" && !isKilled) await federation.backUp().catch(isGone);
    const startedMs = performance.now();
    if (target.failpoint === undefined) {
      void federation.owner.call("federationSend", {}).catch(() => undefined);
      await sleep(this.#random() * this.#sendingMs);
      isKilled = true;
    } else if (!isKilled) isKilled = await federation.sendUntilDeathOf(site);
    await site.kill();
    const kept = await federation.keptBy(site);
    assert.deepEqual([...before.difference(kept)], [], `${site.name} has lost what it kept`);
    await site.start();
    await federation.untilSafe();
    this.#sendingMs = Math.min(this.#sendingMs, performance.now() - startedMs);
    return isKilled;
  }

  async #killWhileHealing(target: Phased, environment: Record<string, string>): Promise<boolean> {
    const federation = this.#federation;
    const site = this.#victimOf(target);
    await this.#halt(site);
    await overwriteSectors(site, { sectorsCount: SECTORS_COUNT, random: this.#random });
    let isKilled = await federation.diesAtStart(site, environment);
    if (target.failpoint === undefined) {
      void site.call("scrubNow", {}).catch(() => undefined);
      await sleep(this.#random() * this.#sendingMs);
      isKilled = true;
    } else if (!isKilled) isKilled = await this.#scrubUntilDeathOf(site);
    await site.kill();
    await site.start();
    await this.#untilHealed(site);
    return isKilled;
  }

  async #scrubUntilDeathOf(site: DemoSite): Promise<boolean> {
    let isDead = false;
    const died = site.ended().catch(() => (isDead = true));
    await until("it is killed, or healed", async () => {
      if (isDead) return true;
      await Promise.race([this.#isHealed(site), died]).catch(() => undefined);
      return isDead || (await this.#isHealed(site).catch(() => false));
    });
    return isDead;
  }

  /** A pass of the scrub now, and not within a month, only saves time. */
  #untilHealed(site: DemoSite): Promise<void> {
    return until(`${site.name} has healed`, () => this.#isHealed(site));
  }

  async #isHealed(site: DemoSite): Promise<boolean> {
    const { broken } = await site.call("scrubNow", {});
    await Promise.all(this.#federation.sites.map((each) => each.call("federationSend", {}).catch(isGone)));
    const { store, lostPrimesCount } = await site.call("stats", {});
    return broken.length === 0 && store.quarantinedCount === 0 && lostPrimesCount === 0;
  }

  /** A fire, and a recovery that is killed; the same command, or a start, goes on. */
  async #killWhileRecovering(target: Phased, environment: Record<string, string>): Promise<boolean> {
    const federation = this.#federation;
    const { owner } = federation;
    await this.#halt(owner);
    removeTrees([owner.data]);
    const recovering = federation.startRecovering(environment);
    const startedMs = performance.now();
    let isDead = false;
    void recovering.ended.then(() => (isDead = true));
    if (target.failpoint !== undefined)
      await until("it is killed, or it is back", async () => isDead || (await federation.isSafe().catch(notYet)));
    else await sleep(this.#random() * this.#comingBackMs);
    const isKilled = isDead || target.failpoint === undefined;
    if (target.victim === "holder") {
      const holder = this.#anyHolder();
      await holder.kill();
      await holder.start();
      await until("it is back", async () => federation.isSafe().catch(notYet));
    }
    recovering.kill("SIGKILL");
    const end = await recovering.ended;
    assert.equal(end.code, "SIGKILL", end.stderr);
    await federation.goOnRecovering();
    await federation.untilSafe();
    this.#comingBackMs = Math.min(this.#comingBackMs, performance.now() - startedMs);
    return isKilled;
  }

  async #killWithLostStore(environment: Record<string, string>): Promise<boolean> {
    const { owner } = this.#federation;
    await this.#halt(owner);
    removeTrees([join(owner.data, "store")]);
    const isKilled = await this.#federation.diesAtStart(owner, environment);
    await owner.kill();
    await owner.start();
    return isKilled;
  }
}
