/** A real site under attack beside an honest one, members of one federation, and what must hold during and after each attack. */
import assert from "node:assert/strict";
import { BandwidthLimit } from "#ledger/bandwidth-limit.ts";
import { ledgerProtocol } from "#ledger/sync.ts";
import { applyChange, type RosterChange } from "#ledger/roster-chain.ts";
import { encodeRosterBody } from "#ledger/roster.ts";
import { sliceOf } from "#ledger/slice.ts";
import { OwnerRun } from "#node/replication/owner-run.ts";
import { hashOfSet } from "#node/replication/prime-set-hash.ts";
import { replicateProtocol } from "#node/replication/replicate-messages.ts";
import type { StoredPrime } from "#protocol/batch.ts";
import type { PrimeId, SiteId } from "#protocol/ids.ts";
import { primeIdOf } from "#protocol/sealing.ts";
import { FederationSite } from "#test/support/federation-site.ts";
import { HostileMember, type Target } from "#test/support/hostile-member.ts";
import { LedgerAuthor } from "#test/support/ledger-author.ts";
import { noise } from "#test/support/noise.ts";
import { firstRoster, signedRoster } from "#test/support/replica.ts";
import { SeededRng } from "#test/simulation/seeded-rng.ts";
import { wireBatch } from "#test/support/store-samples.ts";

/** Sealed bytes, as far as a holder can tell. */
export function primeOf(seed: string, lengthBytes = 500): StoredPrime {
  const stored = noise(seed, lengthBytes);
  return { id: primeIdOf(stored), stored };
}

export class Siege implements AsyncDisposable {
  readonly victim: FederationSite;
  readonly honest: FederationSite;
  #honestCount = 0;
  /** Members by now: their votes are needed to expel them. */
  #hostile: LedgerAuthor[] = [];

  private constructor(victim: FederationSite, honest: FederationSite) {
    this.victim = victim;
    this.honest = honest;
  }

