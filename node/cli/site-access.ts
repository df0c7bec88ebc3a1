/** Reaches a site for a command: the running one by its control socket, else its data directory itself. */
import { access } from "node:fs/promises";
import { resolve } from "node:path";
import { setTimeout } from "node:timers/promises";
import { type CallInit, callControl, connectControl } from "#node/control/client.ts";
import type { CallArguments, CallName, CallResults } from "#node/control/calls.ts";
import { siteDirectoryOf } from "#node/site/identity.ts";
import { hasErrorCode } from "#node/store/disk.ts";
import { CostorError, isCostorError } from "#protocol/errors.ts";
import { interruptionSignal } from "#terminal/interruption.ts";

/** A site that is starting, or another command, may hold the store for a moment without a control socket. */
const LOCK_PATIENCE_MS = 10_000;
const LOCK_RETRY_MS = 100;

/** Throws `site-not-made`, `wrong-user`, `store-locked`, and what the call throws. */
export async function callOn<Name extends CallName>(
  dataDirectory: string,
  call: Name,
  args: CallArguments<Name>,
  onProgress?: CallInit["onProgress"],
): Promise<CallResults[Name]> {
  const directory = resolve(dataDirectory);
  const signal = interruptionSignal();
  await access(siteDirectoryOf(directory)).catch((cause: unknown) => {
    if (hasErrorCode(cause, "EACCES")) throw new CostorError("wrong-user", `${directory} may not be read`, { cause });
    throw new CostorError("site-not-made", `${directory} holds no site`);
  });
  const giveUpMs = Date.now() + LOCK_PATIENCE_MS;
  for (;;) {
    const socket = await connectControl(directory);
    if (socket) return callControl(socket, call, args, { signal, onProgress });
    try {
      // Beside a running site none of this is needed, and it is most of what a command would import.
      const [{ openSiteStore }, { openSite }, { callSite }] = await Promise.all([
        import("#node/site/site-store.ts"),
        import("#node/site/site.ts"),
        import("#node/control/calls.ts"),
      ]);
      await using store = await openSiteStore(directory);
      const site = await openSite(directory, { store, now: Date.now });
      return await callSite(call, args, {
        site,
        federation: undefined,
        drills: undefined,
        retention: async () => (await import("./idle-retention.ts")).openIdleRetention(site),
        signal,
        onProgress: onProgress ?? (() => {}),
      });
    } catch (error) {
      if (!isCostorError(error, "store-locked") || Date.now() > giveUpMs) throw error;
      await setTimeout(LOCK_RETRY_MS, undefined, { signal });
    }
  }
}
