/**
 * The first start, killed at any moment: the next one ends with one whole site and its kit. Method: kill -9 after a
 * growing time, over and over on the same data directory and kit file, until a start got through; then compare.
 */
import assert from "node:assert/strict";
import { readFile, readdir } from "node:fs/promises";
import { join } from "node:path";
import { parseKit } from "#protocol/kit.ts";
import { count } from "#test/support/level.ts";
import { scratchDirectory } from "#test/support/scratch.ts";
import { startCommand, startSiteProcess } from "#test/support/site-process.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("first start, killed", { timeoutMs: 120_000 });

async function killAfter(delayMs: number, words: readonly string[]): Promise<void> {
  const child = startCommand(["site", "start", "--listen", "127.0.0.1:0", "--json", ...words]);
  const ended = new Promise((resolve) => child.once("close", resolve));
  const timer = setTimeout(() => child.kill("SIGKILL"), delayMs);
  await ended;
  clearTimeout(timer);
}

/** The kit file is made in full or not at all, so one that was made belongs to a site that can still be finished. */
test("with a kit file, the next start makes or finishes the site that the file belongs to", async () => {
  const killsCount = count(5, 60);
  for (let kill = 0; kill < killsCount; kill++) {
    const scratch = await scratchDirectory("kill");
    const [data, kitFile] = [join(scratch, "data"), join(scratch, "kit.txt")];
    const words = ["--data", data, "--kit", kitFile];
    await killAfter(200 + (kill * 1_200) / killsCount, words);
    const text = await readFile(kitFile, "utf8").catch(() => "");
    const isMade = (await readdir(data).catch(() => [] as string[])).includes("site");
    const site = await startSiteProcess(data, ...(isMade && text === "" ? [] : ["--kit", kitFile]));
    assert.equal(parseKit(await readFile(kitFile, "utf8")).siteId, site.ready.siteId);
    assert.deepEqual((await readdir(data)).toSorted(), ["control.sock", "site", "store"]);
    assert.equal(await site.stop(), 0);
  }
});

test.run();
