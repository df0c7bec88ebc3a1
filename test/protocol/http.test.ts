/** Goal: the schemas that both sides use take what the contract allows, and nothing larger or other. */
import assert from "node:assert/strict";
import * as v from "valibot";
import { commitRequest, enrolRequest, openSessionRequest, paths } from "#protocol/http.ts";
import { limits } from "#protocol/limits.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("http contract");

const snapshotId = "01890a5d-ac96-774b-bcce-b302099a8057";
const base64 = (lengthBytes: number): string => Buffer.alloc(lengthBytes, "/").toString("base64");
const commit = {
  snapshotId,
  job: "laptop",
  roots: [base64(1)],
  startedMs: 1,
  objectsCount: 0,
  filesCount: 0,
  bytes: 0,
  unreadableCount: 0,
  root: { inline: "" },
};
const roots = (count: number) => Array.from({ length: count }, () => base64(1));

test("a commit has from one root to as many as allowed, each as long as trees are deep", () => {
  const pathBytes = 16 * limits.linkTargetBytes;
  for (const good of [
    {},
    { roots: roots(limits.rootsCount) },
    { roots: [base64(pathBytes)] },
    { job: "x".repeat(200) },
  ])
    assert.ok(v.is(commitRequest, { ...commit, ...good }), Object.keys(good).join());
  const bad: Record<string, unknown>[] = [
    { roots: [] },
    { roots: roots(limits.rootsCount + 1) },
    { roots: [base64(pathBytes + 3)] },
    { roots: ["/home"], job: "" },
    { roots: ["no base64"] },
    { job: "" },
    { job: "x".repeat(201) },
    { snapshotId: snapshotId.toUpperCase() },
    { snapshotId: `${snapshotId}/../x` },
    { startedMs: -1 },
    { startedMs: 1.5 },
    { bytes: 2 ** 53 },
    { objectsCount: "5" },
    { filesCount: NaN },
    { unreadableCount: undefined },
    { root: undefined },
    { more: 1 },
  ];
  for (const change of bad) assert.ok(!v.is(commitRequest, { ...commit, ...change }), JSON.stringify(change));
});

test("a session and an enrolment take their fields and no others", () => {
  const session = { job: "laptop", snapshotId };
  assert.ok(v.is(openSessionRequest, session));
  assert.ok(v.is(openSessionRequest, { ...session, expectedBytes: 0, expectedFiles: 2 ** 53 - 1 }));
  for (const bad of [{ expectedBytes: -1 }, { expectedFiles: 2 ** 53 }, { snapshotId: "x" }, { more: 1 }])
    assert.ok(!v.is(openSessionRequest, { ...session, ...bad }), JSON.stringify(bad));
  const enrolment = { secret: "x".repeat(64), hostName: "h".repeat(200) };
  assert.ok(v.is(enrolRequest, enrolment));
  for (const bad of [{ secret: "x".repeat(65) }, { hostName: "" }, { hostName: "h".repeat(201) }, { more: 1 }])
    assert.ok(!v.is(enrolRequest, { ...enrolment, ...bad }), JSON.stringify(bad));
});

test("every path is below the version", () => {
  const all = Object.values(paths).map((path) => (typeof path === "string" ? path : path(snapshotId)));
  for (const path of all) assert.match(path, /^\/v1\//);
  assert.equal(new Set(all).size, all.length);
});

test.run();
