/** Goal: nothing is remembered of a prime before the site has it, all of it afterwards, in order; failures are not lost. */
import assert from "node:assert/strict";
import { setImmediate as nextTurn } from "node:timers/promises";
import { AgentDatabase, type DatabaseWrite } from "#agent/backup/agent-database.ts";
import { DeferredWrites } from "#agent/backup/deferred-writes.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("deferred writes");

const write = (number: number): DatabaseWrite => AgentDatabase.metaWrite(`${number}`, Buffer.from(`${number}`));
const numberOf = ({ key }: DatabaseWrite): number => Number(key.toString("latin1", 1));

/** As {@link write}, with a value of so many bytes. */
const large = (number: number, bytes: number): DatabaseWrite =>
  AgentDatabase.metaWrite(`${number}`, Buffer.alloc(bytes, number));
const MIB = 1024 * 1024;

class ListedDatabase {
  readonly written: number[] = [];
  /** Most bytes of values that were written at once. */
  mostBytes = 0;
  readonly durable: boolean[] = [];
  failure: Error | undefined;

  async write(writes: readonly DatabaseWrite[], durable = false): Promise<void> {
    await nextTurn();
    if (this.failure) throw this.failure;
    this.written.push(...writes.map(numberOf));
    this.durable.push(durable);
    const bytes = writes.reduce((sum, each) => sum + (each.type === "put" ? each.value.length : 0), 0);
    this.mostBytes = Math.max(this.mostBytes, bytes);
  }
}

function deferredTo(database: ListedDatabase): DeferredWrites {
  return new DeferredWrites({ database: database as unknown as AgentDatabase });
}

test("small amounts wait; large ones are written as far as the primes are acknowledged, in order", async () => {
  const database = new ListedDatabase();
  const writes = deferredTo(database);
  for (let i = 1; i <= 10; i++) writes.add(i, [write(i)]);
  writes.release(10);
  await nextTurn();
  assert.deepEqual(database.written, []);
  for (let i = 11; i <= 2000; i++) writes.add(i, [write(i)]);
  writes.release(0);
  await nextTurn();
  assert.deepEqual(database.written, []);
  writes.release(1500);
  writes.release(1600);
  await writes.flush(1600);
  assert.deepEqual(
    database.written,
    Array.from({ length: 1600 }, (_, index) => index + 1),
  );
});

test("a flush writes what is acknowledged, then what comes last, durably, and leaves the rest", async () => {
  const database = new ListedDatabase();
  const writes = deferredTo(database);
  writes.add(5, [write(50), write(51)]);
  writes.add(7, [write(70)]);
  writes.add(0, [write(1)]);
  await writes.flush(5, [write(99)]);
  assert.deepEqual([database.written, database.durable], [[50, 51, 1, 99], [true]]);
  await writes.flush(7);
  assert.deepEqual(database.written, [50, 51, 1, 99, 70]);
});

test("large values are written a few at a time, what was added together at once, and the last ones last", async () => {
  const database = new ListedDatabase();
  const writes = deferredTo(database);
  for (let i = 1; i <= 12; i++) writes.add(i, [large(i, MIB / 2), write(100 + i)]);
  writes.release(3);
  await writes.flush(12, [write(99)]);
  const expected = Array.from({ length: 12 }, (_, index) => [index + 1, 101 + index]).flat();
  assert.deepEqual(database.written, [...expected, 99]);
  assert.ok(database.mostBytes < 2.1 * MIB, `${database.mostBytes} bytes were written at once`);
  assert.deepEqual([...new Set(database.durable.slice(0, -1)), database.durable.at(-1)], [false, true]);
});

test("room has the primes acknowledged that too much waits for, and waits until it is written", async () => {
  const database = new ListedDatabase();
  const writes = deferredTo(database);
  let drainedCount = 0;
  const uploader = { acknowledged: 0, drain: async () => void ((uploader.acknowledged = 100), drainedCount++) };
  for (let i = 1; i <= 8; i++) writes.add(i, [large(i, MIB)]);
  await writes.room(uploader);
  assert.deepEqual([drainedCount, database.written], [0, []]);
  for (let i = 9; i <= 20; i++) writes.add(i, [large(i, MIB)]);
  await writes.room(uploader);
  assert.deepEqual([drainedCount, database.written.length], [1, 20]);
  for (let i = 21; i <= 40; i++) writes.add(i, [large(i, MIB)]);
  await writes.room(uploader);
  assert.deepEqual([drainedCount, database.written.length], [1, 40]);
  database.failure = new Error("no space left");
  for (let i = 41; i <= 60; i++) writes.add(i, [large(i, MIB)]);
  await assert.rejects(writes.room(uploader), /no space left/);
});

test("a write that fails in the background is told to whoever flushes", async () => {
  const database = new ListedDatabase();
  const writes = deferredTo(database);
  for (let i = 1; i <= 1000; i++) writes.add(i, [write(i)]);
  database.failure = new Error("no space left");
  writes.release(1000);
  for (let i = 0; i < 5; i++) await nextTurn();
  await assert.rejects(writes.flush(1000), /no space left/);
});

test.run();
