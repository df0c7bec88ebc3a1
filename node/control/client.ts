/** Calls a site by its control socket. */
import { type Socket, createConnection } from "node:net";
import { createInterface } from "node:readline";
import { CostorError, type ErrorCode, errorRegistry } from "#protocol/errors.ts";
import { readPieces } from "./byte-stream.ts";
import { hasErrorCode } from "#node/store/disk.ts";
import type { CallArguments, CallName, CallResults } from "./calls.ts";
import type { RestorePrimesArguments } from "./restore-calls.ts";
import { socketPlaceOf } from "./socket-path.ts";

interface AnsweredError {
  readonly code: string;
  readonly message: string;
  readonly details: Record<string, unknown>;
}

const errorOf = ({ code, message, details }: AnsweredError): CostorError =>
  new CostorError(code in errorRegistry ? (code as ErrorCode) : "internal", message, { details });

/** What a connection that breaks means here. */
const unlessGone = (error: unknown): unknown =>
  hasErrorCode(error, "ECONNRESET") || hasErrorCode(error, "EPIPE")
    ? new CostorError("site-unreachable", "the site stopped before it answered", { cause: error })
    : error;

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
        error?: AnsweredError;
      };
      if (answer.error) throw errorOf(answer.error);
      if ("result" in answer) return answer.result as CallResults[Name];
      onProgress?.(answer.progress);
    }
    signal?.throwIfAborted();
    throw new CostorError("site-unreachable", "the site stopped before it answered");
  } catch (error) {
    throw unlessGone(error);
  } finally {
    signal?.removeEventListener("abort", stop);
    socket.destroy();
  }
}

/** The answer to `restorePrimes`: a stored prime for each id, in their order. Throws as {@link callControl}. */
export async function* readRestoredPrimes(
  socket: Socket,
  args: RestorePrimesArguments,
  signal?: AbortSignal,
): AsyncGenerator<Buffer> {
  const stop = (): void => void socket.destroy();
  signal?.addEventListener("abort", stop, { once: true });
  let error: AnsweredError | undefined;
  try {
    socket.write(`${JSON.stringify({ call: "restorePrimes", arguments: args })}\n`);
    yield* readPieces(socket, (line) => ({ error } = JSON.parse(line) as { error?: AnsweredError }));
  } catch (error) {
    signal?.throwIfAborted();
    throw unlessGone(error);
  } finally {
    signal?.removeEventListener("abort", stop);
    socket.on("error", () => {});
    socket.destroy();
  }
  if (error !== undefined) throw errorOf(error);
}
