import { createHash } from "node:crypto";
import { type SiteId, parseSiteId } from "#protocol/ids.ts";

/** A SiteId that nobody has the key of, the same for a name each time. */
export const sampleSiteId = (name: string): SiteId => parseSiteId(createHash("sha256").update(name).digest("hex"));
