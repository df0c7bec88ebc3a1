/** The recovery kit on paper: all that is needed to bring a site back, and what to do with it. */
import { deriveRecoveryKey, fingerprintOf } from "#protocol/keys.ts";
import { type KitFederation, type KitMember, type RecoveryKit, formatKit } from "#protocol/kit.ts";
import { wordsOfKitRoot } from "#protocol/kit-words.ts";
import { type Markup, html, printedPage, qrCode, withoutComments, wordGrid } from "./printed-page.ts";

/** More would not leave room for the rest on one page; the file has them all. */
const MEMBERS_COUNT = 5;

/** `date` as people read it. */
export function kitPage(kit: RecoveryKit, date: string): string {
  const { siteName, siteId, kitRoot, federation } = kit;
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
      ${qrCode(withoutComments(formatKit({ siteName, siteId, kitRoot })))}
    </div>
    <h2>The 24 words</h2>
    ${wordGrid(wordsOfKitRoot(kitRoot))}
    <h2>How to know that they are the right ones</h2>
    <dl>
      <dt>Fingerprint</dt>
      <dd class="mono">${fingerprintOf(deriveRecoveryKey(kitRoot).publicKey)}</dd>
      <dt>Site id</dt>
      <dd class="mono">${siteId}</dd>
    </dl>
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

function federationPart({ name, federationId, members }: KitFederation): Markup {
  const shown = members.slice(0, MEMBERS_COUNT);
  const left = members.length - shown.length;
  return html`<h2>Who keeps the copies: the federation ${name}</h2>
    <dl>
      <dt>Federation id</dt>
      <dd class="mono">${federationId}</dd>
      ${shown.map(memberLine)}
    </dl>
    ${left === 0 ? html`` : html`<p>And ${left} more, whom any of these can name.</p>`}
    <p>Their telephone numbers, by hand: ____________________________________________________________</p>`;
}

const memberLine = ({ name, addresses }: KitMember): Markup =>
  html`<dt>${name}</dt>
    <dd class="mono">${addresses.length === 0 ? "no address known" : addresses[0]!}</dd>`;

function stepsFor({ federation, siteName }: RecoveryKit): Markup[] {
  const others = federation === undefined ? "the other sites of the federation" : "one of the sites above";
  return [
    html`<b>Nothing has to be decided in a hurry.</b> The copies stay where they are, for 45 days at least even if
      somebody wishes them away. Switch off what is left of the old server, and do not throw away its disks.`,
    html`<b>Telephone ${others}.</b> Say that the server of ${siteName} is gone. If some files are needed today, they
      can open them there with this page.`,
    html`<b>Get a computer</b> with Linux and a disk as large as the old server's, connected to the network, and
      somebody who installs programs. Give that person this page for the time of the work.`,
    html`<b>Install CoStor</b> on it, and give the command <code>costor site recover --data /srv/costor</code>. It asks
      for the 24 words (the first four letters of each are enough; the QR code says the same) and for an address from
      this page.`,
    html`<b>Wait and watch.</b> The first files can be opened within minutes; the rest follows by itself, also over
      nights and restarts. The school's machines go on with their backups without being set up again.`,
    html`<b>Put this page back.</b> If anybody may have read it who should not, make a new one:
      <code>costor site kit replace --data /srv/costor</code>.`,
  ];
}
