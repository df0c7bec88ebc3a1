/**
 * A call of the control socket that is answered by many pieces of bytes: each behind its length (32 bits, big endian), then a length of
 * 0 and the JSON line that ends every call.
 */
import { once } from "node:events";
import type { Socket } from "node:net";
import { CostorError } from "#protocol/errors.ts";
import { limits } from "#protocol/limits.ts";

const LENGTH_BYTES = 4;
const END = Buffer.alloc(LENGTH_BYTES);
/** A line that says how it ended. */
const LINE_BYTES = 64 * 1024;

/** Resolves when the socket takes more. Throws what `pieces` throws, once all before is written, with the end marked. */
export async function writePieces(socket: Socket, pieces: AsyncIterable<Uint8Array>): Promise<void> {
  const gone = new AbortController();
  const onClose = (): void => gone.abort();
  if (socket.destroyed) gone.abort();
  socket.once("close", onClose);
  try {
    for await (const piece of pieces) {
      const head = Buffer.alloc(LENGTH_BYTES);
      head.writeUInt32BE(piece.length);
      socket.write(head);
      if (!socket.write(piece)) await once(socket, "drain", { signal: gone.signal });
    }
  } finally {
    socket.off("close", onClose);
    socket.write(END);
  }
}

/** The pieces, each in memory of its own; then `onEnd` gets the line. Throws `site-unreachable` when it breaks off. */
export async function* readPieces(
  chunks: AsyncIterable<Uint8Array>,
  onEnd: (line: string) => void,
): AsyncGenerator<Buffer> {
  const head = Buffer.alloc(LENGTH_BYTES);
  let piece: Buffer | undefined;
  let filled = 0;
  let line: Buffer[] | undefined;
  for await (const chunk of chunks) {
    let at = 0;
    while (line === undefined && at < chunk.length) {
      const target: Buffer = piece ?? head;
      const taken = Math.min(target.length - filled, chunk.length - at);
      target.set(chunk.subarray(at, at + taken), filled);
      filled += taken;
      at += taken;
      if (filled < target.length) continue;
      filled = 0;
      if (piece !== undefined) {
        yield piece;
        piece = undefined;
        continue;
      }
      const lengthBytes = head.readUInt32BE();
      if (lengthBytes > limits.primeStoredBytes)
        throw new CostorError("limit-exceeded", `the site sends ${lengthBytes} bytes in one piece`);
      if (lengthBytes > 0) piece = Buffer.allocUnsafeSlow(lengthBytes);
      else line = [];
    }
    line?.push(Buffer.from(chunk.subarray(at)));
  }
  if (line === undefined) throw new CostorError("site-unreachable", "the site stopped before it had answered");
  onEnd(Buffer.concat(line).toString("utf8", 0, LINE_BYTES));
}
