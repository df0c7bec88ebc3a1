/** Commands in what people are told can be copied as they stand, whatever the directory is called. */
import assert from "node:assert/strict";
import { kitReminder } from "#node/cli/kit-text.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("kit text");

test("the reminder's command names a directory so that a shell takes it as one word", () => {
  const reminder = (data: string): string => kitReminder(data, { positions: [2, 18] })!;
  assert.match(reminder("/srv/costor"), /words 2 and 18 .*: costor site kit confirm --data \/srv\/costor$/);
  assert.match(reminder("/srv/our site's"), /--data '\/srv\/our site'\\''s'$/);
});

test.run();
