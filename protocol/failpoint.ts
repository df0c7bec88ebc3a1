/**
 * Moments at which a test can have the process end as by `kill -9`, since kills at random times rarely hit them:
 * `COSTOR_FAILPOINT=sync.written:3` ends it when it passes that one for the third time. Nothing happens unless the
 * variable is set. The part before the dot is the phase under which test/faults/ counts the kills.
 */
export type Failpoint =
  | `upload.${"sending" | "acknowledged" | "received" | "kept"}`
  | `sync.${"segment-made" | "written" | "synced"}`
  | `index.${"durable" | "entered"}`
  | `commit.${"sending" | "verified" | "recorded" | "acknowledged"}`
  | `compaction.${"moved" | "recorded" | "unlinked"}`
  | `replicate.${"signed" | "sending" | "kept" | "receipted" | "taken"}`
  | `retention.${"expired" | "gone"}`
  | `collection.${"walked" | "removed"}`
  | `start.${"replaying" | "store-open" | "identity-written" | "kit-written" | "identity-placed" | "site-open"}`
  | `replace.${"written" | "kit-written" | "half-placed" | "placed"}`
  | "scrub.recorded"
  | "heal.kept"
  | `recover.${"known" | "records-here" | "identity-written" | "identity-placed" | "settled"}`
  | `lost-store.${"known" | "records-here"}`
  | `database.${"opened" | "writing" | "written"}`;

const [wantedFailpoint, wantedText] = (process.env["COSTOR_FAILPOINT"] ?? "").split(":");
const wantedCount = Number(wantedText ?? 1);
let passedCount = 0;

export function passFailpoint(failpoint: Failpoint): void {
  if (failpoint !== wantedFailpoint || ++passedCount < wantedCount) return;
  process.kill(process.pid, "SIGKILL");
  // Another thread may run on for a moment; this one does not.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
}
