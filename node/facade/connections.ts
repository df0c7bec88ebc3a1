/** Caps on connections, before TLS costs anything: all together, and from each address. */
import type { Server } from "node:https";
import type { Socket } from "node:net";
import { limits } from "#protocol/limits.ts";

export function capConnections(server: Server): void {
  server.maxConnections = limits.connectionsCount;
  server.maxHeadersCount = limits.requestHeadersCount;
  const countByAddress = new Map<string, number>();
  server.on("connection", (socket: Socket) => {
    const address = socket.remoteAddress ?? "";
    const count = (countByAddress.get(address) ?? 0) + 1;
    countByAddress.set(address, count);
    socket.once("close", () => {
      const left = countByAddress.get(address)! - 1;
      if (left > 0) countByAddress.set(address, left);
      else countByAddress.delete(address);
    });
    if (count > limits.connectionsPerAddressCount) socket.destroy();
  });
}
