/** A process that opens a store and closes it; to be killed at a failpoint. */
import { SegmentStore } from "#node/store/segment-store.ts";

const [directory, segmentBytes] = process.argv.slice(2);
const store = await SegmentStore.open({
  directory: directory!,
  segmentBytes: Number(segmentBytes),
  reserveFileBytes: 0,
});
await store[Symbol.asyncDispose]();
