/** Goal: whatever a caller does, the site goes on, and the pieces of a long answer come whole. Method: the real socket, and rude callers. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { type Socket, connect } from "node:net";
import { join } from "node:path";
import { connectControl, readRestoredPrimes } from "#node/control/client.ts";
import { serveControl } from "#node/control/server.ts";
import { CostorError, isCostorError } from "#protocol/errors.ts";
import type { PrimeId } from "#protocol/ids.ts";
import { idsOf, samplePrimes } from "#test/support/store-samples.ts";
import { scratchDirectory } from "#test/support/scratch.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("control socket");
const primes = [...samplePrimes(1, 6, 2_000_000), ...samplePrimes(2, 3, 1)];
const storedOf = new Map(primes.map(({ id, stored }) => [id, stored]));

/** A site with one remote restore, called "open". */
async function served() {
  const directory = await scratchDirectory("control");
  async function* readPrimes(ids: readonly PrimeId[]) {
    for (const id of ids) {
      const stored = storedOf.get(id);
      if (stored === undefined) throw new CostorError("prime-missing", "not here");
      yield { id, stored };
    }
  }
  const of = (name: string) => {
    if (name !== "open") throw new CostorError("not-found", "ended");
    return { readPrimes };
  };
  const federation = { remoteRestores: { of } };
  const control = await serveControl(directory, { site: {}, federation } as never);
  const raw = async (): Promise<Socket> => {
    const socket = connect(join(directory, "control.sock")).on("error", () => undefined);
    await once(socket, "connect");
    return socket;
  };
  const read = async (ids: readonly PrimeId[], restore = "open") =>
    Array.fromAsync(readRestoredPrimes((await connectControl(directory))!, { restore, ids: [...ids] }));
  return { read, raw, directory, [Symbol.asyncDispose]: () => control[Symbol.asyncDispose]() };
}

test("primes come in their order, byte for byte", async () => {
  await using site = await served();
  const got = await site.read(idsOf(primes));
  assert.deepEqual(
    got.map((piece) => piece.length),
    primes.map(({ stored }) => stored.length),
  );
  for (const [at, { stored }] of primes.entries()) assert.ok(got[at]!.equals(stored));
  assert.deepEqual(await site.read([]), []);
});

test("an error comes with its code behind what came before it", async () => {
  await using site = await served();
  const unknown = samplePrimes(9, 1, 5)[0]!.id;
  const got: Buffer[] = [];
  const socket = (await connectControl(site.directory))!;
  await assert.rejects(
    async () => {
      for await (const piece of readRestoredPrimes(socket, { restore: "open", ids: [primes[0]!.id, unknown] }))
        got.push(piece);
    },
    (error) => isCostorError(error, "prime-missing"),
  );
  assert.equal(got.length, 1);
  await assert.rejects(site.read([unknown], "other"), (error) => isCostorError(error, "not-found"));
});

test("callers that stop in a line, send what is none, or leave in the middle of an answer harm nobody", async () => {
  await using site = await served();
  for (const text of ['{"call":"rest', "", "nonsense\n", "7\n", '{"call":"no such"}\n', `${"x".repeat(70_000)}`]) {
    const socket = await site.raw();
    socket.write(text);
    if (text.endsWith("\n")) await once(socket, "data");
    socket.destroy();
  }
  const ids = idsOf(primes).slice(0, 6);
  for (let round = 0; round < 5; round++) {
    const socket = await site.raw();
    socket.write(`${JSON.stringify({ call: "restorePrimes", arguments: { restore: "open", ids } })}\n`);
    await once(socket, "data");
    socket.destroy();
    const early = readRestoredPrimes((await connectControl(site.directory))!, { restore: "open", ids });
    await early.next();
    await early.return(undefined);
  }
  assert.equal((await site.read(ids)).length, 6);
});

test.run();
