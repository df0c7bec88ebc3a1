/** Goal: what people do wrong at a terminal is told with a code and what to do next, and nothing is half done. Method: real commands, some on a terminal. */
import assert from "node:assert/strict";
import { access, chown, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { scratchDirectory } from "#test/support/scratch.ts";
import { runCommand, startSiteProcess } from "#test/support/site-process.ts";
import { suite } from "#test/support/suite.ts";
import { typeCommand } from "#test/support/typed-command.ts";
import { codeOf, withSite } from "./command-site.ts";

const test = suite("wrong input", { timeoutMs: 120_000 });

test("a kit that cannot be written, and data where none can be, are told as such, and the next start makes the site", async () => {
  const scratch = await scratchDirectory("wrong");
  const data = join(scratch, "data");
  await writeFile(join(scratch, "file"), "");
  await mkdir(join(scratch, "directory"));
  const start = (...words: string[]) => runCommand("site", "start", "--listen", "127.0.0.1:0", "--json", ...words);
  for (const [kit, expected] of [
    ["no/such/kit.txt", "path-unusable"],
    ["directory", "kit-file-exists"],
  ] as const) {
    const { code, stderr } = await start("--data", data, "--kit", join(scratch, kit));
    assert.deepEqual([code, codeOf(stderr)], [1, expected]);
  }
  assert.equal(codeOf((await start("--data", join(scratch, "file"))).stderr), "path-unusable");
  const site = await startSiteProcess(data, "--kit", join(scratch, "kit.txt"));
  await site.stop();
});

test("a first start that nobody sees makes no site: its kit would be in a journal, and its disk may not be mounted", async () => {
  const data = join(await scratchDirectory("unseen"), "data");
  const { code, stderr } = await runCommand("site", "start", "--data", data, "--listen", "127.0.0.1:0");
  assert.equal(code, 2);
  assert.match(stderr, /holds no site.*mounted.*--kit/);
  await assert.rejects(access(data));
});

test("Ctrl-C at a question ends the command as anywhere else, and so does the end of what is typed", async () => {
  await withSite(async (_, data) => {
    const interrupted = typeCommand(["site", "kit", "confirm", "--data", data]);
    await interrupted.shown(/word \d+: /);
    interrupted.interrupt();
    const { code, text } = await interrupted.ended;
    assert.equal(code, 130, text);
    assert.match(text, /costor: interrupted: stopped by SIGINT/);
    const ended = typeCommand(["site", "kit", "confirm", "--data", data]);
    await ended.answer(/word \d+: /, "\x04");
    assert.equal((await ended.ended).code, 130);
  });
});

test("a hold until a day that is over changes nothing, and is told", async () => {
  await withSite(async (_, data) => {
    const hold = (...words: string[]) => runCommand("site", "snapshot", "hold", "--data", data, "--json", ...words);
    const past = await hold("01900000-0000-7000-8000-000000000000", "--until", "2025-08-31");
    assert.deepEqual([past.code, codeOf(past.stderr)], [2, "bad-usage"]);
    assert.match(past.stderr, /is over/);
  });
});

test("root is told not to write into another user's data, and whose it is", async ({ skip }) => {
  if (process.geteuid?.() !== 0) skip("only root can give files to another user");
  await withSite(async (site, data) => {
    await site.stop();
    await chown(join(data, "store"), 1234, 1234);
    for (const words of [
      ["site", "check"],
      ["site", "start", "--listen", "127.0.0.1:0"],
    ]) {
      const { code, stderr } = await runCommand(...words, "--data", data, "--json");
      assert.deepEqual([code, codeOf(stderr)], [1, "wrong-user"], stderr);
      assert.match(stderr, /belongs to user 1234/);
    }
  });
});

test.run();
