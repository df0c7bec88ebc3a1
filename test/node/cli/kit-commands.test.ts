/** The commands of the recovery kit, with a real site beside them. */
import assert from "node:assert/strict";
import { cp, readFile, readdir, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parseKit } from "#protocol/kit.ts";
import { wordsOfKitRoot } from "#protocol/kit-words.ts";
import { runCommand, startCommand, startSiteProcess } from "#test/support/site-process.ts";
import { suite } from "#test/support/suite.ts";
import { codeOf, withSite } from "./command-site.ts";

const test = suite("kit commands", { timeoutMs: 300_000 });

test("two words typed back confirm the kit, and wrong ones or other ones do not", async () => {
  await withSite(async (_site, data, kitFile) => {
    assert.equal((await stat(kitFile)).mode & 0o777, 0o600);
    const words = wordsOfKitRoot(parseKit(await readFile(kitFile, "utf8")).kitRoot);
    const { positions, confirmed } = (await runCommand("site", "kit", "status", "--data", data, "--json")).json<{
      positions: number[];
      confirmed: boolean;
    }>();
    assert.equal(confirmed, false);
    const given = (change: (word: string) => string) =>
      positions.flatMap((position) => ["--word", `${position}=${change(words[position - 1]!)}`]);
    const wrong = await runCommand("site", "kit", "confirm", "--data", data, "--json", ...given(() => "zebra"));
    assert.deepEqual([wrong.code, codeOf(wrong.stderr)], [1, "kit-wrong-word"]);
    const none = await runCommand("site", "kit", "confirm", "--data", data, "--json");
    assert.deepEqual([none.code, codeOf(none.stderr)], [2, "bad-usage"]);
    assert.match(none.stderr, new RegExp(`words ${positions.join(" and ")}`));
    const right = await runCommand("site", "kit", "confirm", "--data", data, "--json", ...given((word) => word));
    assert.equal(right.json<{ confirmed: boolean }>().confirmed, true);
    assert.equal((await runCommand("site", "stats", "--data", data)).stdout.includes("not confirmed"), false);
  });
});

test("a whole kit is rehearsed from its file, from words and from standard input, and another site's is refused", async () => {
  await withSite(async (_site, data, kitFile) => {
    const rehearse = (kit: string) => runCommand("site", "kit", "rehearse", "--data", data, "--kit", kit, "--json");
    const words = wordsOfKitRoot(parseKit(await readFile(kitFile, "utf8")).kitRoot);
    const fourLetters = join(data, "../words.txt");
    await writeFile(fourLetters, words.map((word) => word.slice(0, 4)).join("\n"));
    for (const file of [kitFile, fourLetters]) {
      const right = await rehearse(file);
      assert.equal(right.code, 0, right.stderr);
      assert.equal(right.json<{ isRight: boolean }>().isRight, true);
      // "site" is in any output, and hexadecimal digits make a word now and then.
      const told = new Set(`${right.stdout}${right.stderr}`.split(/[^a-z]+/).filter((word) => words.includes(word)));
      assert.ok(told.size <= 2, [...told].join(" "));
    }
    await writeFile(fourLetters, "zoo ".repeat(23) + "vote");
    const other = await rehearse(fourLetters);
    assert.deepEqual([other.code, codeOf(other.stderr)], [1, "kit-of-another-site"]);
    await writeFile(fourLetters, words.with(4, "abandn").join(" "));
    const typo = await rehearse(fourLetters);
    assert.deepEqual([typo.code, codeOf(typo.stderr)], [1, "kit-invalid"]);
    assert.match(typo.stderr, /word 5/);
    const missing = await rehearse(join(data, "none"));
    assert.deepEqual([missing.code, codeOf(missing.stderr)], [1, "kit-invalid"]);
    const nobody = await runCommand("site", "kit", "rehearse", "--data", data, "--json");
    assert.deepEqual([nobody.code, codeOf(nobody.stderr)], [2, "bad-usage"]);
  });
});

test("a kit is split among holders, rehearsed from some of the shares, and made again", async () => {
  await withSite(async (_site, data, kitFile) => {
    const out = join(data, "../shares");
    const holders = ["Anna", "Ben", "Cem"];
    const kit = (...words: string[]) => runCommand("site", "kit", ...words, "--json");
    const split = (shares: string, to = out) =>
      kit("split", "--data", data, "--kit", kitFile, "--shares", shares, "--holder", ...holders, "--out", to);
    for (const wrong of ["2-of-4", "1-of-3", "4-of-3", "3"]) {
      const refused = await split(wrong);
      assert.deepEqual([refused.code, codeOf(refused.stderr)], [2, "bad-usage"], wrong);
    }
    assert.deepEqual((await split("2-of-3")).json(), { out, threshold: 2, count: 3 });
    assert.equal(codeOf((await split("2-of-3")).stderr), "kit-file-exists");
    assert.equal((await stat(join(out, "share-1-of-3.html"))).mode & 0o777, 0o600);
    const shares = [1, 2, 3].map((number) => join(out, `share-${number}-of-3.txt`));
    const rehearsed = await kit("rehearse", "--data", data, "--share", shares[0]!, shares[2]!);
    assert.equal(rehearsed.json<{ isRight: boolean }>().isRight, true);
    const few = await kit("rehearse", "--data", data, "--share", shares[1]!);
    assert.equal(codeOf(few.stderr), "kit-invalid");
    assert.match(few.stderr, /2 shares are needed, and here is share 2 of 3 \(Ben\)/);
    const made = join(data, "../made.txt");
    assert.equal((await kit("combine", "--share", shares[2]!, shares[1]!, "--out", made)).code, 0);
    assert.equal(await readFile(made, "utf8"), await readFile(kitFile, "utf8"));
    await split("2-of-3", join(data, "../other"));
    const mixed = await kit("rehearse", "--data", data, "--share", shares[0]!, join(data, "../other/share-2-of-3.txt"));
    assert.match(mixed.stderr, /not of one set: share 1 of 3 \(Anna\); and share 2 of 3 \(Ben\)/);
    const asKit = await kit("rehearse", "--data", data, "--kit", shares[0]!);
    assert.match(asKit.stderr, /name it with --share/);
  });
});

