/** Goal: whoever reads the log of `costor agent run` learns of a backup what `costor agent backup` would have told. */
import assert from "node:assert/strict";
import type { BackupReport } from "#agent/backup/backup-report.ts";
import { logReport } from "#agent/cli/run-log.ts";
import { type ByteString, byteStringFromText } from "#protocol/byte-string.ts";
import { makeUuidV7, parseSnapshotId } from "#protocol/ids.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("log of scheduled runs");

const snapshotId = parseSnapshotId(makeUuidV7(1));

function linesOf(changes: Partial<BackupReport>): [event: string, text: string, facts?: Record<string, unknown>][] {
  const lines: [string, string, Record<string, unknown>?][] = [];
  const report: BackupReport = {
    snapshotId,
    objectsCount: 2,
    filesCount: 1,
    bytes: 5,
    readFilesCount: 1,
    readBytes: 5,
    sentBytes: 7,
    sentPrimesCount: 1,
    unreadableCount: 0,
    unreadable: [],
    changedCount: 0,
    changed: [],
    skippedSocketsCount: 0,
    durationMs: 1000,
    ...changes,
  };
  logReport((...line) => lines.push(line), report);
  return lines;
}

test("a whole snapshot is one line", () => {
  const lines = linesOf({});
  assert.equal(lines.length, 1);
  const [event, text, facts] = lines[0]!;
  assert.deepEqual([event, facts!.snapshotId, facts!.changedCount], ["snapshot", snapshotId, 0]);
  assert.match(text, /: 1 file, 5 B; 7 B sent, in [^;]*$/);
});

test("files that changed while they were read are named, with the exact bytes of their names, and counted", () => {
  const changed = [byteStringFromText("/srv/a"), "/srv/\xff" as ByteString];
  const [snapshot, ...others] = linesOf({ changed, changedCount: 1002 });
  assert.match(snapshot![1], /; 1,?002 files changed while being read$/);
  assert.equal(snapshot![2]!.changedCount, 1002);
  assert.deepEqual(others, [
    ["changed", "/srv/a: changed while it was read", { path: "/srv/a" }],
    ["changed", "/srv/\\xff: changed while it was read", { path: "/srv/\\xff", pathBase64: "L3Nydi//" }],
    ["changed", others[2]![1]],
  ]);
  assert.match(others[2]![1], /^1,?000 more$/);
});

test("what could not be read is named and counted, by its code where there is no message", () => {
  const path = byteStringFromText("/srv/a");
  const unreadable = [
    { path, code: "EACCES", message: "no right" },
    { path, code: "EIO", message: "" },
  ];
  const [snapshot, ...others] = linesOf({ unreadable, unreadableCount: 3 });
  assert.match(snapshot![1], /; 3 objects could not be read$/);
  assert.deepEqual(
    others.map(([event, text]) => [event, text]),
    [
      ["unreadable", "/srv/a: no right"],
      ["unreadable", "/srv/a: EIO"],
      ["unreadable", "1 more"],
    ],
  );
});

test("a snapshot that this machine could not remember is told", () => {
  const [, line, ...more] = linesOf({ notRemembered: "no space left" });
  assert.deepEqual(line, [
    "not-remembered",
    "the snapshot is complete, but this machine could not remember it: no space left",
    { snapshotId },
  ]);
  assert.deepEqual(more, []);
});

test.run();
