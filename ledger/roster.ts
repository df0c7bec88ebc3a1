/**
 * The list of a federation's members: its bytes, its hash, and who has signed it. docs/specs/membership.md
 *
 * Signatures and the hash are over the bytes of the body as they came.
 */
import { createHash } from "node:crypto";
import * as v from "valibot";
import { encodeCbor } from "#protocol/cbor.ts";
import { CostorError } from "#protocol/errors.ts";
import { type LogId, type RosterHash, type SiteId, parseLogId, parseRosterHash, parseSiteId } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
import { signEd25519, verifyEd25519 } from "#protocol/raw-keys.ts";
import { type RecoveryLink, parseMajorityLink } from "#protocol/recovery-chain.ts";
import { type Log, openLog } from "./entry.ts";
import { bytes, bytesOf, idOf, natural, readMessage } from "./message-schema.ts";

/** The last entry of a log that counts. */
export interface Head {
  readonly logId: LogId;
  readonly seq: number;
}

export interface Member {
  readonly siteId: SiteId;
  /** Null when nobody in the federation stands for it. */
  readonly inviter: SiteId | null;
}

export interface Expelled {
  readonly siteId: SiteId;
  /** Ascending by log. */
  readonly heads: readonly Head[];
}

export interface RosterFields {
  readonly name: string;
  /** 16 random bytes of the first roster. */
  readonly salt: Uint8Array;
  readonly number: number;
  readonly previous: RosterHash | null;
  /** Ascending by site; so are the expelled. */
  readonly members: readonly Member[];
  readonly expelled: readonly Expelled[];
  /** Of a roster that differs by it: a member's new recovery key. */
  readonly rekey?: RecoveryLink | undefined;
}

export interface RosterBody extends RosterFields {
  readonly hash: RosterHash;
  readonly body: Uint8Array;
}

export interface RosterSignature {
  /** Of the one who has signed. */
  readonly certificate: Uint8Array;
  readonly signature: Uint8Array;
}

export interface Roster extends RosterBody {
  readonly signatures: readonly RosterSignature[];
  /** As it came. */
  readonly bytes: Uint8Array;
}

const DOMAIN = Buffer.from("costor/v1/roster\0");
const signedBytes = (body: Uint8Array): Buffer => Buffer.concat([DOMAIN, body]);
const fromHex = (id: string): Buffer => Buffer.from(id, "hex");

/** Throws `limit-exceeded` for more than a roster may hold. */
export function encodeRosterBody({ name, salt, number, previous, members, expelled, rekey }: RosterFields): Buffer {
  const body = encodeCbor({
    name,
    salt,
    number,
    previous: previous && fromHex(previous),
    members: members.map(({ siteId, inviter }) => ({ site: fromHex(siteId), inviter: inviter && fromHex(inviter) })),
    expelled: expelled.map(({ siteId, heads }) => ({
      site: fromHex(siteId),
      heads: heads.map(({ logId, seq }) => ({ log: fromHex(logId), seq })),
    })),
    ...(rekey === undefined ? {} : { rekey: rekey.bytes }),
  });
  if (
    body.length > limits.rosterBodyBytes ||
    members.length > limits.rosterMembersCount ||
    expelled.length > limits.rosterExpelledCount
  )
    throw new CostorError("limit-exceeded", "a roster has not room for so many sites");
  return body;
}

export const signRosterBody = (body: Uint8Array, peerSeed: Uint8Array): Buffer =>
  signEd25519(peerSeed, signedBytes(body));

/** Whether the log's machine has signed the body. */
export const isRosterSignature = (body: Uint8Array, signature: Uint8Array, log: Log): boolean =>
  verifyEd25519(log.certificate.peerPublicKey, signedBytes(body), signature);

/** Signatures are written by ascending site. */
export function encodeRoster(body: Uint8Array, signatures: readonly RosterSignature[]): Buffer {
  return encodeCbor({ body, signatures: signatures.map(({ certificate, signature }) => ({ certificate, signature })) });
}

/** Texts of ids of one length compare as their bytes do. */
const ascending = <T>(keyOf: (item: T) => string) =>
  v.check((items: T[]) => items.every((item, index) => index === 0 || keyOf(items[index - 1]!) < keyOf(item)));

const headsSchema = v.pipe(
  v.array(v.strictObject({ log: idOf(parseLogId), seq: natural })),
  v.maxLength(limits.ledgerLogsPerSiteCount),
  v.transform((heads) => heads.map(({ log, seq }): Head => ({ logId: log, seq }))),
  ascending((head) => head.logId),
);
const bodySchema = v.strictObject({
  name: v.pipe(v.string(), v.maxLength(limits.ledgerTextCharacters), v.regex(/^\P{Cc}*$/u)),
  salt: bytesOf(16),
  number: v.pipe(natural, v.maxValue(limits.rosterChainCount - 1)),
  previous: v.nullable(idOf(parseRosterHash)),
  members: v.pipe(
    v.array(v.strictObject({ site: idOf(parseSiteId), inviter: v.nullable(idOf(parseSiteId)) })),
    v.minLength(1),
    v.maxLength(limits.rosterMembersCount),
    v.transform((members) => members.map(({ site, inviter }): Member => ({ siteId: site, inviter }))),
    ascending((member) => member.siteId),
  ),
  expelled: v.pipe(
    v.array(v.strictObject({ site: idOf(parseSiteId), heads: headsSchema })),
    v.maxLength(limits.rosterExpelledCount),
    v.transform((all) => all.map(({ site, heads }): Expelled => ({ siteId: site, heads }))),
    ascending((expelled) => expelled.siteId),
  ),
  rekey: v.optional(v.pipe(bytes, v.transform(parseMajorityLink))),
});
const rosterSchema = v.strictObject({
  body: bytes,
  signatures: v.pipe(
    v.array(v.strictObject({ certificate: bytes, signature: bytesOf(64) })),
    v.maxLength(limits.rosterMembersCount),
  ),
});

/** Throws `bad-encoding`, `bad-id`, `limit-exceeded`, and what {@link parseMajorityLink} throws. */
export function parseRosterBody(body: Uint8Array): RosterBody {
  if (body.length > limits.rosterBodyBytes)
    throw new CostorError("limit-exceeded", `a roster's body has at most ${limits.rosterBodyBytes} bytes`);
  const fields = readMessage(bodySchema, body, "a roster");
  return { ...fields, body, hash: parseRosterHash(createHash("sha256").update(body).digest("hex")) };
}

/** Its signatures are not verified. Throws what {@link parseRosterBody} throws. */
export function parseRoster(bytes: Uint8Array): Roster {
  if (bytes.length > limits.rosterBytes)
    throw new CostorError("limit-exceeded", `a roster has at most ${limits.rosterBytes} bytes`);
  const { body, signatures } = readMessage(rosterSchema, bytes, "a roster");
  return { ...parseRosterBody(body), signatures, bytes };
}

/**
 * The sites that have signed. Throws `signature-invalid` when one has not, or by a log that does not count, or is there twice or out of
 * order.
 */
export function signersOf({ body, signatures }: Roster, counts: (log: Log) => boolean): SiteId[] {
  const signers: SiteId[] = [];
  for (const { certificate, signature } of signatures) {
    const log = openLog(certificate);
    const { siteId } = log.certificate;
    if (!isRosterSignature(body, signature, log) || !counts(log) || (signers.length > 0 && signers.at(-1)! >= siteId))
      throw new CostorError("signature-invalid", `the roster is not signed by site ${siteId}`);
    signers.push(siteId);
  }
  return signers;
}
