/**
 * One entry of a log: what its bytes are, who signed them, and which of two logs of a site is newer. docs/specs/ledger.md
 *
 * The signature is over the bytes of the body as they came, and the hash too: an entry is never encoded again.
 */
import { hash } from "node:crypto";
import { type CborMap, type CborValue, decodeCbor, encodeCbor } from "#protocol/cbor.ts";
import { type VerifiedCertificate, epochCertificateBody, parseEpochCertificate } from "#protocol/epoch-certificate.ts";
import { CostorError } from "#protocol/errors.ts";
import { type EntryId, type LogId, parseEntryId, parseLogId, uuidFromBytes, uuidToBytes } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
import { type Ed25519Verifier, ed25519Verifier, signEd25519 } from "#protocol/raw-keys.ts";
import { RecentlyRead } from "./recently-read.ts";

/** A certificate, and the log that it opens. */
export interface Log {
  readonly id: LogId;
  readonly certificate: VerifiedCertificate;
  /** As it came. */
  readonly bytes: Uint8Array;
}

export interface EntryFields {
  readonly id: EntryId;
  readonly logId: LogId;
  readonly seq: number;
  /** Milliseconds since 1970, by the author's clock: for people only. */
  readonly timeMs: number;
  readonly kind: string;
  readonly data: CborMap;
}

export interface Entry extends EntryFields {
  /** SHA-256 of the body, 64 hex digits. */
  readonly hash: string;
  /** The signed entry. */
  readonly bytes: Uint8Array;
  readonly body: Uint8Array;
  readonly signature: Uint8Array;
}

const DOMAIN = Buffer.from("costor/v1/ledger-entry\0");
const ENTRY_KEYS = ["body", "signature"] as const;
const BODY_KEYS = ["data", "id", "kind", "log", "seq", "time"] as const;
const KIND = /^[a-z-]{1,32}$/;
const SIGNATURE_BYTES = 64;

const recentLogs = new RecentlyRead<Log>({ mostBytes: limits.recentCertificatesBytes });

/** The same for the same bytes, mostly. Throws `bad-encoding`, `limit-exceeded`, `signature-invalid`. */
export function openLog(bytes: Uint8Array): Log {
  if (bytes.length > limits.epochCertificateBytes)
    throw new CostorError("limit-exceeded", `a certificate has at most ${limits.epochCertificateBytes} bytes`);
  return recentLogs.get(bytes, readLog);
}

const readLog = (bytes: Buffer): Log => ({
  id: parseLogId(sha256(epochCertificateBody(bytes))),
  certificate: parseEpochCertificate(bytes),
  bytes,
});

/** Negative when `one` is the newer log of a site: by the higher epoch, then by the lower id. */
export function compareLogs(one: Log, other: Log): number {
  return other.certificate.epoch - one.certificate.epoch || (one.id < other.id ? -1 : one.id > other.id ? 1 : 0);
}

/** Signs an entry by the key of its log's PeerId. Throws `limit-exceeded`. */
export function signEntry(fields: EntryFields, peerSeed: Uint8Array): Buffer {
  const { id, logId, seq, timeMs, kind, data } = fields;
  const body = encodeCbor({ id: uuidToBytes(id), log: Buffer.from(logId, "hex"), seq, data, kind, time: timeMs });
  const entry = encodeCbor({ body, signature: signEd25519(peerSeed, Buffer.concat([DOMAIN, body])) });
  if (entry.length > limits.ledgerEntryBytes)
    throw new CostorError("limit-exceeded", `an entry has ${entry.length} bytes; at most ${limits.ledgerEntryBytes}`);
  return entry;
}

const recentEntries = new RecentlyRead<Entry>({ mostBytes: limits.recentEntriesBytes });

/** Reads an entry; its signature is not verified. The same for the same bytes, mostly. Throws `bad-encoding`, `bad-id`, `limit-exceeded`. */
export function parseEntry(bytes: Uint8Array): Entry {
  if (bytes.length > limits.ledgerEntryBytes)
    throw new CostorError("limit-exceeded", `an entry has ${bytes.length} bytes; at most ${limits.ledgerEntryBytes}`);
  return recentEntries.get(bytes, readEntry);
}

function readEntry(bytes: Buffer): Entry {
  const outer = asMap(decodeCbor(bytes), ENTRY_KEYS);
  const body = asBytes(outer["body"]);
  const signature = asBytes(outer["signature"]);
  if (signature.length !== SIGNATURE_BYTES) throw invalid(`a signature has ${SIGNATURE_BYTES} bytes`);
  const { id, log, seq, time, kind, data } = asMap(decodeCbor(body), BODY_KEYS);
  if (typeof kind !== "string" || !KIND.test(kind)) throw invalid("its kind is no name of a kind");
  return {
    id: parseEntryId(uuidFromBytes(asBytes(id))),
    logId: parseLogId(asBytes(log).toString("hex")),
    seq: asNatural(seq, "seq"),
    timeMs: asNatural(time, "time"),
    kind,
    data: asMap(data),
    hash: sha256(body),
    bytes,
    body,
    signature,
  };
}

const verifiers = new WeakMap<Log, Ed25519Verifier>();
/** Entries that their author has signed: of a log there is one author. */
const verified = new WeakSet<Entry>();

/** Throws `signature-invalid` unless the log's own machine has signed the entry. */
export function verifyEntry(entry: Entry, log: Log): void {
  if (entry.logId === log.id && verified.has(entry)) return;
  let verifier = verifiers.get(log);
  if (verifier === undefined) verifiers.set(log, (verifier = ed25519Verifier(log.certificate.peerPublicKey)));
  if (entry.logId !== log.id || !verifier(Buffer.concat([DOMAIN, entry.body]), entry.signature))
    throw new CostorError("signature-invalid", `entry ${entry.seq} of log ${entry.logId} is not signed by its author`);
  verified.add(entry);
}

/** Throws `signature-invalid`, and `bad-encoding` for entries that do not exclude each other. */
export function verifyFork(proof: readonly [Uint8Array, Uint8Array], log: Log): void {
  const [first, second] = proof.map(parseEntry) as [Entry, Entry];
  for (const entry of [first, second]) verifyEntry(entry, log);
  if (first.seq !== second.seq || first.hash === second.hash)
    throw new CostorError("bad-encoding", "two entries that do not exclude each other prove no fork");
}

const sha256 = (bytes: Uint8Array): string => hash("sha256", bytes);

function asMap(value: CborValue | undefined, keys?: readonly string[]): CborMap {
  if (typeof value !== "object" || value === null || Array.isArray(value) || value instanceof Uint8Array)
    throw invalid("a map is expected");
  if (keys !== undefined && (Object.keys(value).length !== keys.length || !keys.every((key) => key in value)))
    throw invalid(`the fields ${keys.join()} are expected`);
  return value as CborMap;
}

function asBytes(value: CborValue | undefined): Buffer {
  if (!(value instanceof Uint8Array)) throw invalid("bytes are expected");
  return Buffer.from(value.buffer, value.byteOffset, value.length);
}

function asNatural(value: CborValue | undefined, name: string): number {
  if (typeof value !== "number" || value < 0) throw invalid(`its ${name} is no number from 0`);
  return value;
}

const invalid = (message: string): CostorError => new CostorError("bad-encoding", `not a ledger entry: ${message}`);

export const unknownLog = ({ logId, seq }: Pick<Entry, "logId" | "seq">): CostorError =>
  new CostorError("signature-invalid", `entry ${seq} is of log ${logId}, whose certificate is not known`);
