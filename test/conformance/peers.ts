/** What every `Peers` must do. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { isCostorError } from "#protocol/errors.ts";
import { parsePeerKey, type PeerKey } from "#protocol/ids.ts";
import type { Channel, Peers, Protocol } from "#ledger/peers.ts";
import type { Suite } from "#test/support/suite.ts";

/**
 * Peers that are members to each other and dial each other on need. Where there is a `start`, protocols are served before
 * it is called.
 */
export type MakePeers = (
  count: number,
) => Promise<{ peers: readonly Peers[]; start?(): Promise<void>; dispose(): Promise<void> }>;

const echo: Protocol = { name: "/costor/test-echo/1", maxFrameBytes: 1024 * 1024, maxChannelsPerPeerCount: 4 };
const other: Protocol = { name: "/costor/test-other/1", maxFrameBytes: 1024 * 1024, maxChannelsPerPeerCount: 2 };
const stranger = parsePeerKey("ab".repeat(32));

async function echoAll(channel: Channel): Promise<void> {
  for (let frame = await channel.receive(); frame !== undefined; frame = await channel.receive())
    await channel.send(frame);
}

const isUnreachable = (error: unknown): boolean => isCostorError(error, "peer-unreachable");
const isTooLarge = (error: unknown): boolean => isCostorError(error, "limit-exceeded");

