/** Why this site cannot listen for others, as people need it: the library tells each address with its stack, and settings of its own. */
import { CostorError } from "#protocol/errors.ts";

/** Such as `  /ip4/127.0.0.1/tcp/8444: Error: listen EADDRINUSE: address already in use 127.0.0.1:8444`. */
const FAILED_ADDRESS = /^ *\/ip[46]\/([^/\s]+)\/tcp\/(\d+)\S*: (?:\w*Error: )?(.+)$/gm;

/** A `listen-failed` that names each address; with the whole cause when that tells of none. */
export function listenFailure(cause: unknown): CostorError {
  const failed = String((cause as Error).message).matchAll(FAILED_ADDRESS);
  const texts = Array.from(failed, ([, host, port, why]) => `${host}, port ${port} (${why})`);
  if (texts.length === 0) return new CostorError("listen-failed", "other sites cannot be listened for", { cause });
  return new CostorError("listen-failed", `other sites cannot be listened for on ${texts.join(", nor on ")}`);
}