  static async open(): Promise<Siege> {
    const [victim, honest] = [await FederationSite.open("victim"), await FederationSite.open("honest")];
    const { bytes, federationId } = firstRoster(victim.author);
    await victim.enter([bytes], federationId, []);
    const siege = new Siege(victim, honest);
    const second = siege.rosterAfter(siege.#admission(honest.siteId), [victim.author]);
    await victim.parts.membership.offer([second]);
    await victim.parts.ledger.offer({ certificates: [honest.author.log.bytes] });
    await honest.enter([bytes, second], federationId, [victim.author]);
    const certificate = Buffer.from(victim.author.log.bytes);
    const addresses = [...victim.parts.transport.addresses()];
    await honest.parts.inviterAddress.keep({ peer: victim.key, addresses, certificate });
    await siege.synchronise();
    for (const site of [victim, honest]) await site.federation.look();
    await victim.parts.settings.change({ offeredBytes: 64 * 1024 * 1024, quotaBytes: 16 * 1024 * 1024 });
    await siege.assertServes();
    return siege;
  }

  get target(): Target {
    const { victim } = this;
    return {
      key: victim.key,
      topic: `/costor/ledger/1/${victim.parts.membership.federationId}`,
      addresses: () => victim.parts.transport.addresses(),
    };
  }

  /** The next roster of the victim's chain, signed by these whether that is enough or not. */
  rosterAfter(change: RosterChange, signers: readonly LedgerAuthor[]): Buffer {
    return signedRoster(encodeRosterBody(applyChange(this.victim.parts.membership.roster!, change)!), signers);
  }

  /** Both honest sites take a change that both have signed. */
  async decide(change: RosterChange): Promise<void> {
    const { victim, honest } = this;
    const isMember = ({ siteId }: LedgerAuthor): boolean => victim.parts.membership.roleOf(siteId).role === "member";
    const roster = this.rosterAfter(change, [victim.author, honest.author, ...this.#hostile].filter(isMember));
    for (const site of [victim, honest]) assert.ok(await site.parts.membership.offer([roster]));
  }

  /** One more member, or guest of the victim, connected to the victim. */
  async hostile(name: string, role: "member" | "guest" = "member"): Promise<HostileMember> {
    const { victim } = this;
    const author = new LedgerAuthor(name);
    if (role === "member") {
      await this.decide(this.#admission(author.siteId));
      this.#hostile.push(author);
      await victim.parts.ledger.offer({ certificates: [author.log.bytes] });
    } else {
      const certificate = Buffer.from(author.log.bytes);
      await victim.parts.entries.write({ kind: "guest", site: author.siteId, name, certificate });
    }
    const member = await HostileMember.start(name, this.target);
    await this.connect(member);
    return member;
  }

  /** The round of synchronising that a connection brings is over when it resolves. */
  async connect(member: HostileMember): Promise<void> {
    const channel = await member.open(ledgerProtocol);
    await channel.close();
    await this.until(() => this.victim.parts.transport.connected().includes(member.key));
    await this.pull(member);
  }

  /** The victim synchronises with it; whether that came to its end. */
  pull(member: HostileMember): Promise<boolean> {
    return this.victim.parts.sync.with(member.key);
  }

  async until(condition: () => boolean | Promise<boolean>): Promise<void> {
    while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 2));
  }

  /** Ends what it has open, and has the honest ones expel it with all that it said. */
  async repel(member: HostileMember): Promise<void> {
    const { membership, transport } = this.victim.parts;
    await member[Symbol.asyncDispose]();
    await this.until(() => !transport.connected().includes(member.key));
    const { role } = membership.roleOf(member.siteId);
    if (role === "member") await this.decide({ action: "remove", siteId: member.siteId, heads: [] });
    this.#hostile = this.#hostile.filter(({ siteId }) => siteId !== member.siteId);
    if (role === "guest") await this.victim.parts.entries.withdraw("guest", member.siteId);
  }

  /** What the victim has of those who keep to the rules, to be compared. */
  async honestState(): Promise<object> {
    const { victim, honest } = this;
    const keptOf = (site: SiteId): Promise<PrimeId[][]> => Array.fromAsync(victim.store.kept(site));
    const log = victim.parts.ledger.log(honest.author.log.id)!;
    return {
      own: await keptOf(victim.siteId),
      honest: await keptOf(honest.siteId),
      entries: log.seqs().map((seq) => log.held(seq)!.hash),
      suspicion: victim.parts.ownLog.suspicion,
      members: victim.parts.membership.sites().filter((site) => site === honest.siteId || site === victim.siteId),
    };
  }

  /** The honest one gets a receipt for something new, and both know the same afterwards. */
  async assertServes(): Promise<void> {
    const { victim, honest } = this;
    const { ledger, entries, transport } = honest.parts;
    const prime = primeOf(`honest ${++this.#honestCount}`);
    await honest.store.putFor(honest.siteId, wireBatch([prime]));
    const slice = sliceOf(prime.id);
    const holders = [victim.siteId];
    const placed = ledger.statement(honest.siteId, "placement", `${slice}`);
    const namingEntry =
      (placed && (await ledger.entry(placed.logId, placed.seq))) ??
      (await entries.write({ kind: "placement", slice, holders }));
    const ids = (await Array.fromAsync(honest.store.kept(honest.siteId, slice.toString(16)))).flat();
    const set = { slice, bytes: 500 * ids.length, hash: hashOfSet(ids), generation: this.#honestCount, snapshots: 1 };
    const entry = await entries.write({ kind: "live-set", ...set, count: ids.length });
    const channel = await transport.open(victim.key, replicateProtocol);
    const limit = new BandwidthLimit({ clock: honest.clock }, { bytesPerSecond: () => undefined });
    const run = new OwnerRun(
      { channel, ledger, store: honest.store, limit, clock: honest.clock, rng: new SeededRng("honest") },
      { owner: honest.siteId, holder: victim.siteId },
    );
    const [report] = await run.run([{ ...set, ids, entry, namingEntry }]);
    assert.equal(report!.end, "received", "an honest owner is served");
    assert.ok((await victim.store.hasKept(honest.siteId, ids)).every(Boolean));
    await this.synchronise();
    assert.equal(honest.parts.ledger.digest(), victim.parts.ledger.digest(), "honest sites know the same");
  }

  /** Of the honest ones with each other. */
  async synchronise(): Promise<void> {
    const { victim, honest } = this;
    for (let count = 0; count < 2; count++) {
      assert.ok(await honest.parts.sync.with(victim.key), "the honest one synchronises");
      assert.ok(await victim.parts.sync.with(honest.key), "the victim synchronises with the honest one");
      if (honest.parts.ledger.digest() === victim.parts.ledger.digest()) return;
    }
  }

  #admission(siteId: SiteId): RosterChange {
    return { action: "admit", siteId, inviter: null };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.honest[Symbol.asyncDispose]();
    await this.victim[Symbol.asyncDispose]();
  }
}
