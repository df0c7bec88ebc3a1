/**
 * Goal: the printed page is enough by itself. Method: the key is recovered from the page's text alone, and from the PDF that
 * Chromium prints where there is one; hostile names stay text.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { sharePage } from "#node/cli/kit-share-page.ts";
import { kitPage } from "#node/cli/kit-page.ts";
import { peerIdText } from "#node/cli/kit-federation.ts";
import { peerIdOf } from "#node/peers/peer-identity.ts";
import { inGroups } from "#node/cli/printed-page.ts";
import { parseFederationId, parsePeerKey, parseSiteId } from "#protocol/ids.ts";
import { deriveRecoveryKey, fingerprintOf, siteIdOf } from "#protocol/keys.ts";
import type { RecoveryKit } from "#protocol/kit.ts";
import { combineShares, shareOfWords, splitKitRoot } from "#protocol/kit-share.ts";
import { kitRootOfWords } from "#protocol/kit-words.ts";
import { textOf, wordsIn } from "#test/support/printed-text.ts";
import { scratchDirectory } from "#test/support/scratch.ts";
import { suite } from "#test/support/suite.ts";
import { fromHex } from "#test/support/vectors.ts";

const kitRoot = fromHex("00112233445566778899aabbccddeeff0123456789abcdeffedcba9876543210");
const kit: RecoveryKit = {
  siteName: "Hill School",
  siteId: siteIdOf(deriveRecoveryKey(kitRoot).publicKey),
  kitRoot,
  federation: {
    federationId: parseFederationId("5d".repeat(32)),
    name: "Schools of the north",
    members: [
      {
        name: "Lake School",
        addresses: [
          "/dns4/backup.lake-school.example/tcp/8444/p2p/12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN",
        ],
      },
      ...Array.from({ length: 7 }, (_, index) => ({
        name: `School ${index}`,
        addresses: [
          `/ip4/203.0.113.${index}/tcp/8444/p2p/12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN`,
          `/ip6/2001:db8::${index}/tcp/8444/p2p/12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN`,
        ],
      })),
    ],
  },
};

const replaced: RecoveryKit = { ...kit, siteId: parseSiteId("3e".repeat(32)) };

const test = suite("kit page");

test("the key is recovered from the page's text alone, and all else that is needed stands there", () => {
  const text = textOf(kitPage(kit, "2026-11-26"));
  const found = kitRootOfWords(wordsIn(text.slice(text.indexOf("The 24 words"), text.indexOf("How to know"))));
  assert.deepEqual(Buffer.from(found), kitRoot);
  const { publicKey } = deriveRecoveryKey(found);
  assert.ok(text.includes(fingerprintOf(publicKey)));
  assert.ok(text.includes(inGroups(siteIdOf(publicKey))));
  assert.doesNotMatch(text, /in place of an earlier one/);
  assert.ok(text.includes(kit.federation!.federationId));
  assert.ok(text.includes("Lake School") && text.includes(kit.federation!.members[0]!.addresses[0]!));
  assert.ok(text.includes("And 3 more"));
});

test("the page of a kit that replaced another one has the site id, and says where it is typed", () => {
  const text = textOf(kitPage(replaced, "2026-11-26"));
  assert.ok(text.includes(inGroups(replaced.siteId)));
  assert.match(text, /in place of an earlier one[^]*Type it where a command asks for it/);
});

test("there are six steps, and the page loads nothing from anywhere", () => {
  const page = kitPage(kit, "2026-11-26");
  assert.equal(/<ol class="steps">([^]*?)<\/ol>/.exec(page)![1]!.split("<li>").length - 1, 6);
  assert.doesNotMatch(page.replaceAll("http://www.w3.org/2000/svg", ""), /https?:|src=|href=|@import|url\(/);
});

test("names that are markup stay text", () => {
  const hostile = `<img src=x onerror=alert(1)>"'&`;
  const page = kitPage(
    {
      ...kit,
      siteName: hostile,
      federation: { ...kit.federation!, name: hostile, members: [{ name: hostile, addresses: [hostile] }] },
    },
    "2026-11-26",
  );
  assert.doesNotMatch(page, /<img/);
  assert.ok(textOf(page).includes(hostile));
});

test("a site in no federation has a page too", () => {
  const { federation: _, ...alone } = kit;
  const text = textOf(kitPage(alone, "2026-11-26"));
  assert.doesNotMatch(text, /Federation id|undefined/);
});

test("shares are recovered from the text of their pages alone", async () => {
  const { publicKey } = deriveRecoveryKey(kitRoot);
  const shares = await splitKitRoot(kitRoot, 2, 3);
  const read = shares.slice(1).map((share) => {
    const common = { siteName: kit.siteName, siteId: kit.siteId, fingerprint: fingerprintOf(publicKey) };
    const others = ["Ben", "Cem"];
    const init = { others, federation: kit.federation, isReplaced: false, date: "2026-11-26" };
    const text = textOf(sharePage({ ...common, share, holder: "Anna <Bauer>" }, init));
    assert.ok(text.includes(kit.federation!.members[0]!.addresses[0]!) && text.includes(inGroups(kit.siteId)));
    assert.doesNotMatch(text, /in place of an earlier one/);
    assert.match(
      textOf(sharePage({ ...common, share, holder: "Anna" }, { ...init, federation: undefined, isReplaced: true })),
      /in place of an earlier one[^]*federation members --addresses/,
    );
    assert.match(text, new RegExp(`share ${share.number} of 3`));
    assert.ok(text.includes("Anna <Bauer>") && text.includes("Ben, Cem") && text.includes(fingerprintOf(publicKey)));
    return {
      share: shareOfWords(wordsIn(text.slice(text.indexOf("The 36 words") + 12, text.indexOf("How to know")), 36)),
    };
  });
  assert.deepEqual(Buffer.from(await combineShares(read)), kitRoot);
});

test("a machine's PeerId is written as libp2p writes it", () => {
  for (const seed of [1, 2, 250]) {
    const { publicKey } = deriveRecoveryKey(Buffer.alloc(32, seed));
    const peer = parsePeerKey(publicKey.toString("hex"));
    assert.equal(peerIdText(peer), peerIdOf(peer).toString());
  }
});

test("it prints on one sheet, from which the key comes back, and so does a share", async ({ skip }) => {
  const directory = await scratchDirectory("kit-page");
  const [first] = await splitKitRoot(kitRoot, 3, 5);
  const held = { siteName: kit.siteName, siteId: replaced.siteId, share: first!, holder: "Anna Bauer" };
  const common = { others: ["Ben Cole", "Cem Demir", "Dora Egli", "Eve Frei"], isReplaced: true, date: "2026-11-26" };
  const fingerprint = fingerprintOf(deriveRecoveryKey(kitRoot).publicKey);
  const pages = {
    kit: kitPage(replaced, "2026-11-26"),
    share: sharePage({ ...held, fingerprint }, { ...common, federation: kit.federation }),
  };
  for (const [name, html] of Object.entries(pages)) {
    const [page, pdf] = [join(directory, `${name}.html`), join(directory, `${name}.pdf`)];
    await writeFile(page, html);
    const chromium = spawnSync(
      "chromium",
      [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--no-pdf-header-footer",
        `--user-data-dir=${directory}/profile`,
        `--print-to-pdf=${pdf}`,
        page,
      ],
      { timeout: 100_000 },
    );
    if (chromium.error) skip(`chromium does not run here: ${chromium.error.message}`);
    assert.equal(chromium.status, 0, String(chromium.stderr));
    const sheets = (await readFile(pdf, "latin1")).match(/\/Type\s*\/Page\b/g);
    assert.equal(sheets?.length, 1, name);
  }
  const read = spawnSync("pdftotext", ["-raw", join(directory, "kit.pdf"), "-"], { encoding: "utf8" });
  if (read.error) skip(`pdftotext does not run here: ${read.error.message}`);
  const text = read.stdout.slice(read.stdout.indexOf("The 24 words"), read.stdout.indexOf("How to know"));
  assert.deepEqual(Buffer.from(kitRootOfWords(wordsIn(text.slice("The 24 words".length)))), kitRoot);
});

test.run();
