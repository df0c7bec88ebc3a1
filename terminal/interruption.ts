/** Ctrl-C, SIGTERM and a closed terminal, as one AbortSignal for a whole command. */
import { CostorError } from "#protocol/errors.ts";
import { exitCodes } from "./exit-codes.ts";

const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
/** npm passes on a Ctrl-C that the terminal has sent to its child already: two that close together are one. */
const sameSignalMs = 1_000;
const parentIntervalMs = 500;
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
    let firstMs = 0;
    for (const name of signals) {
      process.on(name, () => {
        if (name === "SIGHUP" && isHangupIgnored()) return;
        if (!mine.signal.aborted) firstMs = performance.now();
        else if (performance.now() - firstMs > sameSignalMs) process.exit(exitCodes.interrupted);
        mine.abort(new CostorError("interrupted", `stopped by ${name}`));
      });
    }
    if (process.env["npm_lifecycle_event"] !== undefined) watchParent(mine);
  }
  return controller.signal;
}

/** Whether who started the process has it outlive its terminal, as `nohup` does. Node takes no notice: scripts/runtime.sh tells. */
const isHangupIgnored = (): boolean => process.env["COSTOR_HANGUP"] === "ignored";

/** npm dies of a SIGHUP without passing it on; what it started must not live on unseen. */
function watchParent(controller: AbortController): void {
  const parentPid = process.ppid;
  const timer = setInterval(() => {
    if (process.ppid === parentPid) return;
    clearInterval(timer);
    controller.abort(new CostorError("interrupted", "npm, which started this, has ended"));
  }, parentIntervalMs);
  timer.unref();
}

export function isInterrupted(): boolean {
  return controller?.signal.aborted ?? false;
}
