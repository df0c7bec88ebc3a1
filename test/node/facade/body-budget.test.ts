/** Bodies in memory: never more than the budget, nobody passed by for ever, nobody holding more than half. */
import assert from "node:assert/strict";
import { once } from "node:events";
import type { TLSSocket } from "node:tls";
import { BodyBudget } from "#node/facade/body-budget.ts";
import { paths } from "#protocol/http.ts";
import { makeUuidV7 } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
import { suite } from "#test/support/suite.ts";
import { startTestSite } from "#test/support/test-site.ts";

const test = suite("body budget");
const never = new AbortController().signal;

/** What was let in, by name, in order. */
function enter(budget: BodyBudget, entered: string[], name: string, owner: string, bytes: number, signal = never) {
  return budget.take(owner, bytes, signal).then((held) => {
    entered.push(name);
    return held;
  });
}
const settled = () => new Promise((resolve) => setImmediate(resolve));

test("what fits enters, the rest waits in order until room is given back", async () => {
  const budget = new BodyBudget(100);
  const entered: string[] = [];
  const first = await enter(budget, entered, "a1", "a", 50);
  await enter(budget, entered, "b1", "b", 40);
  const third = enter(budget, entered, "c1", "c", 30);
  void enter(budget, entered, "d1", "d", 5);
  await settled();
  assert.deepEqual(entered, ["a1", "b1"], "d1 would fit, and waits behind c1");
  first[Symbol.dispose]();
  first[Symbol.dispose]();
  await third;
  await settled();
  assert.deepEqual(entered, ["a1", "b1", "c1", "d1"]);
});

test("an owner with half of the room waits, and others pass by", async () => {
  const budget = new BodyBudget(100);
  const entered: string[] = [];
  const first = await enter(budget, entered, "a1", "a", 40);
  const second = enter(budget, entered, "a2", "a", 40);
  await enter(budget, entered, "b1", "b", 40);
  assert.deepEqual(entered, ["a1", "b1"]);
  first[Symbol.dispose]();
  await second;
});

test("a body larger than a share takes the whole share and no more", async () => {
  const budget = new BodyBudget(100);
  const entered: string[] = [];
  await enter(budget, entered, "a1", "a", 1000);
  await enter(budget, entered, "b1", "b", 1000);
  void enter(budget, entered, "c1", "c", 1);
  await settled();
  assert.deepEqual(entered, ["a1", "b1"]);
});

test("who goes away while waiting frees the way for those behind", async () => {
  const budget = new BodyBudget(100);
  const entered: string[] = [];
  await enter(budget, entered, "a1", "a", 50);
  await enter(budget, entered, "b1", "b", 45);
  const gone = new AbortController();
  const waiting = enter(budget, entered, "c1", "c", 40, gone.signal);
  const behind = enter(budget, entered, "d1", "d", 5);
  gone.abort(new Error("gone"));
  await assert.rejects(waiting, /gone/);
  await behind;
  assert.deepEqual(entered, ["a1", "b1", "d1"]);
  await assert.rejects(budget.take("e", 1, gone.signal), /gone/);
});

test("JSON and lists of ids count as batches do: an agent whose bodies never end waits for its own, and others do not", async () => {
  await using site = await startTestSite();
  const [{ token: hostile }, { token: other }] = [await site.enrol("hostile"), await site.enrol("other")];
  const open: TLSSocket[] = [];
  /** Returns when the site has seen the request, of whose body it has got a byte. */
  const begin = async (path: string, type: string, bytes: number): Promise<void> => {
    const socket = await site.connect();
    socket.on("error", () => {});
    open.push(socket);
    socket.write(
      `POST ${path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${hostile}\r\ncontent-type: ${type}\r\n` +
        `content-length: ${bytes}\r\nexpect: 100-continue\r\n\r\n `,
    );
    assert.match(String(await once(socket, "data")), /^HTTP\/1.1 100 /);
  };
  let restBytes = limits.bodiesInMemoryBytes / 2;
  const idsBytes = limits.missingIdsCount * 32;
  for (; restBytes > idsBytes; restBytes -= idsBytes)
    await begin(paths.missing(makeUuidV7(1)), "application/octet-stream", idsBytes);
  for (; restBytes > 0; restBytes -= limits.jsonBodyBytes)
    await begin(paths.sessions, "application/json", limits.jsonBodyBytes);

  let isAnswered = false;
  const json = () => ({ job: "j", snapshotId: makeUuidV7(1) });
  const waiting = site.ask({ path: paths.sessions, token: hostile, json: json() }).then((answer) => {
    isAnswered = true;
    return answer;
  });
  for (let round = 0; round < 10; round++)
    assert.equal((await site.ask({ path: paths.sessions, token: other, json: json() })).status, 200);
  assert.equal(isAnswered, false);
  open.pop()!.destroy();
  assert.equal((await waiting).status, 200);
  for (const socket of open) socket.destroy();
});

test.run();
