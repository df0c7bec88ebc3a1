/**
 * The control socket of a running site: `<data>/control.sock`, for the owner of the data directory alone. One call a
 * connection, JSON lines: {call, arguments} from the client; any number of {progress}, then {result} or {error} back. A
 * client that closes the connection ends its call.
 */
import { chmod, rm } from "node:fs/promises";
import { type Socket, createServer } from "node:net";
import { CostorError, isCostorError } from "#protocol/errors.ts";
import { writePieces } from "./byte-stream.ts";
import { type CallContext, callSite, isCallName } from "./calls.ts";
import { restorePrimes } from "./restore-calls.ts";
import { socketPlaceOf } from "./socket-path.ts";

/** A request is short; whoever sends more is no client of ours. */
const REQUEST_BYTES = 64 * 1024;

/** What of a running site is told what to do. */
type Served = Pick<CallContext, "site" | "federation" | "drills" | "retention">;

export async function serveControl(dataDirectory: string, served: Served): Promise<AsyncDisposable> {
  const place = await socketPlaceOf(dataDirectory);
  // The store's lock is held, so a socket that is there was left by a site that was killed.
  await rm(place.file, { force: true });
  const open = new Set<Socket>();
  const server = createServer((socket) => {
    open.add(socket);
    socket.once("close", () => open.delete(socket));
    void answer(socket, served);
  });
  const mask = process.umask(0o177);
  try {
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(place.path, resolve);
    });
  } finally {
    process.umask(mask);
  }
  await chmod(place.file, 0o600);
  return {
    [Symbol.asyncDispose]: async () => {
      const closed = new Promise((resolve) => server.close(resolve));
      for (const socket of open) socket.destroy();
      await closed;
      await rm(place.file, { force: true });
      await place[Symbol.asyncDispose]();
    },
  };
}

async function answer(socket: Socket, served: Served): Promise<void> {
  const gone = new AbortController();
  socket.on("error", () => gone.abort());
  socket.on("close", () => gone.abort());
  const send = (line: object): void => {
    if (socket.writable)
      socket.write(
        `${JSON.stringify(line, (_key, value: unknown) => (typeof value === "bigint" ? String(value) : value))}\n`,
      );
  };
  try {
    const { call, arguments: args } = await readRequest(socket);
    if (call === "restorePrimes") {
      await writePieces(socket, restorePrimes(args, { ...served, signal: gone.signal }));
      send({ result: null });
      return void socket.end();
    }
    if (!isCallName(call))
      throw new CostorError("bad-usage", "this site does not know that call; is the command newer than the site?");
    send({
      result: await callSite(call, args, {
        ...served,
        signal: gone.signal,
        onProgress: (progress) => send({ progress }),
      }),
    });
  } catch (error) {
    const known = isCostorError(error)
      ? error
      : new CostorError("internal", error instanceof Error ? error.message : String(error));
    send({ error: { code: known.code, message: known.message, details: known.details } });
  }
  socket.end();
}

/** No readline: it passes a broken connection on as an error that ends the process. */
async function readRequest(socket: Socket): Promise<{ call?: unknown; arguments?: unknown }> {
  const line = await new Promise<string>((resolve) => {
    const pieces: Buffer[] = [];
    let bytes = 0;
    const end = (): void => {
      socket.off("data", onData);
      socket.pause();
      const [text] = Buffer.concat(pieces).toString().split("\n");
      resolve(text!);
    };
    const onData = (piece: Buffer): void => {
      pieces.push(piece);
      bytes += piece.length;
      if (bytes > REQUEST_BYTES) socket.destroy();
      else if (piece.includes(0x0a)) end();
    };
    socket.on("data", onData);
    socket.once("end", end);
    socket.once("close", end);
  });
  // From here on nothing is expected, but the end of the connection has to be noticed.
  socket.resume();
  const request: unknown = line === "" ? undefined : JSON.parse(line);
  if (request !== null && typeof request === "object") return request;
  throw new CostorError("bad-usage", "the control socket got no call");
}
