/** Goal: nothing is remembered of a prime before the site has it, all of it afterwards, in order; failures are not lost. */
import assert from "node:assert/strict";
import { setImmediate as nextTurn } from "node:timers/promises";
import { AgentDatabase, type DatabaseWrite } from "#agent/backup/agent-database.ts";
import { DeferredWrites } from "#agent/backup/deferred-writes.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("deferred writes");

const write = (number: number): DatabaseWrite => AgentDatabase.metaWrite(`${number}`, Buffer.from(`${number}`));
const numberOf = ({ key }: DatabaseWrite): number => Number(key.toString("latin1", 1));

class ListedDatabase {
  readonly written: number[] = [];
  readonly durable: boolean[] = [];
  failure: Error | undefined;

  async write(writes: readonly DatabaseWrite[], durable = false): Promise<void> {
    await nextTurn();
    if (this.failure) throw this.failure;
    this.written.push(...writes.map(numberOf));
    this.durable.push(durable);
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
