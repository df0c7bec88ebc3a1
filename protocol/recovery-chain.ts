/**
 * How a new recovery key takes the place of a site's former one: by a link that the former one has signed, or on which a majority of the
 * federation's members has agreed. Links make a chain from the first key, whose hash is the SiteId. docs/specs/keys.md
 *
 * A link names the logs that the former key has opened and that count. What that key signs later, whoever has it, opens none.
 */
import { createHash } from "node:crypto";
import * as v from "valibot";
import { bytesOf, idOf } from "./byte-schemas.ts";
import { type CborMap, decodeCbor, encodeCbor } from "./cbor.ts";
import { CostorError } from "./errors.ts";
import { type LogId, type SiteId, parseLogId, parseSiteId } from "./ids.ts";
import { siteIdOf } from "./keys.ts";
import { limits } from "./limits.ts";
import { isSmallOrder, publicKeyOf, rawKeyBytes, signEd25519, verifyEd25519 } from "./raw-keys.ts";

export interface RecoveryLinkFields {
  readonly siteId: SiteId;
  /** Of the new key; the first key of a site has number 1. */
  readonly number: number;
  /** The new recovery public key, 32 bytes. */
  readonly key: Uint8Array;
  /** Of the logs that the former key has opened those that count, ascending. */
  readonly logs: readonly LogId[];
}

export interface RecoveryLink extends RecoveryLinkFields {
  /** SHA-256 of the body, 64 hex digits. */
  readonly hash: string;
  /** Whether no key has signed it: whether it counts only a roster tells (ledger/recovery-keys.ts). */
  readonly isByMajority: boolean;
  /** As it came. */
  readonly bytes: Uint8Array;
}

const DOMAIN = Buffer.from("costor/v1/recovery-key\0");
const SIGNATURE_BYTES = 64;
const linkSchema = v.union([
  v.strictObject({ body: bytesOf(), key: bytesOf(rawKeyBytes), signature: bytesOf(SIGNATURE_BYTES) }),
  v.strictObject({ body: bytesOf() }),
]);
const bodySchema = v.strictObject({
  key: bytesOf(rawKeyBytes),
  logs: v.pipe(
    v.array(idOf(parseLogId)),
    v.maxLength(limits.recoveryLinkLogsCount),
    v.check((logs) => logs.every((log, index) => index === 0 || logs[index - 1]! < log), "its logs do not ascend"),
  ),
  number: v.number(),
  site: idOf(parseSiteId),
});
const signedBytes = (body: Uint8Array): Buffer => Buffer.concat([DOMAIN, body]);

/** Throws `limit-exceeded` for more logs than a link may name. */
export function signRecoveryLink(fields: RecoveryLinkFields, formerSeed: Uint8Array): Buffer {
  const body = encodeBody(fields);
  return encodeCbor({
    body,
    key: publicKeyOf("ed25519", formerSeed),
    signature: signEd25519(formerSeed, signedBytes(body)),
  });
}

/** One that counts where the members agree. Throws `limit-exceeded` like {@link signRecoveryLink}. */
export const majorityLink = (fields: RecoveryLinkFields): Buffer => encodeCbor({ body: encodeBody(fields) });

function encodeBody({ siteId, number, key, logs }: RecoveryLinkFields): Buffer {
  if (logs.length > limits.recoveryLinkLogsCount || number > limits.recoveryKeysCount)
    throw new CostorError(
      "limit-exceeded",
      "a site has no more recovery keys, or names no more logs, than the limits say",
    );
  return encodeCbor({
    site: Buffer.from(siteId, "hex"),
    number,
    key,
    logs: logs.map((log) => Buffer.from(log, "hex")),
  });
}

/**
 * The links from a site's first key on. Throws `bad-encoding`, `bad-id`, `limit-exceeded`, and `signature-invalid` unless each is signed by the
 * key before it, or by nobody.
 */
export function parseRecoveryChain(chain: readonly Uint8Array[], siteId: SiteId): RecoveryLink[] {
  if (chain.length >= limits.recoveryKeysCount)
    throw new CostorError("limit-exceeded", `a site has at most ${limits.recoveryKeysCount} recovery keys`);
  const links: RecoveryLink[] = [];
  for (const bytes of chain) {
    const { link, signer } = parseLink(bytes);
    const former = links.at(-1);
    const follows =
      signer === undefined || (former === undefined ? siteIdOf(signer) === siteId : signer.equals(former.key));
    if (!follows || link.siteId !== siteId || link.number !== links.length + 2)
      throw new CostorError("signature-invalid", `a recovery key of site ${siteId} is not signed by the one before it`);
    links.push(link);
  }
  return links;
}

/** Throws `bad-encoding`, `bad-id`, `limit-exceeded`, and `signature-invalid` for one that a key has signed. */
export function parseMajorityLink(bytes: Uint8Array): RecoveryLink {
  const { link } = parseLink(bytes);
  const { number, isByMajority } = link;
  if (!isByMajority) throw new CostorError("signature-invalid", "a link on which members agree has no signature");
  if (Number.isSafeInteger(number) && number >= 2 && number <= limits.recoveryKeysCount) return link;
  throw new CostorError("limit-exceeded", `a site has at most ${limits.recoveryKeysCount} recovery keys`);
}

function parseLink(bytes: Uint8Array): { link: RecoveryLink; signer: Buffer | undefined } {
  const parsed = parse(linkSchema, bytes);
  const { body } = parsed;
  const { key, logs, number, site } = parse(bodySchema, body);
  const isSigned = !("key" in parsed) || verifyEd25519(parsed.key, signedBytes(body), parsed.signature);
  if (isSmallOrder(key) || !isSigned)
    throw new CostorError("signature-invalid", "a new recovery key is not signed by the one that it names");
  const hash = createHash("sha256").update(body).digest("hex");
  const signer = "key" in parsed ? parsed.key : undefined;
  return { link: { siteId: site, number, key, logs, hash, isByMajority: signer === undefined, bytes }, signer };
}

function parse<Output>(schema: v.GenericSchema<unknown, Output>, bytes: Uint8Array): Output {
  const parsed = v.safeParse(schema, { ...(decodeCbor(bytes) as CborMap) });
  if (parsed.success) return parsed.output;
  throw new CostorError("bad-encoding", `not a link of recovery keys: ${parsed.issues[0].message}`);
}
