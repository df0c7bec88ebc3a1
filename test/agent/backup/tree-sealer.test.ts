/** Goal: nodes are inlined while they are small and flat; long lists of references and wide indexes become pages that read back. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { TreeSealer } from "#agent/backup/tree-sealer.ts";
import { primeIdFromBytes } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
import { type Content, type ContentSlice, encodeLeaf } from "#protocol/tree.ts";
import { suite } from "#test/support/suite.ts";
import { testScope } from "./backup-fixture.ts";
import { KeptTrees, emptyFile } from "./tree-fixture.ts";

const test = suite("tree sealer", { timeoutMs: 60_000 });

function slices(length: number): ContentSlice[] {
  return Array.from({ length }, (_, index) => {
    const digest = createHash("sha256").update(`${index}`).digest();
    return {
      prime: { id: primeIdFromBytes(digest), key: createHash("sha256").update(digest).digest(), lengthBytes: 1000 },
      offsetBytes: 0,
      lengthBytes: 1000,
    };
  });
}

async function read(kept: KeptTrees, content: Content): Promise<string[]> {
  const ids: string[] = [];
  for await (const slice of (await kept.reader()).content(content)) ids.push(slice.prime.id);
  return ids;
}

test("a short list of references stays as it is, a long one becomes pages, in order", async () => {
  for (const [length, depth] of [
    [0, 0],
    [limits.fileReferencesInlineCount, 0],
    [limits.fileReferencesInlineCount + 1, 1],
    [100_000, 2],
  ] as const) {
    const kept = new KeptTrees();
    const all = slices(length);
    const content = kept.trees.sealReferences(all);
    assert.equal("depth" in content ? content.depth : 0, depth, `${length} references`);
    const top = "slices" in content ? content.slices : content.pages;
    assert.ok(top.length <= limits.fileReferencesInlineCount);
    assert.deepEqual(
      await read(kept, content),
      all.map((slice) => slice.prime.id),
    );
  }
});

test("lists that differ in one place share all pages but those near it", async () => {
  const kept = new KeptTrees();
  const all = slices(30_000);
  const pagesOf = (content: Content): string[] =>
    "pages" in content ? content.pages.map(({ prime }) => prime.id) : [];
  const whole = pagesOf(kept.trees.sealReferences(all));
  const changed = pagesOf(kept.trees.sealReferences(all.toSpliced(15_000, 1)));
  assert.ok(whole.length > 8);
  assert.ok(whole.filter((id) => !changed.includes(id)).length <= 2);
});

test("a node is inlined up to the limits of size and of levels", () => {
  const kept = new KeptTrees();
  const small = encodeLeaf([emptyFile("a")]);
  assert.ok("inline" in kept.trees.sealNode(small, limits.treeInlinedLevelsCount - 1));
  assert.ok("slice" in kept.trees.sealNode(small, limits.treeInlinedLevelsCount));
  assert.ok("inline" in kept.trees.sealNode(Buffer.alloc(limits.treeInlineBytes)));
  assert.ok("slice" in kept.trees.sealNode(Buffer.alloc(limits.treeInlineBytes + 1)));
});

test("a root is inlined up to a limit of its own, and a longer one reads back from its prime", async () => {
  const kept = new KeptTrees();
  const short = { inline: Buffer.alloc(limits.rootInlineBytes) };
  assert.equal(kept.trees.sealRoot(short), short);
  const names = Array.from({ length: 100 }, (_, index) => `${index}`.padStart(3, "0"));
  const node = kept.trees.sealNode(encodeLeaf(names.map((name) => emptyFile(name))));
  assert.ok("inline" in node && node.inline.length > limits.rootInlineBytes);
  const root = kept.trees.sealRoot(node);
  assert.ok("slice" in root);
  assert.equal(kept.trees.sealRoot(root), root);
  const objects = await Array.fromAsync((await kept.reader()).objects(root));
  assert.deepEqual(
    objects.map(({ name }) => name),
    names,
  );
});

test("the root that the site has of the last snapshot is not sent again", () => {
  const { trees, uploader } = new KeptTrees();
  const [root, other] = [1, 2].map((byte) => ({ inline: Buffer.alloc(limits.rootInlineBytes + 1, byte) }));
  const sealed = trees.sealRoot(root!);
  assert.ok("slice" in sealed);
  assert.equal(uploader.added, 1);
  const next = new TreeSealer({ scope: testScope, uploader }, { formerRootId: sealed.slice.prime.id });
  assert.deepEqual(next.sealRoot(root!), sealed);
  assert.equal(uploader.added, 1);
  next.sealRoot(other!);
  assert.equal(uploader.added, 2);
});

test("an index over more pages than one holds becomes an index over indexes", async () => {
  const kept = new KeptTrees();
  const names = Array.from({ length: 9000 }, (_, index) => `${index}`.padStart(6, "0"));
  const pages = names.map((name) => ({
    firstName: emptyFile(name).name,
    slice: kept.trees.sealPage(encodeLeaf([emptyFile(name)])),
  }));
  const node = kept.trees.sealIndex(pages);
  const found: string[] = [];
  const reader = await kept.reader();
  for await (const object of reader.objects(node)) found.push(object.name);
  assert.deepEqual(found, names);
  assert.equal((await reader.child(node, emptyFile("007777").name))?.name, "007777");
});

test.run();
