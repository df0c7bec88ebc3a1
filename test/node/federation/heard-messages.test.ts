/** Goal: what is spread takes so much memory and no more, however slow the disk is, and a wrong message costs the others little. */
import assert from "node:assert/strict";
import { HeardMessages } from "#node/federation/heard-messages.ts";
import { limits } from "#protocol/limits.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("heard messages");
const { signal } = new AbortController();

test("there is room for so many bytes that wait, and again when some are written", async () => {
  let write = Promise.withResolvers<void>();
  let admittedCount = 0;
  const heard = new HeardMessages({
    admit: async (messages) => {
      await write.promise;
      admittedCount += messages.length;
    },
    onWrong: (error) => assert.fail(String(error)),
  });
  const message = Buffer.alloc(limits.gossipMessageBytes);
  let takenCount = 0;
  while (heard.add(message, signal)) takenCount++;
  assert.equal(takenCount, Math.floor(limits.gossipWaitingBytes / message.length));
  assert.ok(!heard.add(message, signal));
  assert.ok(heard.add(Buffer.alloc(10), signal), "a small one fits");
  write.resolve();
  const isWritten = (): boolean => admittedCount === takenCount + 1;
  while (!isWritten()) await new Promise(setImmediate);
  write = Promise.withResolvers();
  assert.ok(heard.add(message, signal));
  write.resolve();
});

test("of many a wrong one is told, all others are admitted once, in their order, and few writes are needed", async () => {
  const admitted: number[] = [];
  const told: unknown[] = [];
  let writesCount = 0;
  const done = Promise.withResolvers<void>();
  const heard = new HeardMessages({
    admit: async (messages) => {
      writesCount++;
      const numbers = messages.map((message) => message[0]!);
      if (numbers.includes(40)) throw new Error("wrong");
      admitted.push(...numbers);
      if (admitted.length === 64) done.resolve();
    },
    onWrong: (error) => void told.push(error),
  });
  const expected = Array.from({ length: 65 }, (_, at) => at);
  for (const number of expected) heard.add(Buffer.of(number), signal);
  await done.promise;
  assert.deepEqual(
    admitted,
    expected.filter((number) => number !== 40),
  );
  assert.deepEqual(told.map(String), ["Error: wrong"]);
  assert.ok(writesCount <= 1 + 2 * Math.ceil(Math.log2(64)) + 1, `${writesCount} writes`);
});

test.run();
