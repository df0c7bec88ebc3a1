/** Goal: nothing that comes from elsewhere moves the cursor, hides or colours text on a terminal. */
import assert from "node:assert/strict";
import { withoutEscapes } from "#terminal/output.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("output");

test("controls, escapes and changes of direction are shown as codes, all other text as it is", () => {
  assert.equal(withoutEscapes("a\x1b[31mb\rc\x07\x9bd\u202ee\ttab"), "a\\x1b[31mb\\x0dc\\x07\\x9bd\\u{202e}e\\x09tab");
  assert.equal(withoutEscapes("zwei Zeilen:\nSchüler 😀 \\x1b"), "zwei Zeilen:\nSchüler 😀 \\x1b");
});

test.run();
