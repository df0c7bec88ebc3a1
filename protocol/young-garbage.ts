/**
 * Frees buffers that were dropped just now. The engine counts a buffer's few bytes on its own heap, not the megabyte behind
 * them, so that a thread which turns over large buffers holds some 100 MB of dropped ones; a collection of the young
 * generation takes about a millisecond.
 */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as (options: { type: "minor" | "major" }) => void;

/** Bytes that may be dropped between two collections. */
const COLLECT_EVERY_BYTES = 4 * 1024 * 1024;
let dropped = 0;
/**
 * One in so many collections is of the whole heap. What waits to be whole when two small collections come, a twentieth of what passes a
 * channel, is not young any more; a whole one takes some 50 milliseconds.
 */
const WHOLE_EVERY_COUNT = 128;
let collectedCount = 0;

/** To be told of buffers that this thread is done with. */
export function noteDropped(bytes: number): void {
  dropped += bytes;
  if (dropped < COLLECT_EVERY_BYTES) return;
  dropped = 0;
  collect({ type: ++collectedCount % WHOLE_EVERY_COUNT === 0 ? "major" : "minor" });
}
