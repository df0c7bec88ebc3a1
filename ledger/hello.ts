/**
 * How a machine of a new epoch makes itself known to a site that knows only the machine before it, over a channel of
 * `/costor/hello/1`: one question, one answer. docs/specs/membership.md, "A new machine"
 *
 * Its certificate says it all: it is signed by the site's recovery key, and names the key of the connection.
 */
import * as v from "valibot";
import { encodeCbor } from "#protocol/cbor.ts";
import { claimOf } from "#protocol/epoch-certificate.ts";
import { CostorError } from "#protocol/errors.ts";
import { limits } from "#protocol/limits.ts";
import { type Log, compareLogs, openLog } from "./entry.ts";
import type { Ledger } from "./ledger.ts";
import { type Membership, peerKeyOf } from "./membership.ts";
import type { Channel, Protocol } from "./peers.ts";
import { bytes, readMessage } from "./message-schema.ts";

export const helloProtocol: Protocol = {
  name: "/costor/hello/1",
  maxFrameBytes: limits.helloFrameBytes,
  maxChannelsPerPeerCount: 1,
};

export interface HelloComponents {
  readonly membership: Pick<Membership, "roleOf">;
  readonly ledger: Pick<Ledger, "currentLog" | "log" | "offer" | "recoveryKeys">;
  /** Asked before a signature is verified; what it throws ends it. Whoever names no member or guest is refused without. */
  readonly listen?: () => void;
}

const requestSchema = v.object({ certificate: bytes });
const answerSchema = v.object({ state: v.picklist(["known", "refused"]), newer: v.optional(bytes) });

/**
 * Answers one question; whether the machine was not known before: then it may connect from now on. Throws `peer-misbehaved` for what no
 * honest machine says, `peer-unreachable`, and what the ledger throws.
 */
export async function answerHello(channel: Channel, components: HelloComponents): Promise<boolean> {
  const frame = await channel.receive();
  if (frame === undefined) return false;
  const certificate = certificateIn(frame, channel, components);
  if (certificate === undefined) {
    await channel.send(encodeCbor({ state: "refused" }));
    await channel.close();
    return false;
  }
  components.listen?.();
  const log = readCertificate(certificate, channel);
  const isNew = isNewMachine(log, components);
  if (isNew) await components.ledger.offer({ certificates: [log.bytes] });
  const isKnown = components.ledger.currentLog(log.certificate.siteId)?.log.id === log.id && mayBe(log, components);
  await channel.send(encodeCbor(isKnown ? { state: "known" } : { state: "refused", ...newerThan(log, components) }));
  await channel.close();
  return isNew && isKnown;
}

/** Of a member's or guest's machine, as it says: anybody may say that. */
function certificateIn(frame: Uint8Array, { peer }: Channel, { membership }: HelloComponents): Uint8Array | undefined {
  try {
    const { certificate } = readMessage(requestSchema, frame, "a message of hello", "peer-misbehaved");
    const { siteId, peerPublicKey } = claimOf(certificate);
    if (Buffer.from(peerPublicKey).toString("hex") !== peer)
      throw new CostorError("signature-invalid", "the certificate is another machine's");
    const { role } = membership.roleOf(siteId);
    return role === "member" || role === "guest" ? certificate : undefined;
  } catch (cause) {
    throw new CostorError("peer-misbehaved", "a peer says hello without a certificate of its own", { cause });
  }
}

function readCertificate(certificate: Uint8Array, { peer }: Channel): Log {
  try {
    const log = openLog(certificate);
    if (peerKeyOf(log) !== peer) throw new CostorError("signature-invalid", "the certificate is another machine's");
    return log;
  } catch (cause) {
    throw new CostorError("peer-misbehaved", "a peer says hello without a certificate of its own", { cause });
  }
}

/** Of a member or guest. */
function mayBe({ certificate }: Log, { membership }: HelloComponents): boolean {
  const { role } = membership.roleOf(certificate.siteId);
  return role === "member" || role === "guest";
}

/** The certificate of the machine that has taken the place of one that was its site's: so it hears of it. */
function newerThan(log: Log, components: HelloComponents): { readonly newer?: Uint8Array } {
  const current = components.ledger.currentLog(log.certificate.siteId)?.log;
  return mayBe(log, components) && current !== undefined && current.id !== log.id ? { newer: current.bytes } : {};
}

/** One that would be its site's current machine, or is by a newer recovery key. */
function isNewMachine(log: Log, components: HelloComponents): boolean {
  const { ledger } = components;
  const { siteId, chain } = log.certificate;
  if (!mayBe(log, components)) return false;
  if (chain.length > ledger.recoveryKeys.chainOf(siteId).length) return true;
  if (ledger.log(log.id) !== undefined) return false;
  const current = ledger.currentLog(siteId)?.log;
  return current === undefined || compareLogs(log, current) < 0;
}

export interface HelloAnswer {
  readonly isKnown: boolean;
  /** Of the machine that acts as this one's site. */
  readonly newer: Log | undefined;
}

/**
 * Shows this machine's certificate; whether the other side knows it now. Throws `peer-misbehaved`, `bad-encoding`, `signature-invalid`,
 * `peer-unreachable`, and the signal's reason.
 */
export async function sayHello(channel: Channel, log: Log, signal?: AbortSignal): Promise<HelloAnswer> {
  try {
    await channel.send(encodeCbor({ certificate: log.bytes }));
    const frame = await channel.receive(signal);
    if (frame === undefined) throw new CostorError("peer-unreachable", "the other site says nothing");
    const { state, newer } = readMessage(answerSchema, frame, "a message of hello", "peer-misbehaved");
    await channel.close();
    const other = newer === undefined ? undefined : openLog(newer);
    const isOwn = other?.certificate.siteId === log.certificate.siteId && compareLogs(other, log) < 0;
    return { isKnown: state === "known", newer: isOwn ? other : undefined };
  } finally {
    channel.abort();
  }
}
