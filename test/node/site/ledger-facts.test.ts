/** Goal: facts of a real prime store, and the map that tests use, keep a ledger alike. */
import type { LedgerStore } from "#ledger/ledger-store.ts";
import { LedgerFacts } from "#node/site/ledger-facts.ts";
import { SegmentStore } from "#node/store/segment-store.ts";
import { testLedgerStore } from "#test/conformance/ledger-store.ts";
import { MemoryLedgerStore } from "#test/support/memory-ledger-store.ts";
import { scratchDirectory } from "#test/support/scratch.ts";
import { suite } from "#test/support/suite.ts";

const facts = suite("ledger in facts");
testLedgerStore(facts, async () => {
  const directory = await scratchDirectory("ledger");
  let store = await SegmentStore.open({ directory });
  return {
    store: new LedgerFacts({ store }),
    reopen: async (): Promise<LedgerStore> => {
      await store[Symbol.asyncDispose]();
      store = await SegmentStore.open({ directory });
      return new LedgerFacts({ store });
    },
    close: () => store[Symbol.asyncDispose](),
  };
});
facts.run();

const memory = suite("ledger in memory");
testLedgerStore(memory, async () => {
  const store = new MemoryLedgerStore();
  return { store, reopen: async () => store, close: async () => undefined };
});
memory.run();
