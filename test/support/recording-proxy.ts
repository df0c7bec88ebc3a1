/** A TCP proxy that keeps all that passes, each direction of each connection in a file of its own: a capture of the network in which nothing is out of order. */
import { createWriteStream, type WriteStream } from "node:fs";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { join } from "node:path";
import { PassThrough, pipeline } from "node:stream";

export interface RecordingProxy extends AsyncDisposable {
  readonly port: number;
}

/** `to`: where connections go, asked for each. Files are made in `directory` and their names begin with `name`. */
export async function startRecordingProxy(
  name: string,
  { directory, to }: { readonly directory: string; readonly to: () => number },
): Promise<RecordingProxy> {
  const sockets = new Set<Socket>();
  const files = new Set<WriteStream>();
  let count = 0;
  const server = createServer((near) => {
    const far = connect(to(), "127.0.0.1");
    const number = count++;
    for (const [way, from, onward] of [
      ["in", near, far],
      ["out", far, near],
    ] as const) {
      sockets.add(from);
      from.setNoDelay(true);
      const file = createWriteStream(join(directory, `${name}-${number}-${way}`));
      files.add(file);
      const tap = new PassThrough();
      tap.on("data", (piece: Buffer) => void file.write(piece));
      pipeline(from, tap, onward, () => {
        file.end();
        sockets.delete(from);
        from.destroy();
        onward.destroy();
      });
    }
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      const closed = once(server, "close");
      server.close();
      for (const socket of sockets) socket.destroy();
      await closed;
      await Promise.all([...files].map((file) => file.closed || once(file.end(), "close")));
    },
  };
}
