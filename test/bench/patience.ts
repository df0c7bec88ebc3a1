/** Waits for what a program under measurement tells only who asks. */
import { setTimeout as sleep } from "node:timers/promises";

/** Seldom enough that asking costs nothing that shows. */
const ASK_EVERY_MS = 200;
const PATIENCE_MS = 1_200_000;

/** Throws after twenty minutes, with what `isSo` has thrown last. */
export async function waitUntil(what: string, isSo: () => Promise<boolean>): Promise<void> {
  const endMs = performance.now() + PATIENCE_MS;
  for (let cause: unknown; ;) {
    try {
      if (await isSo()) return;
    } catch (error) {
      cause = error;
    }
    if (performance.now() > endMs) throw new Error(`waited in vain for ${what}`, { cause });
    await sleep(ASK_EVERY_MS);
  }
}
