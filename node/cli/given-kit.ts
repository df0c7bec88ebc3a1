/** Reads a kit that somebody gives: see `kit-input.ts`, which loads this when a command needs it. */
import { readFile } from "node:fs/promises";
import { text as readStream } from "node:stream/consumers";
import { CostorError } from "#protocol/errors.ts";
import { type SiteId, parseSiteId } from "#protocol/ids.ts";
import { deriveRecoveryKey, siteIdOf } from "#protocol/keys.ts";
import { kitFileCharacters } from "#protocol/kit-fields.ts";
import { type HeldShare, isShareText, parseShare } from "#protocol/kit-share-file.ts";
import { type NamedShare, combineShares, nameOfShare, shareOfWords, shareWordsCount } from "#protocol/kit-share.ts";
import { kitRootOfWords, kitWordsCount } from "#protocol/kit-words.ts";
import { parseKit } from "#protocol/kit.ts";
import type { GivenKit, KitOptions, ReadingInit } from "./kit-input.ts";
import { ask } from "./question.ts";
import { typeWords } from "./typed-words.ts";

/** Throws `kit-invalid`, `bad-id`, and `bad-usage` where there is nobody to ask. */
export async function readGiven(
  { kit, share, siteId: idText }: KitOptions,
  { needsSiteId }: ReadingInit,
): Promise<GivenKit> {
  if (share !== undefined && kit !== undefined)
    throw new CostorError("bad-usage", "either --kit or --share is given, not both");
  const siteId = idText === undefined ? undefined : readSiteId(idText);
  if (kit === undefined && (share === undefined || share === true)) {
    const kitRoot =
      share === true
        ? await combineShares(await typeShares())
        : await typeWords({ what: "the recovery kit", count: kitWordsCount, read: kitRootOfWords });
    return givenByRoot(kitRoot, siteId ?? (needsSiteId ? await askSiteId(kitRoot) : undefined));
  }
  if (kit === undefined) return readShares(await Promise.all((share as readonly string[]).map(readShare)), siteId);
  const text = await readText(kit);
  if (isShareText(text)) throw new CostorError("kit-invalid", `${kit} is a share of a kit: name it with --share`);
  return /^version:/m.test(text) ? disposable(parseKit(text)) : givenByRoot(kitRootOfWords(text), siteId);
}

/** As it is typed from paper. Throws `bad-id`. */
const readSiteId = (text: string): SiteId => parseSiteId(text.replaceAll(/\s/g, "").toLowerCase());

async function askSiteId(kitRoot: Uint8Array): Promise<SiteId> {
  const first = siteIdOf(deriveRecoveryKey(kitRoot).publicKey);
  const begin = `${first.slice(0, 4)} ${first.slice(4, 8)}`;
  const question = `The site id on the page: press Enter if it begins with ${begin}, else type all of it: `;
  for (;;) {
    const typed = await ask(question, "--site-id is needed");
    if (typed.trim() === "") return first;
    try {
      return readSiteId(typed);
    } catch (error) {
      if (!(error instanceof CostorError)) throw error;
      process.stderr.write(`  ${error.message}\n`);
    }
  }
}

/** Files tell of which site they are; then the key has to be that site's, or one that came after it. */
async function readShares(shares: readonly (NamedShare | HeldShare)[], siteId: SiteId | undefined): Promise<GivenKit> {
  const kitRoot = await combineShares(shares);
  const file = shares.find((share) => "siteId" in share);
  return file === undefined
    ? givenByRoot(kitRoot, siteId)
    : disposable({ kitRoot, siteId: file.siteId, siteName: file.siteName });
}

const givenByRoot = (kitRoot: Uint8Array, siteId = siteIdOf(deriveRecoveryKey(kitRoot).publicKey)): GivenKit =>
  disposable({ kitRoot, siteId });

const disposable = (kit: Omit<GivenKit, keyof Disposable>): GivenKit => ({
  ...kit,
  [Symbol.dispose]: () => void kit.kitRoot.fill(0),
});

/** A share's file, or words alone; a mistake is told with the file's name. */
async function readShare(path: string): Promise<NamedShare | HeldShare> {
  const text = await readText(path);
  try {
    return isShareText(text) ? parseShare(text) : { share: shareOfWords(text) };
  } catch (cause) {
    if (!(cause instanceof CostorError)) throw cause;
    throw new CostorError(cause.code, `${path}: ${cause.message}`, { details: cause.details, cause });
  }
}

/** As many as are needed. */
async function typeShares(): Promise<NamedShare[]> {
  const shares = new Map<string, NamedShare>();
  for (let needed = 1; shares.size < needed;) {
    const what = shares.size === 0 ? "a share" : "another share";
    const share = await typeWords({ what, count: shareWordsCount, read: shareOfWords });
    shares.set(`${share.setId}/${share.number}`, { share });
    needed = share.threshold;
    process.stderr.write(
      `  ${nameOfShare({ share })} is right; ${Math.max(0, needed - shares.size)} more are needed.\n`,
    );
  }
  return [...shares.values()];
}

async function readText(path: string): Promise<string> {
  try {
    const text = path === "-" ? await readStream(process.stdin) : await readFile(path, "utf8");
    if (text.length <= kitFileCharacters) return text;
  } catch (cause) {
    throw new CostorError("kit-invalid", `the recovery kit ${path} cannot be read`, { cause });
  }
  throw new CostorError("kit-invalid", `${path} is too long to be a recovery kit`);
}
