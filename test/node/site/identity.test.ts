/** The identity is made once, survives every crash of the first run, and no flipped bit of its files goes unnoticed. */
import assert from "node:assert/strict";
import { cp, mkdir, readFile, readdir, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { ensureIdentity } from "#node/site/first-run.ts";
import { encodeSecrets, readIdentity, readSecrets, secretsPathOf, siteDirectoryOf } from "#node/site/identity.ts";
import { confirmKit, readKitCheck } from "#node/site/kit-check.ts";
import { openSite } from "#node/site/site.ts";
import { parseEpochCertificate } from "#protocol/epoch-certificate.ts";
import { isCostorError } from "#protocol/errors.ts";
import { deriveReadKey, deriveRecoveryKey, deriveSiteScopeSecret } from "#protocol/keys.ts";
import { parseKit } from "#protocol/kit.ts";
import { wordsOfKitRoot } from "#protocol/kit-words.ts";
import { publicKeyOf } from "#protocol/raw-keys.ts";
import { createMemoryStore } from "#test/support/memory-store.ts";
import { count } from "#test/support/level.ts";
import { scratchDirectory } from "#test/support/scratch.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("site identity", { timeoutMs: 60_000 });
const store = createMemoryStore();
const isDamaged = (error: unknown) => isCostorError(error, "identity-damaged");

async function make(kitFile?: string, dataDirectory?: string) {
  const directory = dataDirectory ?? (await scratchDirectory("identity"));
  const shown: string[] = [];
  await ensureIdentity(directory, store, {
    siteName: "Hill School",
    ...(kitFile ? { kitFile } : {}),
    showKit: (text) => shown.push(text),
    nowMs: Date.now(),
  });
  return { directory, siteDirectory: siteDirectoryOf(directory), shown };
}

test("read keys that a kit derives are read back as former ones, without what is more in them", async () => {
  const { siteDirectory } = await make();
  const { privateKey, generation } = deriveReadKey(Buffer.alloc(32, 7), 3);
  const secrets = { ...(await readSecrets(siteDirectory)), formerReadKeys: [deriveReadKey(Buffer.alloc(32, 7), 3)] };
  await writeFile(secretsPathOf(siteDirectory), encodeSecrets(secrets));
  const { formerReadKeys } = await readSecrets(siteDirectory);
  assert.deepEqual(
    formerReadKeys!.map((key) => ({ ...key, privateKey: Buffer.from(key.privateKey) })),
    [{ generation, privateKey }],
  );
});

async function allBytes(directory: string): Promise<Buffer> {
  const names = await readdir(directory, { recursive: true, withFileTypes: true });
  return Buffer.concat(
    await Promise.all(
      names.filter((entry) => entry.isFile()).map((entry) => readFile(join(entry.parentPath, entry.name))),
    ),
  );
}

test("all keys grow from the kit that was shown, and the kit's root is in no file", async () => {
  const { directory, siteDirectory, shown } = await make();
  assert.equal(shown.length, 1);
  const { kitRoot, siteId, siteName } = parseKit(shown[0]!);
  const identity = await readIdentity(siteDirectory);
  const secrets = await readSecrets(siteDirectory);
  const recovery = deriveRecoveryKey(kitRoot);
  assert.equal(siteName, "Hill School");
  assert.equal(identity.siteId, siteId);
  assert.deepEqual(Buffer.from(identity.recoveryPublicKey), recovery.publicKey);
  assert.deepEqual(Buffer.from(secrets.readPrivateKey), deriveReadKey(kitRoot, 1).privateKey);
  assert.deepEqual(Buffer.from(secrets.scopeSecret), deriveSiteScopeSecret(kitRoot));
  const certificate = parseEpochCertificate(identity.epochCertificate);
  assert.equal(certificate.epoch, 1);
  assert.deepEqual(Buffer.from(certificate.peerPublicKey), publicKeyOf("ed25519", secrets.peerSeed));

  const files = await allBytes(directory);
  for (const secret of [
    Buffer.from(kitRoot),
    recovery.seed,
    ...wordsOfKitRoot(kitRoot)
      .filter((word) => word.length > 5)
      .map((word) => Buffer.from(` ${word} `)),
  ]) {
    assert.equal(files.includes(secret), false);
  }
});

test("files are for their owner alone, and a second start changes nothing", async () => {
  const { directory, siteDirectory } = await make();
  assert.equal((await stat(siteDirectory)).mode & 0o777, 0o700);
  for (const name of await readdir(siteDirectory))
    assert.equal((await stat(join(siteDirectory, name))).mode & 0o777, 0o600, name);
  const before = await allBytes(directory);
  const { shown } = await make(undefined, directory);
  assert.deepEqual(shown, []);
  assert.deepEqual(await allBytes(directory), before);
});

test("every flipped bit and every cut of the identity's files is noticed, with the file's name", async () => {
  const { siteDirectory } = await make();
  // 7 and 8 have no common factor: each place in a byte has its turn.
  const stride = count(7, 1);
  const readers = { identity: readIdentity, secrets: readSecrets, "kit-check": readKitCheck };
  for (const [name, read] of Object.entries(readers)) {
    const path = join(siteDirectory, name);
    const good = await readFile(path);
    const isNamed = (error: unknown) =>
      isDamaged(error) && (error as { details: { path?: string } }).details.path === path;
    for (let bit = 0; bit < good.length * 8; bit += stride) {
      const bad = Buffer.from(good);
      bad[bit >> 3]! ^= 1 << (bit & 7);
      await writeFile(path, bad);
      await assert.rejects(read(siteDirectory), isNamed, `${name}, bit ${bit}`);
    }
    for (const bad of [
      Buffer.alloc(0),
      good.subarray(0, good.length - 1),
      Buffer.concat([good, Buffer.alloc(1)]),
      Buffer.alloc(good.length),
    ]) {
      await writeFile(path, bad);
      await assert.rejects(read(siteDirectory), isNamed, name);
    }
    await rm(path);
    await assert.rejects(read(siteDirectory), isNamed, name);
    await writeFile(path, good);
    await read(siteDirectory);
  }
});

test("a damaged leaf is replaced by a good one", async () => {
  const { directory, siteDirectory } = await make();
  const site = await openSite(directory, { store: createMemoryStore(), now: Date.now });
  const first = await site.credentials(["10.0.0.1", "backup.example"]);
  assert.deepEqual(await site.credentials(["10.0.0.1"]), first);
  const path = join(siteDirectory, "leaf");
  const good = await readFile(path);
  for (let at = 0; at < good.length; at += 97) {
    const bad = Buffer.from(good);
    bad[at]! ^= 4;
    await writeFile(path, bad);
    assert.notEqual((await site.credentials([])).cert, first.cert);
  }
  const before = await site.credentials([]);
  assert.notDeepEqual(await site.credentials(["10.0.0.2"]), before, "a new address needs a new leaf");
});

test("the kit goes to the file that was named, which is never overwritten", async () => {
  const kitFile = join(await scratchDirectory("kit"), "kit.txt");
  const { siteDirectory, shown } = await make(kitFile);
  assert.deepEqual(shown, []);
  assert.equal((await stat(kitFile)).mode & 0o777, 0o600);
  assert.equal(parseKit(await readFile(kitFile, "utf8")).siteId, (await readIdentity(siteDirectory)).siteId);
  const before = await readFile(kitFile);
  const elsewhere = await scratchDirectory("identity");
  await assert.rejects(make(kitFile, elsewhere), (error) => isCostorError(error, "kit-file-exists"));
  assert.deepEqual(await readFile(kitFile), before);
  assert.deepEqual(await readdir(elsewhere), []);
  await writeFile(kitFile, "");
  await make(kitFile, elsewhere);
  assert.equal(
    parseKit(await readFile(kitFile, "utf8")).siteId,
    (await readIdentity(siteDirectoryOf(elsewhere))).siteId,
  );
});

test("after a crash at any step of the first run the next start ends with one identity and its kit", async () => {
  const kitFile = join(await scratchDirectory("kit"), "kit.txt");
  const whole = await make(kitFile);
  const names = ["identity", "secrets", "kit-check"];
  for (let written = 0; written <= names.length; written++) {
    for (const torn of written < names.length ? [false, true] : [false]) {
      const directory = await scratchDirectory("crash");
      await mkdir(join(directory, "site.new"));
      for (const name of names.slice(0, written))
        await cp(join(whole.siteDirectory, name), join(directory, "site.new", name));
      if (torn) await writeFile(join(directory, "site.new", names[written]!), Buffer.alloc(10));
      const { shown, siteDirectory } = await make(undefined, directory);
      const identity = await readIdentity(siteDirectory);
      assert.equal(parseKit(shown[0]!).siteId, identity.siteId);
      assert.deepEqual(await readdir(directory), ["site"]);
    }
  }

  // The kit's file was written and only the rename was missing: the same kit file finishes that identity.
  const directory = await scratchDirectory("crash");
  await cp(whole.siteDirectory, join(directory, "site.new"), { recursive: true });
  const { siteDirectory, shown } = await make(kitFile, directory);
  assert.deepEqual(shown, []);
  assert.deepEqual(await readIdentity(siteDirectory), await readIdentity(whole.siteDirectory));
});

test("a store that knows agents gets no new identity", async () => {
  const directory = await scratchDirectory("lost");
  const used = createMemoryStore();
  await used.appendFacts([{ kind: "agent", key: "x", value: Buffer.of(1) }]);
  await assert.rejects(
    ensureIdentity(directory, used, { siteName: "x", showKit: () => assert.fail(), nowMs: 1 }),
    isDamaged,
  );
  assert.deepEqual(await readdir(directory), []);
  // A left-over directory beside a whole identity is thrown away.
  const { directory: made, siteDirectory } = await make();
  await cp(siteDirectory, join(made, "site.new"), { recursive: true });
  await make(undefined, made);
  assert.deepEqual(await readdir(made), ["site"]);
  await rename(siteDirectory, join(made, "elsewhere"));
  await assert.rejects(openSite(made, { store, now: Date.now }), isDamaged);
});

test("two words of the kit confirm it, and nothing else does", async () => {
  const { siteDirectory, shown } = await make();
  const words = wordsOfKitRoot(parseKit(shown[0]!).kitRoot);
  const { positions } = await readKitCheck(siteDirectory);
  const [first, second] = positions as [number, number];
  assert.ok(1 <= first && first < second && second <= 24);
  const right = new Map(positions.map((position) => [position, words[position - 1]!]));
  const wrong = new Map([...right, [second, words[first - 1] === words[second - 1] ? "zoo" : words[first - 1]!]]);
  await assert.rejects(confirmKit(siteDirectory, wrong, 5), (error) => isCostorError(error, "kit-wrong-word"));
  await assert.rejects(confirmKit(siteDirectory, new Map([[first, words[first - 1]!]]), 5), (error) =>
    isCostorError(error, "bad-usage"),
  );
  assert.equal((await readKitCheck(siteDirectory)).confirmedMs, undefined);
  await confirmKit(
    siteDirectory,
    new Map([...right].map(([position, word]) => [position, ` ${word.toUpperCase()} `])),
    5,
  );
  await confirmKit(siteDirectory, right, 9);
  assert.equal((await readKitCheck(siteDirectory)).confirmedMs, 5);
});

test.run();
