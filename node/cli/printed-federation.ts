/** What a printed page says of the other sites, one of which a new machine has to reach. */
import type { KitFederation, KitMember } from "#protocol/kit.ts";
import { type Markup, html } from "./printed-page.ts";

/** More would not leave room for the rest on one page; the file has them all. */
const MEMBERS_COUNT = 5;

export function federationPart({ name, federationId, members }: KitFederation): Markup {
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

/** Where a person who has paper only finds what `costor site recover` asks for. */
export const addressHint = (federation: KitFederation | undefined): string =>
  federation?.members.some(({ addresses }) => addresses.length > 0)
    ? "one of the addresses above, which begin with /"
    : "an address of another site, which its people read to you: costor federation members --addresses";
