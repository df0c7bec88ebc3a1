/** Calls a site by its control socket. */
import { type Socket, createConnection } from "node:net";
import { createInterface } from "node:readline";
import { CostorError, type ErrorCode, errorRegistry } from "#protocol/errors.ts";
import type { CallArguments, CallName, CallResults } from "./calls.ts";
import { socketPlaceOf } from "./socket-path.ts";

export interface CallInit {
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: unknown) => void;
}

/** A connection to the site that runs on `dataDirectory`; undefined when none runs. */
export async function connectControl(dataDirectory: string): Promise<Socket | undefined> {
  await using place = await socketPlaceOf(dataDirectory);
  return await new Promise((resolve, reject) => {
    const socket = createConnection(place.path);
    socket.once("connect", () => resolve(socket));
    socket.once("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT" || error.code === "ECONNREFUSED") resolve(undefined);
      else
        reject(
          new CostorError("site-unreachable", `the control socket of ${dataDirectory} cannot be used`, {
            cause: error,
          }),
        );
    });
  });
}

/** Throws what the call throws at the site, `site-unreachable` when the site goes away, or the signal's reason. */
export async function callControl<Name extends CallName>(
  socket: Socket,
  call: Name,
  args: CallArguments<Name>,
  { signal, onProgress }: CallInit = {},
): Promise<CallResults[Name]> {
  const stop = (): void => void socket.destroy();
  signal?.addEventListener("abort", stop, { once: true });
  socket.on("error", () => {});
  try {
    socket.write(`${JSON.stringify({ call, arguments: args })}\n`);
    // The signal here too: lines of a socket that is destroyed do not end by themselves.
    for await (const line of createInterface({ input: socket, ...(signal && { signal }) })) {
      const answer = JSON.parse(line) as {
        progress?: unknown;
        result?: unknown;
        error?: { code: string; message: string; details: Record<string, unknown> };
      };
      if (answer.error) {
        const code = answer.error.code in errorRegistry ? (answer.error.code as ErrorCode) : "internal";
        throw new CostorError(code, answer.error.message, { details: answer.error.details });
      }
      if ("result" in answer) return answer.result as CallResults[Name];
      onProgress?.(answer.progress);
    }
    signal?.throwIfAborted();
    throw new CostorError("site-unreachable", "the site stopped before it answered");
  } finally {
    signal?.removeEventListener("abort", stop);
    socket.destroy();
  }
}
