/** Asks each connection of a member whether it lives, and ends one that does not answer: half-open ones are found so. */
import { randomBytes } from "node:crypto";
import type { Connection } from "@libp2p/interface";
import { byteStream } from "@libp2p/utils";
import type { PeerLimits } from "./peer-limits.ts";

const pingProtocolName = "/ipfs/ping/1.0.0";
const pingBytes = 32;

/** Until the connection closes; `onAlive` is told of each answer. */
export function keepAlive(connection: Connection, limits: PeerLimits, onAlive: () => void): void {
  let asking = false;
  const timer = setInterval(async () => {
    if (asking || connection.status !== "open") return;
    asking = true;
    try {
      await ping(connection, AbortSignal.timeout(limits.peerPingAnswerMs));
      onAlive();
    } catch (error) {
      connection.abort(error as Error);
    } finally {
      asking = false;
    }
  }, limits.peerPingMs);
  timer.unref();
  connection.addEventListener("close", () => clearInterval(timer), { once: true });
}

async function ping(connection: Connection, signal: AbortSignal): Promise<void> {
  const stream = await connection.newStream(pingProtocolName, { signal });
  try {
    const bytes = byteStream(stream);
    await bytes.write(randomBytes(pingBytes), { signal });
    await bytes.read({ bytes: pingBytes, signal });
    await stream.close({ signal });
  } catch (error) {
    stream.abort(error as Error);
    throw error;
  }
}
