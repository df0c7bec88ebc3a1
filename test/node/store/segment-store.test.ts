import { SegmentStore } from "#node/store/segment-store.ts";
import { testPrimeStore } from "#test/conformance/prime-store.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("segment store");
testPrimeStore(test, (directory) => SegmentStore.open({ directory }));
test.run();
