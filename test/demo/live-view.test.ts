/** Goal: lines stay and the table is drawn anew on a terminal; elsewhere there are plain lines, not too many. Method: streams that are read. */
import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { LiveView, type SiteRow } from "#test/demo/live-view.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("live view");
const row: SiteRow = {
  ...{ name: "Aldein", state: "runs", role: "member", reachedCount: 4, storedCount: 2, safeCount: 1 },
  ...{ ownBytes: 1000, keptBytes: 2_000_000, behindBytes: 0 },
};

function viewOn(terminal: object) {
  const stream = Object.assign(new PassThrough(), terminal) as unknown as NodeJS.WriteStream;
  const clock = { ms: 0 };
  const view = new LiveView({ stream, nowMs: () => clock.ms });
  return { view, clock, text: () => String((stream as unknown as PassThrough).read() ?? "") };
}

test("on a terminal the table is taken away before anything else is written", () => {
  const moves: number[] = [];
  const terminal = {
    ...{ isTTY: true, columns: 200 },
    moveCursor: (_: number, lines: number) => void moves.push(lines),
    cursorTo: () => true,
    clearScreenDown: () => true,
  };
  const { view, text } = viewOn(terminal);
  view.show([row], "waiting");
  const drawn = text().split("\n").length - 1;
  view.say("a step");
  view.show([row, row], "waiting");
  view[Symbol.dispose]();
  assert.deepEqual(moves, [-drawn, -(drawn + 1)]);
});

test("elsewhere it says now and then how far it is, and each line that stays", () => {
  const { view, clock, text } = viewOn({ isTTY: false });
  for (let second = 0; second < 60; second++) {
    clock.ms = second * 1000;
    view.show([row, { ...row, name: "Brixen", state: "WIPED" }], "waiting");
  }
  view.say("a\u001b[2Jstep");
  const lines = text().trimEnd().split("\n");
  assert.equal(lines.length, 13);
  assert.match(lines[0]!, /waiting \(safe of stored: Aldein 1\/2, Brixen WIPED\)/);
  assert.match(lines.at(-1)!, /a\\x1b\[2Jstep$/);
});

test.run();
