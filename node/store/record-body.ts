/** Bodies of the small records. Decoders get bodies whose SHA-256 was verified, so a wrong form is a broken invariant. */
import { assertInvariant, CostorError } from "#protocol/errors.ts";
import {
  type AgentId,
  type PrimeId,
  type SiteId,
  primeIdFromBytes,
  primeIdToBytes,
  uuidToBytes,
} from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
import { makeRecord, type NewRecord, recordKind, type RecordPlace } from "./record.ts";

const idBytes = 32;
const agentBytes = 16;
/** Most ids in one record, so that no body nears the limit. */
const idsPerRecordCount = 65_536;
const quarantineEntryBytes = 44;
const stretchesPerRecordCount = 16_384;

/** What a batch or a clean record states. */
export interface DurableStatement {
  /** The segment was durable up to here when the record was written. */
  readonly durableBytes: number;
  readonly receivedMs: number;
}

function statementRecord(
  kind: typeof recordKind.batch | typeof recordKind.clean,
  statement: DurableStatement,
): NewRecord {
  const body = Buffer.alloc(16);
  body.writeUIntBE(statement.durableBytes, 2, 6);
  body.writeUIntBE(statement.receivedMs, 10, 6);
  return makeRecord(kind, body);
}

export const batchRecord = (statement: DurableStatement): NewRecord => statementRecord(recordKind.batch, statement);
export const cleanRecord = (statement: DurableStatement): NewRecord => statementRecord(recordKind.clean, statement);
const statementBodyBytes = 16;

export function decodeStatement(body: Buffer): DurableStatement {
  assertInvariant(body.length === statementBodyBytes, "a batch record has 16 bytes");
  return { durableBytes: body.readUIntBE(2, 6), receivedMs: body.readUIntBE(10, 6) };
}

export const primeRecord = (digest: Buffer, stored: Uint8Array): NewRecord => ({
  kind: recordKind.prime,
  digest,
  body: stored,
});

/** Claims of one agent, in as many records as are needed. */
export function claimRecords(agent: Buffer, ids: readonly Buffer[]): NewRecord[] {
  return inParts(ids, (part) => makeRecord(recordKind.claims, Buffer.concat([agent, ...part])));
}

export function decodeClaims(body: Buffer): { agent: Buffer; ids: Buffer[] } {
  assertInvariant(body.length >= agentBytes, "claims name an agent");
  return { agent: body.subarray(0, agentBytes), ids: splitIds(body.subarray(agentBytes)) };
}

export const siteIdToBytes = (site: SiteId): Buffer => Buffer.from(site, "hex");
export const agentIdToBytes = (agent: AgentId): Buffer => uuidToBytes(agent);

export const deletionRecords = (ids: readonly Buffer[]): NewRecord[] =>
  inParts(ids, (part) => makeRecord(recordKind.deletion, Buffer.concat(part)));

/** All claims on one prime, in place of those before. */
export const claimSetRecord = (id: Buffer, agents: readonly Buffer[]): NewRecord =>
  makeRecord(recordKind.claimSet, Buffer.concat([id, ...agents]));

export function decodeClaimSet(body: Buffer): { id: Buffer; agents: Buffer[] } {
  const agentsCount = (body.length - idBytes) / agentBytes;
  const agents = Array.from({ length: agentsCount }, (_, at) =>
    body.subarray(idBytes + at * agentBytes, idBytes + (at + 1) * agentBytes),
  );
  return { id: body.subarray(0, idBytes), agents };
}

/** Keeps for one site, in as many records as are needed. */
export const keepRecords = (site: Buffer, ids: readonly Buffer[]): NewRecord[] =>
  inParts(ids, (part) => makeRecord(recordKind.keep, Buffer.concat([site, ...part])));

export const releaseRecords = (site: Buffer, ids: readonly Buffer[]): NewRecord[] =>
  inParts(ids, (part) => makeRecord(recordKind.release, Buffer.concat([site, ...part])));

/** Of a keep or a release. */
export function decodeKeep(body: Buffer): { site: Buffer; ids: Buffer[] } {
  assertInvariant(body.length >= idBytes, "keeps name a site");
  return { site: body.subarray(0, idBytes), ids: splitIds(body.subarray(idBytes)) };
}

export const decodeDeletion = (body: Buffer): Buffer[] => splitIds(body);

export const generationRecord = (generation: Buffer): NewRecord => makeRecord(recordKind.generation, generation);

