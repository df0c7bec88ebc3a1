/**
 * Noise as js-libp2p has it, with fewer copies and system calls. As it comes, each message is copied together when it is received, only
 * to give its memory to a cipher that Node's does not use; and what it sends goes out in pieces, of which the smallest have two bytes.
 *
 * This knows names inside `@chainsafe/libp2p-noise` 17 and `@libp2p/tcp` 11; `test/node/peers/noise-streams.test.ts` fails when they change.
 */
import type { Socket } from "node:net";
import { noise } from "@chainsafe/libp2p-noise";
import type { ConnectionEncrypter, MessageStream, SecuredConnection, StreamMessageEvent } from "@libp2p/interface";
import { noiseCrypto } from "./noise-crypto.ts";

type Bytes = StreamMessageEvent["data"];

interface NoiseStream extends MessageStream {
  /** A whole message, which the decoder has taken out of the stream by its length. */
  decrypt(message: Bytes): Bytes;
  readonly handshake: { decrypt(message: Bytes): Bytes };
  readonly stream: PlainStream;
}

/** What carries the encrypted bytes: a socket, or a stream through a relay. */
interface PlainStream {
  readonly socket?: Socket;
  sendData(bytes: Bytes): { sentBytes: number; canSendMore: boolean };
}

export function noiseStreams(): (components: Parameters<ReturnType<typeof noise>>[0]) => ConnectionEncrypter {
  const make = noise({ crypto: noiseCrypto });
  return (components) => {
    const encrypter = make(components);
    const secureInbound = encrypter.secureInbound.bind(encrypter);
    const secureOutbound = encrypter.secureOutbound.bind(encrypter);
    encrypter.secureInbound = async (...args) => quickened(await secureInbound(...args));
    encrypter.secureOutbound = async (...args) => quickened(await secureOutbound(...args));
    return encrypter;
  };
}

function quickened<Secured extends SecuredConnection>(secured: Secured): Secured {
  const noiseStream = secured.connection as NoiseStream;
  const { handshake, stream } = noiseStream;
  noiseStream.decrypt = (message) => handshake.decrypt(message);
  const { socket } = stream;
  if (typeof socket?.cork === "function") {
    const sendData = stream.sendData.bind(stream);
    stream.sendData = (bytes) => {
      socket.cork();
      try {
        return sendData(bytes);
      } finally {
        socket.uncork();
      }
    };
  }
  return secured;
}
