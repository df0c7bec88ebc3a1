/** The recovery kit on paper: all that is needed to bring a site back, and what to do with it. */
import { deriveRecoveryKey, fingerprintOf, siteIdOf } from "#protocol/keys.ts";
import { type RecoveryKit, formatKit } from "#protocol/kit.ts";
import { wordsOfKitRoot } from "#protocol/kit-words.ts";
import { addressHint, federationPart } from "./printed-federation.ts";
import {
  type Markup,
  html,
  inGroups,
  printedPage,
  qrCode,
  replacedNote,
  withoutComments,
  wordGrid,
} from "./printed-page.ts";

/** `date` as people read it. */
export function kitPage(kit: RecoveryKit, date: string): string {
  const { siteName, siteId, kitRoot, federation } = kit;
  const { publicKey } = deriveRecoveryKey(kitRoot);
  const body = html`<div class="top">
      <div>
        <h1>Recovery kit: ${siteName}</h1>
        <p>
          Written on ${date}. With this page the backups of ${siteName} can be brought back when its server is gone:
          burnt, stolen or broken. Nothing else can do that.
        </p>
        <div class="warning">
          <b>Keep it secret.</b> Whoever reads this page can read every backup of ${siteName} and take its place. No
          photographs, no e-mail.
        </div>
      </div>
      ${codeOf(kit)}
    </div>
    <h2>The 24 words</h2>
    ${wordGrid(wordsOfKitRoot(kitRoot))}
    <h2>How to know that they are the right ones</h2>
    <dl>
      <dt>Fingerprint</dt>
      <dd class="mono">${fingerprintOf(publicKey)}</dd>
      <dt>Site id</dt>
      <dd class="mono">${inGroups(siteId)}</dd>
    </dl>
    ${siteIdOf(publicKey) === siteId ? html`` : replacedNote}
    ${federation === undefined ? html`` : federationPart(federation)}
    <h2>When the server is gone</h2>
    <ol class="steps">
      ${stepsFor(kit).map((step) => html`<li>${step}</li>`)}
    </ol>
    <h2>Where to put this page</h2>
    <p>
      Print it twice. Put one copy into the school's safe and one into another building, each in a closed envelope with
      the date and a signature over the flap. A fire or a thief must not reach both, nor one of them together with the
      server. Leave no file of it on the server or any other computer. Look once a year whether both are still there.
    </p>`;
  return printedPage(`Recovery kit: ${siteName}`, body);
}

function stepsFor({ federation, siteName }: RecoveryKit): Markup[] {
  const others = federation === undefined ? "the other sites of the federation" : "one of the sites above";
  return [
    html`<b>Nothing has to be decided in a hurry.</b> The copies stay where they are, for 45 days at least even if
      somebody wishes them away. Switch off what is left of the old server, and do not throw away its disks.`,
    html`<b>Telephone ${others}.</b> Say that the server of ${siteName} is gone. Files that are needed today can be
      opened there with this page: <code>costor federation restore --data DIR</code> (the site's directory there) asks
      for the words.`,
    html`<b>Get a computer</b> with Linux and a disk as large as the old server's, connected to the network, and
      somebody who installs programs. Give that person this page for the time of the work.`,
    html`<b>Install CoStor</b> on it, and give the command <code>costor site recover --data /srv/costor</code>, with
      <code>--compromised</code> at its end if the server was stolen. It asks for the 24 words (the first four letters
      of each are enough; the QR code says the same) and for ${addressHint(federation)}.`,
    html`<b>Leave it running.</b> The first files can be opened within minutes; the rest follows by itself, also over
      nights and restarts (<code>costor site start --data /srv/costor</code>). The school's machines go on with their
      backups; after a theft they are enrolled again first.`,
    html`<b>Put this page back.</b> If anybody may have read it who should not, make a new one when all is back: stop
      the site, give the command <code>costor site kit replace --data /srv/costor --new-kit kit.txt</code>, start the
      site, and print <code>costor site kit page --data /srv/costor --kit kit.txt --out kit.html</code>.`,
  ];
}

/** So many that a telephone still reads it from paper. */
const CODE_MEMBERS_COUNT = 2;

/** The file, with as much of the federation as brings the site back. */
function codeOf({ federation, ...kit }: RecoveryKit): Markup {
  const members = federation?.members
    .filter(({ addresses }) => addresses.length > 0)
    .slice(0, CODE_MEMBERS_COUNT)
    .map(({ name, addresses }) => ({ name, addresses: addresses.slice(0, 1) }));
  const told = federation === undefined ? {} : { federation: { ...federation, members: members! } };
  return qrCode(withoutComments(formatKit({ ...kit, ...told })));
}
