/** Which snapshot people mean by the beginning of its id. */
import { CostorError } from "./errors.ts";
import type { SnapshotId } from "./ids.ts";

/** Of `ids`, the one that is `text` or alone begins with it, whatever the case. Throws `snapshot-unknown`, `bad-id` when several begin so. */
export function chooseSnapshotById(text: string, ids: readonly SnapshotId[]): SnapshotId {
  const wanted = text.toLowerCase();
  const found = /^[0-9a-f-]+$/.test(wanted) ? [...new Set(ids.filter((id) => id.startsWith(wanted)))] : [];
  if (found.length === 1) return found[0]!;
  if (found.length === 0)
    throw new CostorError("snapshot-unknown", `no snapshot's id starts with ${JSON.stringify(text)}`);
  throw new CostorError("bad-id", `${found.length} snapshots' ids start with ${text}: give more of it`, {
    details: { found: found.slice(0, 20) },
  });
}
