/**
 * A real site on a real disk that is full, at many sizes. Goal: a refusal with the code `store-full`, restores and lists
 * meanwhile, the same backup completes once there is room, and nothing acknowledged is lost. `COSTOR_DISK_SEED` runs one
 * seed again.
 */
import assert from "node:assert/strict";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { hasCode } from "#test/conformance/prime-store.ts";
import type { SnapshotId } from "#protocol/ids.ts";
import { count } from "#test/support/level.ts";
import { noise } from "#test/support/noise.ts";
import { seededRandom } from "#test/support/recording-disk.ts";
import { scratchDirectory } from "#test/support/scratch.ts";
import { smallDiskObstacle } from "#test/support/small-disk.ts";
import { suite } from "#test/support/suite.ts";
import { AgentUnderFault } from "./agent-under-fault.ts";
import { CrowdedDisk } from "./crowded-disk.ts";
import { SiteUnderFault } from "./site-under-fault.ts";
import { type TreeManifest, treeManifest } from "./tree-manifest.ts";

const KIB = 1024;
const MIB = 1024 * KIB;
const test = suite("full disks", { timeoutMs: count(600_000, 1_800_000) });
const seed = Number(process.env["COSTOR_DISK_SEED"] ?? Math.floor(Math.random() * 2 ** 31));
const refusal = smallDiskObstacle();

interface Kept {
  readonly snapshotId: SnapshotId;
  readonly path: string;
  readonly manifest: TreeManifest;
}

async function makeFiles(name: string, totalBytes: number): Promise<string> {
  const path = join(await scratchDirectory("full"), "files");
  mkdirSync(path);
  for (let index = 0; index < 5; index++)
    writeFileSync(join(path, `small-${index}`), noise(`${name}/${index}`, 900 * index));
  writeFileSync(join(path, "large"), noise(`${name}/large`, totalBytes));
  return path;
}

/** A site on its own disk, and what it has acknowledged. */
class Stairs implements AsyncDisposable {
  readonly disk: CrowdedDisk;
  readonly site: SiteUnderFault;
  agent!: AgentUnderFault;
  readonly kept: Kept[] = [];

  private constructor(disk: CrowdedDisk, site: SiteUnderFault) {
    this.disk = disk;
    this.site = site;
  }

  static async make(sizeBytes: number): Promise<Stairs> {
    const disk = await CrowdedDisk.mount(sizeBytes);
    return new Stairs(disk, await SiteUnderFault.make(join(disk.path, "data")));
  }

  /** The site's first start. A disk that is too small for one is refused, and then made larger. */
  async start(): Promise<void> {
    for (let growths = 0; ; growths++) {
      const end = await this.site.tryStart();
      if (end === undefined) break;
      assert.equal(end.errorCode(), "store-full", end.stderr);
      assert.ok(growths < 20, "a site needs no more than this");
      this.grow(128 * KIB);
    }
    for (;;) {
      try {
        this.agent = await AgentUnderFault.enrol(this.site);
        break;
      } catch (error) {
        assert.match(String(error), /store-full/);
        this.grow(128 * KIB);
      }
    }
  }

  grow(freeBytes: number): void {
    this.disk.resize(this.disk.usedBytes + freeBytes);
  }

  async keep(path: string): Promise<void> {
    const { snapshotId } = await this.agent.hurriedBackup([path]);
    assert.ok(snapshotId);
    this.kept.push({ snapshotId, path, manifest: treeManifest(path) });
    await this.verify(this.kept.at(-1)!);
  }

  async verify({ snapshotId, path, manifest }: Kept): Promise<void> {
    const listed = await this.agent.reading.snapshots();
    assert.ok(listed.some(({ id }) => id === snapshotId));
    assert.deepEqual(await this.agent.restored(snapshotId, path), manifest);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.agent?.[Symbol.dispose]();
    await this.site[Symbol.asyncDispose]();
    await this.disk[Symbol.asyncDispose]();
  }
}

const ways = ["the disk grows", "files are deleted", "filled to the brim by another program"] as const;

