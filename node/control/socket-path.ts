/** The control socket of a data directory. A socket's path has at most 107 bytes, so a long one goes through /proc. */
import { type FileHandle, open } from "node:fs/promises";
import { join } from "node:path";

const SOCKET_NAME = "control.sock";
const SOCKET_PATH_BYTES = 107;

export interface SocketPlace extends AsyncDisposable {
  /** What to listen on or connect to, until this is disposed. */
  readonly path: string;
  /** Where the socket is in the file system. */
  readonly file: string;
}

export async function socketPlaceOf(dataDirectory: string): Promise<SocketPlace> {
  const file = join(dataDirectory, SOCKET_NAME);
  if (Buffer.byteLength(file) <= SOCKET_PATH_BYTES) return { path: file, file, [Symbol.asyncDispose]: async () => {} };
  const handle: FileHandle = await open(dataDirectory, "r");
  return { path: `/proc/self/fd/${handle.fd}/${SOCKET_NAME}`, file, [Symbol.asyncDispose]: () => handle.close() };
}
