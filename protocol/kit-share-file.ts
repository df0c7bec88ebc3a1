/** The file of one share of a recovery kit, for the person who keeps it. docs/specs/keys.md */
import { type SiteId, parseSiteId } from "./ids.ts";
import {
  checksumOfFields,
  kitInvalid as invalid,
  parseName,
  readKitFields,
  requireField,
  wordLines,
} from "./kit-fields.ts";
import { type KitShare, shareOfWords, wordsOfShare } from "./kit-share.ts";

export interface HeldShare {
  readonly share: KitShare;
  readonly holder: string;
  readonly siteName: string;
  readonly siteId: SiteId;
  /** Of the recovery key. */
  readonly fingerprint: string;
}

const VERSION = 1;

/** What the words say too, for a person. */
const numbersOf = ({ number, count, threshold }: KitShare): string =>
  `${number} of ${count}, any ${threshold} make the kit`;

/** {@link parseShare} reads it back. */
export function formatShare({ share, holder, siteName, siteId, fingerprint }: HeldShare): string {
  const words = wordsOfShare(share);
  return `# CoStor recovery kit, a share
#
# By itself it opens nothing. Together with others it opens every backup of the site: keep it where nobody else finds it, and give it
# away only when the site has to be brought back.

share-version: ${VERSION}
site: ${JSON.stringify(siteName)}
site-id: ${siteId}
fingerprint: ${fingerprint}
holder: ${JSON.stringify(holder)}
share: ${numbersOf(share)}
words:
${wordLines(words)}
checksum: ${checksumOf(siteName, siteId, holder, words)}
`;
}

export const isShareText = (text: string): boolean => /^share-version:/m.test(text);

/** Throws `kit-invalid` that says which line or word is wrong. */
export function parseShare(text: string): HeldShare {
  const fields = readKitFields(text);
  const field = (name: string): string => requireField(fields, name);
  if (field("share-version") !== String(VERSION))
    throw invalid(`version ${field("share-version")} of a share is unknown here; version ${VERSION} is expected`);
  const share = shareOfWords(field("words"));
  const [siteName, holder] = [parseName("site", field("site")), parseName("holder", field("holder"))];
  const [siteId, fingerprint] = [parseSiteId(field("site-id")), field("fingerprint")];
  if (!fingerprint.replaceAll(" ", "").startsWith(share.keyCheck))
    throw invalid("the fingerprint is not that of the share's words");
  if (field("share") !== numbersOf(share)) throw invalid("the share's number is not that of its words");
  if (field("checksum") !== checksumOf(siteName, siteId, holder, wordsOfShare(share)))
    throw invalid("the checksum is wrong: a name or an id was changed or mistyped");
  return { share, holder, siteName, siteId, fingerprint };
}

const checksumOf = (siteName: string, siteId: SiteId, holder: string, words: readonly string[]): string =>
  checksumOfFields("costor/v1/kit-share", VERSION, siteName, siteId, holder, words.join(" "));
