/** Which site people mean by a name, or by the beginning of an id. */
import { CostorError } from "#protocol/errors.ts";
import type { SiteId } from "#protocol/ids.ts";

/** Shorter beginnings of a SiteId name no site. */
const ID_PREFIX = /^[0-9a-f]{8,64}$/;

/** Throws `member-unknown`. */
export function chooseSite(text: string, sites: readonly { readonly site: SiteId; readonly name: string }[]): SiteId {
  const fitting = sites.filter(
    ({ site, name }) => name === text || (ID_PREFIX.test(text.toLowerCase()) && site.startsWith(text.toLowerCase())),
  );
  if (fitting.length === 1) return fitting[0]!.site;
  throw new CostorError(
    "member-unknown",
    fitting.length === 0 ? `no site "${text}" is known here` : `several sites fit "${text}": give more of the id`,
  );
}
