/**
 * What the former kits of a site opened, for the new one: the scope secret and the earlier read keys, sealed to the read key of now. In
 * `<data>/site/former-keys`, and in the ledger as the part `keys` of the sealed state. docs/specs/keys.md, "Replacing a recovery key"
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import * as v from "valibot";
import { decodeCbor, encodeCbor } from "#protocol/cbor.ts";
import { CostorError, isCostorError } from "#protocol/errors.ts";
import type { SiteId } from "#protocol/ids.ts";
import { publicKeyOf } from "#protocol/raw-keys.ts";
import { openWithAnyKey, sealToReadKey } from "#protocol/read-sealing.ts";
import { readEnvelope, sealEnvelope } from "./envelope.ts";
import type { FormerReadKey, SiteSecrets } from "./identity.ts";

export interface FormerKeys {
  readonly scopeSecret: Uint8Array;
  /** The newest first. */
  readonly readKeys: readonly FormerReadKey[];
}

export const privateKeysOf = (former: FormerKeys | undefined): Uint8Array[] =>
  former?.readKeys.map(({ privateKey }) => privateKey) ?? [];

const FORMAT = "costor/former-keys/1";
const bytes32 = v.custom<Uint8Array>((value) => value instanceof Uint8Array && value.length === 32);
const schema = v.strictObject({
  scope: bytes32,
  read: v.array(v.strictObject({ key: bytes32, generation: v.pipe(v.number(), v.safeInteger()) })),
});

const fileSchema = v.strictObject({ sealed: v.instance(Uint8Array) });

export const formerKeysPathOf = (siteDirectory: string): string => join(siteDirectory, "former-keys");

/** Undefined for a site that has its first kit: all grows from that. */
export function formerKeysState({
  scopeSecret,
  formerReadKeys = [],
}: Pick<SiteSecrets, "scopeSecret" | "formerReadKeys">): Buffer | undefined {
  if (formerReadKeys.length === 0) return undefined;
  const read = formerReadKeys.map(({ generation, privateKey }) => ({ generation, key: privateKey }));
  return encodeCbor({ scope: scopeSecret, read });
}

/** Throws `bad-encoding`. */
export function parseFormerKeys(bytes: Uint8Array): FormerKeys {
  const value = decodeCbor(bytes);
  const parsed = v.safeParse(schema, typeof value === "object" ? { ...value } : value);
  if (!parsed.success)
    throw new CostorError("bad-encoding", `not the former keys of a site: ${parsed.issues[0].message}`);
  const { scope, read } = parsed.output;
  return { scopeSecret: scope, readKeys: read.map(({ generation, key }) => ({ generation, privateKey: key })) };
}

const contextOf = (siteId: SiteId): Buffer => Buffer.concat([Buffer.from("former-keys\0"), Buffer.from(siteId, "hex")]);

/** Sealed to the read key of `secrets`, which is a new one. */
export async function sealFormerKeys({ siteId }: { siteId: SiteId }, secrets: SiteSecrets): Promise<Uint8Array> {
  const readPublicKey = publicKeyOf("x25519", secrets.readPrivateKey);
  return sealToReadKey(formerKeysState(secrets) ?? Buffer.alloc(0), readPublicKey, contextOf(siteId));
}

/**
 * Of a data directory that was copied, or that has no ledger yet. Undefined when there is no such file, or none of the keys opens it. Throws
 * `identity-damaged`, `bad-encoding`.
 */
export async function readFormerKeys(
  siteDirectory: string,
  siteId: SiteId,
  readKeys: readonly Uint8Array[],
): Promise<FormerKeys | undefined> {
  if (!existsSync(formerKeysPathOf(siteDirectory))) return undefined;
  const { sealed } = await readEnvelope(formerKeysPathOf(siteDirectory), FORMAT, fileSchema);
  try {
    return parseFormerKeys(await openWithAnyKey(sealed, readKeys, contextOf(siteId)));
  } catch (error) {
    if (isCostorError(error, "seal-broken")) return undefined;
    throw error;
  }
}

export const encodeFormerKeys = (sealed: Uint8Array): Buffer => sealEnvelope(FORMAT, { sealed });
