/**
 * Goal: who has paper only is asked for all that is needed, and gets on by it, also with a kit that replaced an earlier one. Method: real commands on a
 * terminal, with what stands on the pages that a site has written.
 */
import assert from "node:assert/strict";
import { cp, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parseKit } from "#protocol/kit.ts";
import { wordsOfKitRoot } from "#protocol/kit-words.ts";
import { readPage } from "#test/support/printed-text.ts";
import { runCommand, startSiteProcess } from "#test/support/site-process.ts";
import { suite } from "#test/support/suite.ts";
import { typeCommand } from "#test/support/typed-command.ts";
import { withSite } from "./command-site.ts";

const test = suite("typed kits", { timeoutMs: 300_000 });

/** A site that runs with its second kit. */
async function withReplaced(work: (data: string, kitFile: string, formerKit: string) => Promise<void>): Promise<void> {
  await withSite(async (site, data, formerKit) => {
    await site.stop();
    const kitFile = join(data, "../new-kit.txt");
    const replace = ["site", "kit", "replace", "--data", data, "--kit", formerKit, "--new-kit", kitFile];
    assert.equal((await runCommand(...replace)).code, 0);
    const again = await startSiteProcess(data);
    try {
      await work(data, kitFile, formerKit);
    } finally {
      await again.stop("SIGKILL");
    }
  });
}

test("the pages of a replaced kit's shares are enough to make the kit again", async () => {
  await withReplaced(async (data, kitFile) => {
    const out = join(data, "../shares");
    const kit = (...words: string[]) => runCommand("site", "kit", ...words, "--json");
    const holders = ["--holder", "Anna", "Ben", "Cem"];
    const split = await kit("split", "--data", data, "--kit", kitFile, "--shares", "2-of-3", ...holders, "--out", out);
    assert.equal(split.code, 0, split.stderr);
    const pages = await Promise.all(
      [1, 3].map(async (number) => readPage(await readFile(join(out, `share-${number}-of-3.html`), "utf8"))),
    );
    const command = pages[0]!.commands.find((words) => words.includes("combine"))!;
    const made = join(data, "../made.txt");
    const typed = typeCommand(command.map((word) => (word === "kit.txt" ? made : word)));
    await typed.answer(/site's name[^:]*: /, "Hill School");
    for (const { words } of pages) await typed.answer(/word 1: /, words);
    await typed.answer(/site id on the page[^:]*: /, "3e3e 3e3e");
    await typed.answer(/not [^]*site id on the page[^:]*: /, pages[0]!.siteId);
    const { code, text } = await typed.ended;
    assert.equal(code, 0, text);
    assert.equal(await readFile(made, "utf8"), await readFile(kitFile, "utf8"));
    const files = pages.map((_, index) => join(data, `../words-${index}.txt`));
    await Promise.all(pages.map(({ words }, index) => writeFile(files[index]!, words)));
    const again = join(data, "../again.txt");
    const { siteId } = parseKit(await readFile(kitFile, "utf8"));
    const named = ["--site", "Hill School", "--site-id", siteId, "--out", again];
    assert.equal((await kit("combine", "--share", ...files, ...named)).code, 0);
    assert.equal(await readFile(again, "utf8"), await readFile(kitFile, "utf8"));
    const rehearsal = typeCommand(
      pages[0]!.commands
        .find((words) => words.includes("rehearse"))!
        .map((word) => (word === "/srv/costor" ? data : word)),
    );
    for (const { words } of pages) await rehearsal.answer(/word 1: /, words);
    assert.equal((await rehearsal.ended).code, 0);
  });
});

test("words of a replaced kit open a copied site by the id on its page", async () => {
  await withReplaced(async (data, kitFile) => {
    const { siteId, kitRoot } = parseKit(await readFile(kitFile, "utf8"));
    const copy = join(data, "../copy");
    await cp(data, copy, { recursive: true, filter: (path) => !path.endsWith(".sock") });
    const typed = typeCommand(["site", "extract", "--data", copy, "--json"]);
    await typed.answer(/word 1: /, wordsOfKitRoot(kitRoot).join(" "));
    await typed.answer(/site id on the page[^:]*: /, siteId);
    const { text } = await typed.ended;
    assert.match(text, new RegExp(`"nothing-of-site"[^]*"siteId":"${siteId}"`));
  });
});

test("of a site's first kit the id is confirmed by Enter alone", async () => {
  await withSite(async (_site, data, kitFile) => {
    const { siteId, kitRoot } = parseKit(await readFile(kitFile, "utf8"));
    const copy = join(data, "../copy");
    await cp(data, copy, { recursive: true, filter: (path) => !path.endsWith(".sock") });
    const typed = typeCommand(["site", "extract", "--data", copy, "--json"]);
    await typed.answer(/word 1: /, wordsOfKitRoot(kitRoot).join(" "));
    await typed.answer(new RegExp(`Enter if it begins with ${siteId.slice(0, 4)} ${siteId.slice(4, 8)}`), "");
    assert.match((await typed.ended).text, new RegExp(`"nothing-of-site"[^]*"siteId":"${siteId}"`));
  });
});

test.run();
