/**
 * By whom a site whose store was lost finds its federation again: `<data>/site/federation`, written anew whenever it changes. docs/specs/site-files.md
 */
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import * as v from "valibot";
import { type FederationId, type PeerKey, parseFederationId, parsePeerKey } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
import { replaceDurably } from "./durable-file.ts";
import { readEnvelope, sealEnvelope } from "./envelope.ts";
import { siteDirectoryOf } from "./identity.ts";
import { SerialQueue } from "./serial-queue.ts";

export interface WayBack {
  readonly federationId: FederationId;
  /** Other sites' machines; none once this site is not in the federation any more. At most `limits.wayBackMembersCount` are kept. */
  readonly members: readonly { readonly peer: PeerKey; readonly addresses: readonly string[] }[];
}

const FORMAT = "costor/site-federation/1";
const schema = v.strictObject({
  federationId: v.pipe(
    v.string(),
    v.transform((text): FederationId => parseFederationId(text)),
  ),
  members: v.pipe(
    v.array(
      v.pipe(
        v.looseObject({
          peer: v.pipe(
            v.string(),
            v.transform((text): PeerKey => parsePeerKey(text)),
          ),
          addresses: v.array(v.string()),
        }),
        v.transform(({ peer, addresses }) => ({ peer, addresses })),
      ),
    ),
    v.maxLength(limits.wayBackMembersCount),
  ),
});

const pathOf = (dataDirectory: string): string => join(siteDirectoryOf(dataDirectory), "federation");

/** Undefined when the site was in no federation. Throws `identity-damaged`. */
export async function readWayBack(dataDirectory: string): Promise<WayBack | undefined> {
  const path = pathOf(dataDirectory);
  return existsSync(path) ? readEnvelope(path, FORMAT, schema) : undefined;
}

/** Keeps the file true, one write after the other. */
export class WayBackFile {
  readonly #path: string;
  readonly #queue = new SerialQueue();

  constructor({ dataDirectory }: { readonly dataDirectory: string }) {
    this.#path = pathOf(dataDirectory);
  }

  /** Durable when it resolves. */
  keep({ federationId, members }: WayBack): Promise<void> {
    const kept = members.slice(0, limits.wayBackMembersCount);
    const bytes = sealEnvelope(FORMAT, {
      federationId,
      members: kept.map(({ peer, addresses }) => ({ peer, addresses: [...addresses] })),
    });
    return this.#queue.run(async () => {
      const before = await readFile(this.#path).catch(() => undefined);
      if (before?.equals(bytes) !== true) await replaceDurably(this.#path, bytes);
    });
  }
}
