/** A TCP proxy that cuts its n-th connection after n times as many bytes as its first, so that a cut comes at each place. */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";

export interface CuttingProxyInit {
  readonly port: number;
  /** What the first connection lets through, of both directions together. */
  readonly stepBytes: number;
  /** From then on nothing is cut. */
  readonly cutsMaxCount: number;
}

export interface CuttingProxy extends AsyncDisposable {
  readonly address: string;
  readonly cutsCount: number;
  /** What was let through. */
  readonly passedBytes: number;
}

export async function startCuttingProxy({ port, stepBytes, cutsMaxCount }: CuttingProxyInit): Promise<CuttingProxy> {
  const sockets = new Set<Socket>();
  let [cutsCount, passedBytes] = [0, 0];
  const server = createServer((near) => {
    const far = connect(port, "127.0.0.1");
    const both = [near, far];
    for (const socket of both) {
      sockets.add(socket);
      socket.setNoDelay(true);
      socket
        .on("error", () => undefined)
        .once("close", () => {
          sockets.delete(socket);
          for (const other of both) other.destroy();
        });
    }
    let leftBytes = cutsCount < cutsMaxCount ? (cutsCount + 1) * stepBytes : Infinity;
    const relay = (from: Socket, to: Socket): void => {
      from.on("data", (piece: Buffer) => {
        const passed = piece.subarray(0, leftBytes);
        passedBytes += passed.length;
        leftBytes -= passed.length;
        if (leftBytes > 0) {
          if (!to.write(passed)) from.pause();
          return;
        }
        if (!near.destroyed) cutsCount++;
        to.write(passed, () => both.forEach((socket) => socket.resetAndDestroy()));
      });
      to.on("drain", () => from.resume());
    };
    relay(near, far);
    relay(far, near);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    get cutsCount() {
      return cutsCount;
    },
    get passedBytes() {
      return passedBytes;
    },
    [Symbol.asyncDispose]: async () => {
      server.close();
      for (const socket of sockets) socket.destroy();
      await once(server, "close");
    },
  };
}
