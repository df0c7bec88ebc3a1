import { base32 } from "multiformats/bases/base32";
import { CID } from "multiformats/cid";
import { create as createDigest } from "multiformats/hashes/digest";
import { randomFillSync } from "node:crypto";
import { CostorError } from "./errors.ts";

declare const brand: unique symbol;
type Brand<T, Name extends string> = T & { readonly [brand]: Name };

/** SHA-256 of a prime's stored bytes, 64 lower-case hex digits. Text form for people: {@link formatPrimeCid}. */
export type PrimeId = Brand<string, "PrimeId">;
/** SHA-256 of a site's first recovery public key, 64 lower-case hex digits. */
export type SiteId = Brand<string, "SiteId">;
/** UUIDv7, canonical lower-case text. */
export type AgentId = Brand<string, "AgentId">;
/** UUIDv7, canonical lower-case text. */
export type SnapshotId = Brand<string, "SnapshotId">;
/** UUIDv7, canonical lower-case text. */
export type EntryId = Brand<string, "EntryId">;
/** SHA-256 of the body of an epoch certificate, 64 lower-case hex digits: docs/specs/ledger.md. */
export type LogId = Brand<string, "LogId">;
/** The Ed25519 public key of one machine's libp2p identity, 64 lower-case hex digits. */
export type PeerKey = Brand<string, "PeerKey">;
/** SHA-256 of the body of a roster, 64 lower-case hex digits: docs/specs/membership.md. */
export type RosterHash = Brand<string, "RosterHash">;
/** The hash of a federation's first roster, 64 lower-case hex digits. */
export type FederationId = Brand<string, "FederationId">;
/** UUIDv7, canonical lower-case text. */
export type SessionId = Brand<string, "SessionId">;

const HEX_256 = /^[0-9a-f]{64}$/;
const UUID_V7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const RAW_CODEC = 0x55;
const SHA2_256 = 0x12;

function parseHex256(value: unknown, what: string): string {
  if (typeof value === "string" && HEX_256.test(value)) return value;
  throw new CostorError("bad-id", `not a ${what}: 64 lower-case hex digits are expected`);
}

function parseUuidV7(value: unknown, what: string): string {
  if (typeof value === "string" && UUID_V7.test(value)) return value;
  throw new CostorError("bad-id", `not a ${what}: a UUIDv7 such as 01890a5d-ac96-774b-bcce-b302099a8057 is expected`);
}

/** Throws `bad-id`. */
export const parsePrimeId = (value: unknown): PrimeId => parseHex256(value, "PrimeId") as PrimeId;
/** Throws `bad-id`. */
export const parseSiteId = (value: unknown): SiteId => parseHex256(value, "SiteId") as SiteId;
/** Throws `bad-id`. */
export const parseAgentId = (value: unknown): AgentId => parseUuidV7(value, "AgentId") as AgentId;
/** Throws `bad-id`. */
export const parseSnapshotId = (value: unknown): SnapshotId => parseUuidV7(value, "SnapshotId") as SnapshotId;
/** Throws `bad-id`. */
export const parseSessionId = (value: unknown): SessionId => parseUuidV7(value, "SessionId") as SessionId;

/** Throws `bad-id`. */
export const parseEntryId = (value: unknown): EntryId => parseUuidV7(value, "EntryId") as EntryId;
/** Throws `bad-id`. */
export const parsePeerKey = (value: unknown): PeerKey => parseHex256(value, "PeerKey") as PeerKey;
/** Throws `bad-id`. */
export const parseLogId = (value: unknown): LogId => parseHex256(value, "LogId") as LogId;

/** Throws `bad-id`. */
export const parseRosterHash = (value: unknown): RosterHash => parseHex256(value, "RosterHash") as RosterHash;
/** Throws `bad-id`. */
export const parseFederationId = (value: unknown): FederationId => parseHex256(value, "FederationId") as FederationId;

/** The PrimeId of a 32-byte digest. Throws `bad-id` for any other length. */
export function primeIdFromBytes(digest: Uint8Array): PrimeId {
  if (digest.length !== 32) throw new CostorError("bad-id", `a PrimeId has 32 bytes, not ${digest.length}`);
  return Buffer.from(digest.buffer, digest.byteOffset, 32).toString("hex") as PrimeId;
}

/** The 32 bytes of a PrimeId. */
export const primeIdToBytes = (id: PrimeId): Buffer => Buffer.from(id, "hex");

/** CIDv1, raw codec, sha2-256, base32: the text form shown to people. */
export function formatPrimeCid(id: PrimeId): string {
  return CID.createV1(RAW_CODEC, createDigest(SHA2_256, primeIdToBytes(id))).toString(base32);
}

/** Throws `bad-id` for anything but the text that {@link formatPrimeCid} gives. */
export function parsePrimeCid(text: string): PrimeId {
  let cid: CID;
  try {
    cid = CID.parse(text, base32);
  } catch (cause) {
    throw new CostorError("bad-id", "not a CID", { cause });
  }
  if (cid.version !== 1 || cid.code !== RAW_CODEC || cid.multihash.code !== SHA2_256) {
    throw new CostorError("bad-id", "not the CID of a prime: CIDv1, raw, sha2-256 is expected");
  }
  const id = primeIdFromBytes(cid.multihash.digest);
  if (formatPrimeCid(id) !== text) throw new CostorError("bad-id", "a CID is in lower case, without padding");
  return id;
}

/** A UUIDv7 (RFC 9562, 5.7) for `timeMs`, milliseconds since 1970; 74 random bits from `fillRandom`. */
export function makeUuidV7(timeMs: number, fillRandom: (bytes: Uint8Array) => void = randomFillSync): string {
  const bytes = Buffer.alloc(16);
  fillRandom(bytes);
  bytes.writeUIntBE(timeMs, 0, 6);
  bytes[6] = 0x70 | (bytes[6]! & 0x0f);
  bytes[8] = 0x80 | (bytes[8]! & 0x3f);
  return uuidFromBytes(bytes);
}

/** The canonical text of 16 bytes, whatever UUID they are. */
export function uuidFromBytes(bytes: Uint8Array): string {
  const hex = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("hex");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

/** The 16 bytes of a UUID in canonical text. */
export const uuidToBytes = (id: AgentId | SnapshotId | SessionId | EntryId): Buffer =>
  Buffer.from(id.replaceAll("-", ""), "hex");
