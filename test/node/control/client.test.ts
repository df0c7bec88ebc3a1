/** Goal: whoever calls a site gets an end: its answer, its error, or that it or the caller has gone. Method: a site that a test plays. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, type Socket, connect, createServer } from "node:net";
import { callControl } from "#node/control/client.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("calling a site");

/** Both ends of a connection. */
async function connection() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const client = connect((server.address() as AddressInfo).port, "127.0.0.1");
  const [site] = (await once(server, "connection")) as [Socket];
  site.on("error", () => {});
  return {
    client,
    site,
    [Symbol.dispose]: () => {
      for (const end of [client, site]) end.destroy();
      server.close();
    },
  };
}

test("progress is told, and the result ends the call", async () => {
  using ends = await connection();
  const told: unknown[] = [];
  ends.site.write('{"progress":1}\n{"progress":2}\n{"result":{"agents":[]}}\n');
  const result = await callControl(ends.client, "agents", {}, { onProgress: (progress) => told.push(progress) });
  assert.deepEqual([result, told], [{ agents: [] }, [1, 2]]);
});

test("an error of the site is thrown with its code", async () => {
  using ends = await connection();
  ends.site.write('{"error":{"code":"member-unknown","message":"nobody","details":{}}}\n');
  await assert.rejects(callControl(ends.client, "agents", {}), { code: "member-unknown" });
});

test("a site that goes away ends the call", async () => {
  using ends = await connection();
  const call = callControl(ends.client, "agents", {});
  ends.site.end();
  await assert.rejects(call, { code: "site-unreachable" });
});

test("a caller that has enough ends the call with its reason, before it and during it", async () => {
  const enough = new Error("enough");
  for (const isBefore of [true, false]) {
    using ends = await connection();
    const end = new AbortController();
    if (isBefore) end.abort(enough);
    const call = callControl(ends.client, "agents", {}, { signal: end.signal });
    if (!isBefore) {
      await once(ends.site, "data");
      end.abort(enough);
    }
    await assert.rejects(call, enough);
    assert.ok(ends.client.destroyed);
  }
});

test.run();