test("the kit is written as a page and as a file, for its owner only, and nothing is overwritten", async () => {
  await withSite(async (_site, data, kitFile) => {
    const write = (out: string) =>
      runCommand("site", "kit", "page", "--data", data, "--kit", kitFile, "--out", out, "--json");
    const [page, file] = [join(data, "../kit.html"), join(data, "../again.txt")];
    for (const out of [page, file]) {
      assert.deepEqual((await write(out)).json(), { out, membersCount: 0 });
      assert.equal((await stat(out)).mode & 0o777, 0o600);
    }
    assert.equal(await readFile(file, "utf8"), await readFile(kitFile, "utf8"));
    assert.match(await readFile(page, "utf8"), /Recovery kit: Hill School/);
    const again = await write(page);
    assert.deepEqual([again.code, codeOf(again.stderr)], [1, "kit-file-exists"]);
  });
});

test("a kit is replaced by its former one while the site does not run, killed at any step or not", async () => {
  await withSite(async (site, data, kitFile) => {
    const kit = (...words: string[]) => runCommand("site", "kit", ...words, "--data", data, "--json");
    const fingerprint = async () => (await kit("status")).json<{ fingerprint: string }>().fingerprint;
    let [former, shown] = [kitFile, await fingerprint()];
    const running = await kit("replace", "--kit", kitFile, "--new-kit", join(data, "../no.txt"));
    assert.equal(codeOf(running.stderr), "store-locked");
    await site.stop();
    for (const [index, failpoint] of ["kit-written", "half-placed", ""].entries()) {
      const next = join(data, `../kit-${index}.txt`);
      const words = ["site", "kit", "replace", "--data", data, "--kit", former, "--new-kit", next, "--json"];
      const child = startCommand(words, { COSTOR_FAILPOINT: failpoint === "" ? "" : `replace.${failpoint}` });
      await new Promise((resolve) => child.once("close", resolve));
      const again = await startSiteProcess(data);
      assert.equal(again.ready.siteId, site.ready.siteId, failpoint);
      assert.equal(again.ready.kitConfirmed, false);
      const isPlaced = ["half-placed", ""].includes(failpoint);
      const now = await fingerprint();
      assert.equal(now !== shown, isPlaced, failpoint);
      if (isPlaced) {
        const refused = await kit("rehearse", "--kit", former);
        assert.equal(codeOf(refused.stderr), "kit-of-another-site");
        [former, shown] = [next, now];
      }
      assert.equal((await kit("rehearse", "--kit", former)).json<{ isRight: boolean }>().isRight, true);
      assert.equal(parseKit(await readFile(former, "utf8")).siteId, site.ready.siteId);
      assert.deepEqual((await readdir(data)).toSorted(), ["control.sock", "site", "store"]);
      assert.equal(await again.stop(), 0);
    }
    const json = await kit("replace", "--kit", former);
    assert.equal(codeOf(json.stderr), "bad-usage", "no kit in a program's output");
  });
});

test("a disk is not adopted with a kit that replaced its own since, and stays as it is", async () => {
  await withSite(async (site, data, former) => {
    await site.stop();
    const [older, next] = [join(data, "../older"), join(data, "../next.txt")];
    await cp(data, older, { recursive: true });
    const replace = ["site", "kit", "replace", "--data", data, "--kit", former, "--new-kit", next];
    assert.equal((await runCommand(...replace)).code, 0);
    const adopt = (on: string, kit: string) => runCommand("site", "adopt", "--data", on, "--kit", kit, "--json");
    const before = await readFile(join(older, "site", "identity"));
    const refused = await adopt(older, next);
    assert.equal(codeOf(refused.stderr), "kit-of-another-site");
    assert.match(refused.stderr, /costor site recover with this kit/);
    assert.equal(codeOf((await adopt(data, former)).stderr), "kit-of-another-site");
    assert.deepEqual(await readFile(join(older, "site", "identity")), before);
    for (const [on, kit] of [
      [older, former],
      [data, next],
    ] as const)
      assert.equal(codeOf((await adopt(on, kit)).stderr), "not-in-federation", "its own kit is taken");
  });
});

test.run();
