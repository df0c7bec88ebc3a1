/**
 * The parent's log of what was acknowledged to it, and the proof that all of it is still there: snapshots that an agent
 * was told are complete, and primes that a sender of its own was told are durable.
 */
import assert from "node:assert/strict";
import { createCipheriv } from "node:crypto";
import type { SiteClient } from "#agent/site-client/site-client.ts";
import { isCostorError } from "#protocol/errors.ts";
import { type PrimeId, parseSessionId, parseSnapshotId, type SessionId, type SnapshotId } from "#protocol/ids.ts";
import { makeUuidV7 } from "#protocol/ids.ts";
import { primeIdOf } from "#protocol/sealing.ts";
import type { AgentUnderFault } from "./agent-under-fault.ts";
import type { ChangingTree } from "./changing-tree.ts";
import type { TreeManifest } from "./tree-manifest.ts";

/** Snapshots by what they have to hold. */
export class AcknowledgedSnapshots {
  private readonly agent: AgentUnderFault;
  private readonly tree: ChangingTree;
  private readonly manifests = new Map<SnapshotId, TreeManifest>();
  private readonly acknowledged = new Set<SnapshotId>();
  private readonly verified = new Set<SnapshotId>();
  private acknowledgedCount = 0;

  constructor(agent: AgentUnderFault, tree: ChangingTree) {
    this.agent = agent;
    this.tree = tree;
  }

  get count(): number {
    return this.acknowledged.size;
  }

  /** Of all that there ever were. */
  get foundCount(): number {
    return this.manifests.size;
  }

  get allCount(): number {
    return this.acknowledgedCount;
  }

  /** The older ones may be gone from now on: the site has a rule that keeps so many. */
  expectOnly(newestCount: number): void {
    for (const id of [...this.acknowledged].slice(0, -newestCount)) this.acknowledged.delete(id);
  }

  /** `manifest`: what it holds, when that is not the tree as it is at the next {@link findAll}. */
  acknowledge(id: SnapshotId, manifest?: TreeManifest): void {
    this.acknowledged.add(id);
    this.acknowledgedCount++;
    if (manifest !== undefined) this.manifests.set(id, manifest);
  }

  /**
   * Looks for all of them at the site. What is there without having been acknowledged was completed just before a kill:
   * it has to hold the tree as it is now. Call it before the tree changes.
   */
  async findAll(): Promise<void> {
    const listed = (await this.agent.reading.snapshots()).map(({ id }) => parseSnapshotId(id));
    for (const id of this.acknowledged) assert.ok(listed.includes(id), `snapshot ${id} is lost`);
    for (const id of this.manifests.keys()) if (!listed.includes(id)) this.manifests.delete(id);
    for (const id of listed) if (!this.manifests.has(id)) this.manifests.set(id, this.tree.manifest());
  }

  /** The newest so many. */
  newest(count: number): readonly SnapshotId[] {
    return [...this.acknowledged].slice(-count);
  }

  /** Compares what was restored of one in another way; `latest` is the newest. */
  verifyManifest(id: string, restored: TreeManifest): void {
    const known = id === "latest" ? this.newest(1)[0]! : (id as SnapshotId);
    assert.deepEqual(restored, this.manifests.get(known), `snapshot ${known} restores otherwise than it was`);
  }

  /** Restores one of them, chosen by `chance` in [0, 1), and those that never were. */
  async verifySample(chance: number): Promise<void> {
    const ids = [...this.manifests.keys()];
    if (ids.length > 0) await this.verify(ids[Math.floor(chance * ids.length)]!);
    await this.verifyNew();
  }

  async verifyNew(): Promise<void> {
    for (const id of this.manifests.keys()) if (!this.verified.has(id)) await this.verify(id);
  }

  async verifyAll(): Promise<void> {
    await this.findAll();
    for (const id of this.manifests.keys()) await this.verify(id);
  }

  private async verify(id: SnapshotId): Promise<void> {
    const restored = await this.agent.restored(id, this.tree.path);
    assert.deepEqual(restored, this.manifests.get(id), `snapshot ${id} restores otherwise than it was`);
    this.verified.add(id);
  }
}

const batchCount = 4;
const readCount = 256;

/** Sends primes all the time while it is told to, and knows which of them were acknowledged. */
export class PrimeSender {
  private readonly client: SiteClient;
  private readonly seed: number;
  private sessionId: SessionId | undefined;
  private next = 0;
  private readonly acknowledged: number[] = [];

  constructor(client: SiteClient, seed: number) {
    this.client = client;
    this.seed = seed;
  }

  get count(): number {
    return this.acknowledged.length;
  }

  /** Sends until `signal` is aborted. Throws what the site answers, when that does not pass. */
  async send(signal: AbortSignal): Promise<void> {
    try {
      this.sessionId ??= await this.openSession(signal);
      while (!signal.aborted) await this.sendBatch(signal);
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }

  /** One batch; its primes count once it is acknowledged. */
  async sendBatch(signal?: AbortSignal): Promise<void> {
    this.sessionId ??= await this.openSession(signal);
    const indexes = Array.from({ length: batchCount }, () => this.next++);
    const primes = indexes.map((index) => {
      const stored = this.prime(index);
      return { id: primeIdOf(stored), stored };
    });
    await this.client.sendPrimes(this.sessionId, primes, signal);
    this.acknowledged.push(...indexes);
  }

  /** Reads `sampleCount` of the acknowledged primes, by `random`. */
  async verifySample(random: () => number, sampleCount: number): Promise<void> {
    if (this.acknowledged.length === 0) return;
    await this.verify(
      Array.from({ length: sampleCount }, () => this.acknowledged[Math.floor(random() * this.acknowledged.length)]!),
    );
  }

  async verifyAll(): Promise<void> {
    for (let at = 0; at < this.acknowledged.length; at += readCount)
      await this.verify(this.acknowledged.slice(at, at + readCount));
  }

  private async verify(indexes: readonly number[]): Promise<void> {
    const expected = new Map<PrimeId, Buffer>();
    for (const index of indexes) {
      const stored = this.prime(index);
      expected.set(primeIdOf(stored), stored);
    }
    try {
      for await (const { id, stored } of this.client.readPrimes([...expected.keys()])) {
        assert.ok(expected.get(id)?.equals(stored), `prime ${id} comes back otherwise than it was`);
        expected.delete(id);
      }
    } catch (error) {
      if (isCostorError(error, "prime-missing")) assert.fail(`acknowledged primes are lost: ${error.message}`);
      throw error;
    }
    assert.equal(expected.size, 0, "acknowledged primes did not come back");
  }

  private async openSession(signal?: AbortSignal): Promise<SessionId> {
    const snapshotId = makeUuidV7(Date.now());
    return parseSessionId((await this.client.openSession({ job: "primes", snapshotId }, signal)).sessionId);
  }

  private prime(index: number): Buffer {
    const iv = Buffer.alloc(16);
    iv.writeUInt32BE(this.seed >>> 0, 0);
    iv.writeUInt32BE(index, 4);
    const lengthBytes = 100 + ((index * 911) % 5_000);
    return createCipheriv("aes-128-ctr", Buffer.alloc(16, 11), iv).update(Buffer.alloc(lengthBytes));
  }
}
