/**
 * Goal: a drill with the kit passes exactly when the kit opens at the other sites what this site has backed up, and
 * reads nothing else. Method: a scripted site of the kit that differs
 * in one thing each; the whole way by real processes is in test/integration/federation.test.ts.
 */
import assert from "node:assert/strict";
import { kitDrill } from "#node/drills/kit-drill.ts";
import { sealedContext } from "#node/federation/sealed-statements.ts";
import type { RemoteRestoreInit } from "#node/rescue/remote-restore.ts";
import { makeGrant } from "#node/rescue/restore-grant.ts";
import type { RescuedSite } from "#node/rescue/rescued-site.ts";
import { CostorError } from "#protocol/errors.ts";
import { type SnapshotResponse } from "#protocol/http.ts";
import { makeUuidV7, parseAgentId, parseSnapshotId } from "#protocol/ids.ts";
import { deriveReadKey, deriveRecoveryKey, siteIdOf } from "#protocol/keys.ts";
import { nodePointerToWire } from "#protocol/node-pointer.ts";
import { sealToReadKey } from "#protocol/read-sealing.ts";
import { noise } from "#test/support/noise.ts";
import { scratchDirectory } from "#test/support/scratch.ts";
import { SeededRng } from "#test/simulation/seeded-rng.ts";
import { suite } from "#test/support/suite.ts";
import { TreeMaker } from "#test/support/trees.ts";

const test = suite("drills with the kit");
const { signal } = new AbortController();
const kitRoot = noise("kit", 32);
const siteId = siteIdOf(deriveRecoveryKey(kitRoot).publicKey);
const agent = parseAgentId(makeUuidV7(1));
const helper = "ab".repeat(32);

const grantOf = (root: Uint8Array = kitRoot): Promise<RemoteRestoreInit> =>
  makeGrant({ siteId: siteIdOf(deriveRecoveryKey(root).publicKey), kitRoot: root }, { helper });

/** A site with one snapshot, and what its kit opens elsewhere, changed. */
async function drilled(change: Partial<RescuedSite> | CostorError = {}, grant = grantOf(), isLone = false) {
  const maker = new TreeMaker();
  const files = Array.from({ length: 8 }, (_, at) => maker.file(`${at}`, noise(`file ${at}`, 20_000)));
  const root = nodePointerToWire(maker.node(files));
  const id = parseSnapshotId(makeUuidV7(2));
  const summary = { id, job: "daily", roots: [], startedMs: 1, receivedMs: 1, objectsCount: 8 } as never;
  const response = { ...(summary as SnapshotResponse), root };
  const find = (wanted: string) => maker.primes.find((prime) => prime.id === wanted)!;
  const read = { elsewhere: 0 };
  const opened: RescuedSite = {
    isVerified: true,
    agents: async () => [{ id: agent, name: "pc", hostName: "pc", snapshotsCount: 1, newestMs: 1 }],
    snapshots: async () => [summary],
    snapshot: async () => response,
    async *readPrimes(ids) {
      for (const one of ids) {
        read.elsewhere++;
        yield { id: one, stored: Buffer.from(find(one).stored) };
      }
    },
    [Symbol.asyncDispose]: async () => {},
    ...(change instanceof CostorError ? {} : change),
  };
  const result = await kitDrill(
    {
      site: {
        identity: { siteId },
        snapshots: { list: async () => [summary], get: async () => response },
        store: { get: async (one: string) => Buffer.from(find(one).stored) },
      } as never,
      rng: new SeededRng("kit"),
      openKit: isLone
        ? undefined
        : async () => {
            if (change instanceof CostorError) throw change;
            return opened;
          },
    },
    await grant,
    { scratchFile: `${await scratchDirectory("kit-drill")}/scratch`, signal, onProgress: () => {} },
  );
  return { ...result, read };
}

test("files come back by the kit from other sites alone, and are compared with this site's own", async () => {
  const { filesCount, failedCount, read } = await drilled();
  assert.ok(filesCount > 0);
  assert.equal(failedCount, 0);
  assert.ok(read.elsewhere > 0);
});

test("a kit that opens another tree, or whose snapshot does not open, fails the drill", async () => {
  const other = nodePointerToWire(new TreeMaker().node([]));
  const differs = await drilled({ snapshot: async () => ({ root: other }) as never });
  assert.match(differs.failures[0]!.message, /^drill-differs/);
  const broken = await drilled({ snapshot: () => Promise.reject(new CostorError("seal-broken", "it does not open")) });
  assert.deepEqual(broken.failures, [{ what: "what the kit opens", message: "seal-broken: it does not open" }]);
});

test("what no other site gives fails the drill by its files", async () => {
  const { failedCount, failures } = await drilled({
    readPrimes: () => ({
      [Symbol.asyncIterator]: () => ({ next: () => Promise.reject(new CostorError("prime-missing", "nobody has it")) }),
    }),
  });
  assert.ok(failedCount > 0);
  assert.match(failures[0]!.message, /^prime-missing/);
});

test("another site's kit, no other site, and a snapshot that is not in the ledger yet are told, and prove nothing", async () => {
  await assert.rejects(drilled({}, grantOf(noise("another", 32))), { code: "kit-of-another-site" });
  await assert.rejects(drilled({}, grantOf(), true), { code: "not-in-federation" });
  await assert.rejects(drilled({ snapshots: async () => [] }), { code: "snapshot-unknown" });
  await assert.rejects(drilled(new CostorError("signature-invalid", "it was replaced")), { code: "signature-invalid" });
});

test("a grant has the read keys that the owner has told, and no key once it is disposed of; a read key that is another's gives none", async () => {
  const told = (generation: number, root = kitRoot) => ({
    generation,
    publicKey: deriveReadKey(root, generation).publicKey.toString("hex"),
  });
  const grant = await makeGrant({ siteId, kitRoot }, { helper, readKey: told(3) });
  assert.deepEqual(
    grant.readKeys.map((key) => Buffer.from(key)),
    [1, 2, 3].map((generation) => Buffer.from(deriveReadKey(kitRoot, generation).privateKey)),
  );
  grant[Symbol.dispose]();
  assert.ok(grant.readKeys.every((key) => key.every((byte) => byte === 0)));
  await assert.rejects(makeGrant({ siteId, kitRoot }, { helper, readKey: told(1, noise("another", 32)) }), {
    code: "kit-of-another-site",
  });
});

test("a kit that the owner has asked for and not started with opens what the owner has sealed to it, and no generation beyond", async () => {
  const former = noise("former", 32);
  const readKey = { generation: 2, publicKey: deriveReadKey(former, 2).publicKey.toString("hex") };
  const context = sealedContext(siteId, { kind: "state", part: "keys/requested" });
  const sealedTo = async (generation: number, of = context): Promise<string> =>
    (await sealToReadKey(Buffer.from("keys"), deriveReadKey(kitRoot, generation).publicKey, of)).toString("base64");
  const grant = await makeGrant({ siteId, kitRoot }, { helper, readKey, requestedKeys: await sealedTo(3) });
  assert.equal(grant.readKeys.length, 3);
  for (const requestedKeys of [await sealedTo(4), await sealedTo(3, Buffer.from("elsewhere")), "AAAA"])
    await assert.rejects(makeGrant({ siteId, kitRoot }, { helper, readKey, requestedKeys }), {
      code: "kit-of-another-site",
    });
});

test.run();