async function climb(stairs: Stairs, stepsCount: number, random: () => number): Promise<void> {
  for (let step = 0; step < stepsCount; step++) {
    const way = ways[step % ways.length]!;
    const freeBytes = Math.ceil(64 * KIB * 2 ** (random() * 7));
    stairs.grow(freeBytes);
    const path = await makeFiles(`${seed}/${step}/${random()}`, Math.ceil(freeBytes * 1.3));
    if (way === "files are deleted") {
      stairs.grow(freeBytes * 3);
      stairs.disk.takeSpace(freeBytes * 2);
    }
    if (way === "filled to the brim by another program") stairs.disk.takeSpace();

    await assert.rejects(stairs.agent.hurriedBackup([path]), hasCode("store-full"), `${way}, ${freeBytes} bytes free`);
    for (const kept of new Set([stairs.kept[0]!, stairs.kept.at(-1)!])) await stairs.verify(kept);
    if (step % 4 === 2) {
      // Its start needs no room that is not there.
      await stairs.site.stop(random() < 0.5 ? "SIGTERM" : "SIGKILL");
      await stairs.site.start();
      await stairs.verify(stairs.kept.at(-1)!);
    }

    stairs.disk.giveSpaceBack();
    const roomBytes = Math.ceil(freeBytes * 2) + 2 * MIB;
    stairs.disk.resize((stairs.disk.usedBytes + roomBytes) * 1.2);
    await stairs.keep(path);
  }
}

if (refusal === undefined) {
  test("a full disk is refused clearly, reads go on, and the same backup completes with room", async ({ signal }) => {
    process.stdout.write(`\nseed ${seed}; again: COSTOR_DISK_SEED=${seed} node test/faults/disk-full.test.ts\n`);
    const random = seededRandom(seed);
    const stairsCount = count(1, 10);
    let sizesCount = 0;
    for (let number = 0; number < stairsCount && !signal.aborted; number++) {
      await using stairs = await Stairs.make(64 * KIB * 2 ** (random() * 6));
      await stairs.start();
      stairs.grow(4 * MIB);
      await stairs.keep(await makeFiles(`base ${number}`, 200 * KIB));
      await climb(stairs, count(4, 10), random);
      sizesCount += count(4, 10);
      for (const kept of stairs.kept) await stairs.verify(kept);
      const check = await stairs.site.command("check", "--read-data");
      assert.equal(check.code, 0, check.stderr);
      assert.doesNotMatch(stairs.site.log.join("\n"), /damage-found/);
    }
    assert.equal(sizesCount, count(4, 100));
  });

  test("a command says that the site's disk is full, and what to do", async () => {
    await using stairs = await Stairs.make(16 * MIB);
    await stairs.start();
    stairs.disk.takeSpace();
    const end = await stairs.agent.backup(await makeFiles("command", MIB));
    assert.equal(end.code, 1);
    assert.equal(end.errorCode(), "store-full");
    assert.match(end.stderr, /Free space on the site's disk/);
    // Metadata has a reserve of its own.
    await stairs.site.enrolToken("another");
  });

  test("a site without room for a certificate serves one all the same", async () => {
    await using stairs = await Stairs.make(16 * MIB);
    await stairs.start();
    await stairs.keep(await makeFiles("kept", 200 * KIB));
    await stairs.site.stop();
    rmSync(join(stairs.site.dataDirectory, "site/leaf"));
    stairs.disk.takeSpace();
    await stairs.site.start();
    await stairs.verify(stairs.kept[0]!);
  });

  test("a disk without inodes is refused, and works again with some", async () => {
    for (const inodesCount of Array.from({ length: count(2, 20) }, (_, index) => 24 + index * count(14, 2))) {
      await using disk = await CrowdedDisk.mount(64 * MIB, inodesCount);
      await using site = await SiteUnderFault.make(join(disk.path, "data"));
      const end = await site.tryStart();
      if (end !== undefined) {
        assert.equal(end.errorCode(), "store-full", end.stderr);
        disk.resize(64 * MIB);
        await site.start();
      }
      using agent = await AgentUnderFault.enrol(site);
      const base = await makeFiles("inodes", 100 * KIB);
      const snapshotId = await agent.backupWhole(base);
      // None is left for a new file of the index or of the segments.
      for (let index = 0; ; index++) {
        try {
          writeFileSync(join(disk.path, `taken-${index}`), "");
        } catch {
          break;
        }
        if (index > 200) break;
      }
      await site.stop("SIGKILL");
      const again = await site.tryStart();
      if (again !== undefined) assert.equal(again.errorCode(), "store-full", again.stderr);
      disk.resize(64 * MIB);
      if (again !== undefined) await site.start();
      assert.deepEqual(await agent.restored(snapshotId, base), treeManifest(base));
      await agent.hurriedBackup([await makeFiles("more inodes", MIB)]);
    }
  });
} else test.skip("full disks", refusal);

test.run();