/** A stretch of a segment that is damaged. */
export interface DamagedStretch extends RecordPlace {
  readonly lengthBytes: number;
  /** The prime that was there, when that is known. */
  readonly id?: PrimeId;
}

/** Damage, in as many records as are needed. */
export function quarantineRecords(stretches: readonly DamagedStretch[]): NewRecord[] {
  const records: NewRecord[] = [];
  for (let at = 0; at < stretches.length; at += stretchesPerRecordCount)
    records.push(quarantineRecord(stretches.slice(at, at + stretchesPerRecordCount)));
  return records;
}

function quarantineRecord(stretches: readonly DamagedStretch[]): NewRecord {
  const body = Buffer.alloc(stretches.length * quarantineEntryBytes);
  for (const [index, stretch] of stretches.entries()) {
    const at = index * quarantineEntryBytes;
    body.writeUInt32BE(stretch.segment, at);
    body.writeUInt32BE(stretch.offset, at + 4);
    body.writeUInt32BE(stretch.lengthBytes, at + 8);
    if (stretch.id !== undefined) primeIdToBytes(stretch.id).copy(body, at + 12);
  }
  return makeRecord(recordKind.quarantine, body);
}

export function decodeQuarantine(body: Buffer): DamagedStretch[] {
  const stretches: DamagedStretch[] = [];
  for (let at = 0; at < body.length; at += quarantineEntryBytes) {
    const id = body.subarray(at + 12, at + quarantineEntryBytes);
    stretches.push({
      segment: body.readUInt32BE(at),
      offset: body.readUInt32BE(at + 4),
      lengthBytes: body.readUInt32BE(at + 8),
      ...(id.every((byte) => byte === 0) ? {} : { id: primeIdFromBytes(id) }),
    });
  }
  return stretches;
}

export function segmentRemovalRecord(segments: readonly number[]): NewRecord {
  const body = Buffer.alloc(segments.length * 4);
  for (const [index, segment] of segments.entries()) body.writeUInt32BE(segment, index * 4);
  return makeRecord(recordKind.segmentRemoval, body);
}

export function decodeSegmentRemoval(body: Buffer): number[] {
  return Array.from({ length: body.length / 4 }, (_, index) => body.readUInt32BE(index * 4));
}

const FACT_KIND = /^[a-z][a-z0-9-]{0,31}$/;

/** Throws `limit-exceeded` or `bad-request` for a kind, key or value that no fact may have. */
export function factRecord(kind: string, key: string, value: Uint8Array | undefined): NewRecord {
  if (!FACT_KIND.test(kind)) throw new CostorError("bad-request", `"${kind}" is no kind of fact`);
  const keyBytes = Buffer.from(key, "utf8");
  if (keyBytes.length > limits.factKeyBytes)
    throw new CostorError("limit-exceeded", `the key of a fact has at most ${limits.factKeyBytes} bytes`);
  if ((value?.length ?? 0) > limits.factValueBytes) {
    throw new CostorError("limit-exceeded", `the value of a fact has at most ${limits.factValueBytes} bytes`);
  }
  const head = Buffer.alloc(1 + kind.length + 2);
  head[0] = kind.length;
  head.write(kind, 1, "latin1");
  head.writeUInt16BE(keyBytes.length, 1 + kind.length);
  if (value === undefined) return makeRecord(recordKind.factRemoval, Buffer.concat([head, keyBytes]));
  return makeRecord(recordKind.fact, Buffer.concat([head, keyBytes, value]));
}

export function decodeFact(body: Buffer): { kind: string; key: Buffer; value: Buffer } {
  const kindEnd = 1 + body[0]!;
  const keyEnd = kindEnd + 2 + body.readUInt16BE(kindEnd);
  return {
    kind: body.toString("latin1", 1, kindEnd),
    key: body.subarray(kindEnd + 2, keyEnd),
    value: body.subarray(keyEnd),
  };
}

function splitIds(bytes: Buffer): Buffer[] {
  assertInvariant(bytes.length % idBytes === 0, "ids have 32 bytes");
  return Array.from({ length: bytes.length / idBytes }, (_, index) =>
    bytes.subarray(index * idBytes, (index + 1) * idBytes),
  );
}

function inParts(ids: readonly Buffer[], make: (part: readonly Buffer[]) => NewRecord): NewRecord[] {
  const records: NewRecord[] = [];
  for (let at = 0; at < ids.length; at += idsPerRecordCount) records.push(make(ids.slice(at, at + idsPerRecordCount)));
  return records;
}
