/** What every `LedgerStore` must do. */
import assert from "node:assert/strict";
import type { LedgerStore } from "#ledger/ledger-store.ts";
import type { Suite } from "#test/support/suite.ts";

/** `open` opens one store; `reopen` what it has kept, as after a crash. */
export function testLedgerStore(
  test: Suite,
  open: () => Promise<{ store: LedgerStore; reopen(): Promise<LedgerStore>; close(): Promise<void> }>,
): void {
  const textsOf = async (store: LedgerStore): Promise<string[]> =>
    (await Array.fromAsync(store.all())).map(({ key, value }) => `${key}=${Buffer.from(value).toString()}`);

  test("what was written is there, in order of its keys, also after reopening; a later value counts", async () => {
    const { store, reopen, close } = await open();
    try {
      assert.deepEqual(await textsOf(store), []);
      await store.write([
        { key: "log/b", value: Buffer.from("1") },
        { key: "entry/b/2", value: Buffer.from("2") },
      ]);
      await store.write([
        { key: "entry/b/1", value: Buffer.from("3") },
        { key: "log/b", value: Buffer.from("4") },
      ]);
      const expected = ["entry/b/1=3", "entry/b/2=2", "log/b=4"];
      assert.deepEqual(await textsOf(store), expected);
      assert.equal(Buffer.from((await store.get("log/b"))!).toString(), "4");
      assert.equal(await store.get("log/c"), undefined);
      assert.deepEqual(await textsOf(await reopen()), expected);
    } finally {
      await close();
    }
  });

  test("a key that was taken away is gone, also after reopening, and may come back", async () => {
    const { store, reopen, close } = await open();
    try {
      await store.write(["a", "b"].map((key) => ({ key, value: Buffer.from(key) })));
      await store.write(["a", "never"].map((key) => ({ key, value: undefined })));
      assert.equal(await store.get("a"), undefined);
      assert.deepEqual(await textsOf(store), ["b=b"]);
      const again = await reopen();
      assert.deepEqual(await textsOf(again), ["b=b"]);
      await again.write([{ key: "a", value: Buffer.from("2") }]);
      assert.deepEqual(await textsOf(again), ["a=2", "b=b"]);
    } finally {
      await close();
    }
  });

  test("values of up to 256 KiB and a thousand keys at once are taken", async () => {
    const { store, reopen, close } = await open();
    try {
      const value = Buffer.alloc(256 * 1024, 7);
      const changes = Array.from({ length: 1000 }, (_, index) => ({
        key: `entry/${"0".repeat(64)}/${String(index).padStart(16, "0")}`,
        value: index % 100 === 0 ? value : Buffer.from(`${index}`),
      }));
      await store.write(changes);
      const again = await reopen();
      let count = 0;
      for await (const { key, value: found } of again.all()) {
        const change = changes[count++]!;
        assert.equal(key, change.key);
        assert.ok(change.value.equals(found));
      }
      assert.equal(count, changes.length);
    } finally {
      await close();
    }
  });
}
