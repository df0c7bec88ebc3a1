/** One share of a recovery kit on paper, for the person who keeps it. */
import { type HeldShare, formatShare } from "#protocol/kit-share-file.ts";
import { wordsOfShare } from "#protocol/kit-share.ts";
import type { KitFederation } from "#protocol/kit.ts";
import { addressHint, federationPart } from "./printed-federation.ts";
import { html, inGroups, printedPage, qrCode, replacedNote, withoutComments, wordGrid } from "./printed-page.ts";

export interface SharePageInit {
  /** Who keep the other shares. */
  readonly others: readonly string[];
  readonly federation: KitFederation | undefined;
  /** Whether the words of the kit do not tell the site id. */
  readonly isReplaced: boolean;
  /** As people read it. */
  readonly date: string;
}

export function sharePage(held: HeldShare, { others, federation, isReplaced, date }: SharePageInit): string {
  const { share, holder, siteName, siteId, fingerprint } = held;
  const title = `Recovery kit of ${siteName}: share ${share.number} of ${share.count}`;
  const body = html`<div class="top">
      <div>
        <h1>${title}</h1>
        <p>
          For <b>${holder}</b>. Written on ${date}. Any ${share.threshold} of the ${share.count} shares together bring
          the backups of ${siteName} back when its server is gone; fewer open nothing.
        </p>
        <div class="warning">
          <b>Keep it secret, and give it to nobody</b> unless the site has to be brought back. No photographs, no
          e-mail.
        </div>
      </div>
      ${qrCode(withoutComments(formatShare(held)))}
    </div>
    <h2>The ${wordsOfShare(share).length} words</h2>
    ${wordGrid(wordsOfShare(share))}
    <h2>How to know what it belongs to</h2>
    <dl>
      <dt>Fingerprint</dt>
      <dd class="mono">${fingerprint}</dd>
      <dt>Site id</dt>
      <dd class="mono">${inGroups(siteId)}</dd>
      <dt>Other holders</dt>
      <dd>${others.join(", ")}</dd>
    </dl>
    ${isReplaced ? replacedNote : html``} ${federation === undefined ? html`` : federationPart(federation)}
    <h2>When you are asked for it</h2>
    <ol class="steps">
      <li>
        <b>Call back</b> the school on a number that you know. Who asks by telephone or e-mail may be somebody else.
      </li>
      <li>
        <b>Bring the page yourself</b>, to the computer on which the site is brought back, and stay until it is done.
      </li>
      <li>
        <b>Type the words</b>, one holder after the other. On an empty computer
        <code>costor site recover --data /srv/costor --share</code> asks for them and for ${addressHint(federation)};
        after a theft with <code>--compromised</code>. A rehearsal, which makes no kit, is
        <code>costor site kit rehearse --data /srv/costor --share</code>. The whole kit is made by
        <code>costor site kit combine --out kit.txt --share</code>, which asks for the site's name and site id as well.
      </li>
      <li>
        <b>Take the page back</b> with you. If the kit was made whole, the site makes a new one afterwards, and you get
        a new page.
      </li>
    </ol>
    <h2>Where to put this page</h2>
    <p>
      Where you keep papers for many years, in a closed envelope with your name and the date over the flap. Tell the
      school when you move, or cannot keep it any longer.
    </p>`;
  return printedPage(title, body);
}