export function testPeers(test: Suite, makePeers: MakePeers): void {
  /** The first of two calls the second, which echoes, and does `serveOther` with channels of the other protocol. */
  const withTwo = async (
    serveOther: (channel: Channel) => Promise<void>,
    body: (caller: Peers, called: PeerKey) => Promise<void>,
  ): Promise<void> => {
    const { peers, start, dispose } = await makePeers(2);
    const [caller, called] = peers as [Peers, Peers];
    called.serve(echo, echoAll);
    called.serve(other, serveOther);
    try {
      await start?.();
      await body(caller, called.self);
    } finally {
      await dispose();
    }
  };

  test("frames of every size come whole and in order, both ways", async () => {
    await withTwo(echoAll, async (caller, called) => {
      const channel = await caller.open(called, echo);
      assert.equal(channel.peer, called);
      const frames = [0, 1, 127, 128, 16_383, 16_384, 65_537, echo.maxFrameBytes, 2].map((length) =>
        randomBytes(length),
      );
      const sent = (async () => {
        for (const frame of frames) await channel.send(frame);
        await channel.close();
      })();
      for (const frame of frames) assert.ok(frame.equals((await channel.receive())!));
      assert.equal(await channel.receive(), undefined);
      await sent;
    });
  });

  test("a frame in pieces comes as one, and its bytes are free once it is sent", async () => {
    await withTwo(echoAll, async (caller, called) => {
      const channel = await caller.open(called, echo);
      for (const lengths of [[], [0], [1, 0, 2], [262_060, 1], [262_059, 262_064, 7], [3, 500_000, 12]]) {
        const pieces = lengths.map((length) => randomBytes(length));
        const whole = Buffer.concat(pieces);
        await channel.send(pieces);
        pieces.forEach((piece) => piece.fill(0));
        assert.ok(whole.equals((await channel.receive())!), `${lengths}`);
      }
      await assert.rejects(channel.send([Buffer.alloc(echo.maxFrameBytes), Buffer.alloc(1)]), isTooLarge);
      await channel.close();
    });
  });

  test("sends that do not wait for each other keep their order", async () => {
    await withTwo(echoAll, async (caller, called) => {
      const channel = await caller.open(called, echo);
      const frames = Array.from({ length: 20 }, (_, index) => Buffer.alloc(1 + 50_000 * (index % 3), index));
      const sent = Promise.all(frames.map((frame) => channel.send(frame)));
      for (const frame of frames) assert.ok(frame.equals((await channel.receive())!));
      await sent;
      await channel.close();
    });
  });

  test("who is called learns who calls, and its frames after the other has closed still come", async () => {
    const callers: PeerKey[] = [];
    const answerAfterEnd = async (channel: Channel): Promise<void> => {
      callers.push(channel.peer);
      let count = 0;
      while ((await channel.receive()) !== undefined) count++;
      for (let index = 0; index < count; index++) await channel.send(Buffer.alloc(200_000, index));
    };
    await withTwo(answerAfterEnd, async (caller, called) => {
      const channel = await caller.open(called, other);
      for (let index = 0; index < 5; index++) await channel.send(Buffer.from([index]));
      await channel.close();
      await channel.close();
      for (let index = 0; index < 5; index++)
        assert.ok(Buffer.alloc(200_000, index).equals((await channel.receive())!));
      assert.equal(await channel.receive(), undefined);
      assert.equal(await channel.receive(), undefined);
      await assert.rejects(channel.send(Buffer.from("late")), isUnreachable);
      assert.deepEqual(callers, [caller.self]);
    });
  });

  test("a frame above the limit is not sent, and the channel lives on", async () => {
    await withTwo(echoAll, async (caller, called) => {
      const channel = await caller.open(called, echo);
      await assert.rejects(channel.send(Buffer.alloc(echo.maxFrameBytes + 1)), isTooLarge);
      await channel.send(Buffer.from("small"));
      assert.equal(Buffer.from((await channel.receive())!).toString(), "small");
      await channel.close();
    });
  });

  test("a frame above the receiver's limit ends the channel for both", async () => {
    const { promise: seen, resolve } = Promise.withResolvers<unknown>();
    const receiveOne = (channel: Channel): Promise<void> =>
      channel.receive().then(
        () => resolve(undefined),
        (error: unknown) => {
          resolve(error);
          throw error;
        },
      );
    await withTwo(receiveOne, async (caller, called) => {
      const channel = await caller.open(called, { ...other, maxFrameBytes: 2 * other.maxFrameBytes });
      channel.send(Buffer.alloc(other.maxFrameBytes + 1)).catch(() => {});
      assert.ok(isTooLarge(await seen));
      await assert.rejects(channel.receive(), isUnreachable);
    });
  });

  test("a slow reader slows its writer, and others are served meanwhile", async () => {
    const { promise: mayRead, resolve: read } = Promise.withResolvers<void>();
    let takenCount = 0;
    const readLate = async (channel: Channel): Promise<void> => {
      await mayRead;
      while ((await channel.receive()) !== undefined) takenCount++;
      await channel.send(Buffer.from("all"));
    };
    await withTwo(readLate, async (caller, called) => {
      const channel = await caller.open(called, other);
      let acceptedCount = 0;
      const written = (async () => {
        for (; acceptedCount < 64; acceptedCount++)
          await channel.send(Buffer.alloc(other.maxFrameBytes, acceptedCount));
        await channel.close();
      })();
      const quick = await caller.open(called, echo);
      for (let index = 0; index < 50; index++) {
        await quick.send(Buffer.alloc(1000, index));
        assert.equal((await quick.receive())!.length, 1000);
      }
      assert.ok(acceptedCount < 32, `${acceptedCount} MiB were taken from the writer`);
      read();
      assert.equal(Buffer.from((await channel.receive())!).toString(), "all");
      await written;
      assert.equal(takenCount, 64);
      await quick.close();
    });
  });

  test("an abort ends both directions on both sides, and no other channel", async () => {
    const { promise: ended, resolve } = Promise.withResolvers<unknown>();
    const waitForEnd = async (channel: Channel): Promise<void> => {
      await channel.send(Buffer.from("here"));
      await channel.receive().then(resolve, resolve);
    };
    await withTwo(waitForEnd, async (caller, called) => {
      const alive = await caller.open(called, echo);
      const channel = await caller.open(called, other);
      await channel.receive();
      const receiving = channel.receive();
      channel.abort();
      channel.abort();
      await assert.rejects(receiving, isUnreachable);
      await assert.rejects(channel.receive(), isUnreachable);
      await assert.rejects(channel.send(Buffer.from("x")), isUnreachable);
      assert.ok(isUnreachable(await ended));
      await channel.close();
      await alive.send(Buffer.from("alive"));
      assert.equal(Buffer.from((await alive.receive())!).toString(), "alive");
      await alive.close();
    });
  });

  test("a peer that is unknown, or does not speak the protocol or its version, is unreachable", async () => {
    await withTwo(echoAll, async (caller, called) => {
      await assert.rejects(caller.open(stranger, echo), isUnreachable);
      await assert.rejects(caller.open(called, { ...echo, name: "/costor/test-none/1" }), isUnreachable);
      await assert.rejects(caller.open(called, { ...echo, name: "/costor/test-echo/2" }), isUnreachable);
    });
  });

  test("opening and receiving reject with the reason of their signal, and no frame is lost by that", async () => {
    const { promise: mayAnswer, resolve: answer } = Promise.withResolvers<void>();
    const answerLate = async (channel: Channel): Promise<void> => {
      await channel.receive();
      await mayAnswer;
      await channel.send(Buffer.from("late"));
    };
    await withTwo(answerLate, async (caller, called) => {
      const reason = new Error("enough");
      await assert.rejects(caller.open(called, other, AbortSignal.abort(reason)), reason);
      const channel = await caller.open(called, other);
      await channel.send(Buffer.from("?"));
      const controller = new AbortController();
      const receiving = channel.receive(controller.signal);
      controller.abort(reason);
      await assert.rejects(receiving, reason);
      answer();
      assert.equal(Buffer.from((await channel.receive())!).toString(), "late");
      assert.equal(await channel.receive(), undefined);
      await channel.close();
    });
  });

  test("one channel too many of a peer ends, the others do not, and a closed one makes room", async () => {
    await withTwo(echoAll, async (caller, called) => {
      const answers = async (channel: Channel): Promise<void> => {
        await channel.send(Buffer.from("?"));
        assert.equal((await channel.receive())!.length, 1);
      };
      const channels = [await caller.open(called, other), await caller.open(called, other)] as const;
      for (const channel of channels) await answers(channel);
      await assert.rejects(async () => answers(await caller.open(called, other)), isUnreachable);
      for (const channel of channels) await answers(channel);
      await channels[0].close();
      assert.equal(await channels[0].receive(), undefined);
      await answers(await caller.open(called, other));
      await channels[1].close();
    });
  });

  test("a channel ends when its handler settles; what it throws ends that channel only", async () => {
    let count = 0;
    const fail = async (channel: Channel): Promise<void> => {
      await channel.receive();
      await channel.send(Buffer.from("first"));
      if (++count === 1) throw new Error("a fault in the handler");
    };
    await withTwo(fail, async (caller, called) => {
      const [thrown, settled] = [await caller.open(called, other), await caller.open(called, other)];
      await thrown.send(Buffer.from("x"));
      await assert.rejects(async () => {
        while ((await thrown.receive()) !== undefined);
      }, isUnreachable);
      await settled.send(Buffer.from("x"));
      assert.equal(Buffer.from((await settled.receive())!).toString(), "first");
      assert.equal(await settled.receive(), undefined);
      await settled.close();
    });
  });

  test("whoever is connected is known at both ends, and told once", async () => {
    const { peers, start, dispose } = await makePeers(2);
    const [caller, called] = peers as [Peers, Peers];
    called.serve(echo, echoAll);
    const told: PeerKey[] = [];
    const { promise: isTold, resolve } = Promise.withResolvers<void>();
    called.onConnected((peer) => {
      told.push(peer);
      resolve();
    });
    try {
      await start?.();
      const channel = await caller.open(called.self, echo);
      await isTold;
      assert.deepEqual(caller.connected(), [called.self]);
      assert.deepEqual(called.connected(), [caller.self]);
      assert.deepEqual(told, [caller.self]);
      await channel.close();
    } finally {
      await dispose();
    }
  });

  test("a message that is published comes to the others, and not back", async ({ signal }) => {
    const { peers, start, dispose } = await makePeers(3);
    peers.forEach((peer) => peer.serve(echo, echoAll));
    const heard = peers.map((): string[] => []);
    peers.forEach((peer, index) => {
      peer.onPublished((message) => heard[index]!.push(Buffer.from(message).toString()));
    });
    try {
      await start?.();
      const [first, second, third] = peers as [Peers, Peers, Peers];
      const channel = await first.open(second.self, echo);
      await (await first.open(third.self, echo)).close();
      // Best effort: said again until it was heard.
      for (let index = 0; heard[1]!.length === 0 || heard[2]!.length === 0; index++) {
        signal.throwIfAborted();
        first.publish(Buffer.from(`news ${index}`));
        await channel.send(Buffer.from("?"));
        await channel.receive();
      }
      for (const message of heard.flat()) assert.match(message, /^news \d+$/);
      assert.deepEqual(heard[0], []);
    } finally {
      await dispose();
    }
  });
}
