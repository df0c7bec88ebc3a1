/** Ctrl-C, SIGTERM and a closed terminal, as one AbortSignal for a whole command. */
import { CostorError } from "#protocol/errors.ts";
import { exitCodes } from "./exit-codes.ts";

const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
let controller: AbortController | undefined;

/**
 * The signal that is aborted, with the error `interrupted` as its reason, when a person or the system asks the process
 * to end. From the first call on the process no longer ends by itself on these signals, so the caller has to stop; a
 * second one of them ends the process at once.
 */
export function interruptionSignal(): AbortSignal {
  if (controller === undefined) {
    const mine = new AbortController();
    controller = mine;
    for (const name of signals) {
      process.on(name, () => {
        if (mine.signal.aborted) process.exit(exitCodes.interrupted);
        mine.abort(new CostorError("interrupted", `stopped by ${name}`));
      });
    }
  }
  return controller.signal;
}

export function isInterrupted(): boolean {
  return controller?.signal.aborted ?? false;
}
