/**
 * How a machine that has nothing but a site's recovery kit learns from another site what it needs to act as that site: which machines did so
 * before, and the rosters. One question and one answer over a channel of `/costor/recover/1`. docs/specs/membership.md, "A new machine"
 *
 * The question is signed by the recovery key for these two machines. The machine believes nothing but what its own recovery key has signed; a
 * site that lies can withhold, and make it think that there were fewer machines before it, which it then hears from the others.
 */
import * as v from "valibot";
import { type CborValue, encodeCbor } from "#protocol/cbor.ts";
import { CostorError } from "#protocol/errors.ts";
import { type FederationId, type PeerKey, type SiteId, parseFederationId, parseSiteId } from "#protocol/ids.ts";
import type { RecoveryKey } from "#protocol/keys.ts";
import { limits } from "#protocol/limits.ts";
import { parseRecoveryChain } from "#protocol/recovery-chain.ts";
import { signEd25519, verifyEd25519 } from "#protocol/raw-keys.ts";
import { type Log, openLog, parseEntry, verifyEntry } from "./entry.ts";
import type { Ledger } from "./ledger.ts";
import { type Membership, checkedChain, peerKeyOf } from "./membership.ts";
import { bytes, bytesOf, idOf, readMessage } from "./message-schema.ts";
import type { Channel, Protocol } from "./peers.ts";
import { isKeyAfter, isProven } from "./recovery-keys.ts";
import { receiveChain } from "./received-chain.ts";
import { parseRoster } from "./roster.ts";

export const recoverProtocol: Protocol = {
  name: "/costor/recover/1",
  maxFrameBytes: limits.rosterBytes + 8 * 1024,
  maxChannelsPerPeerCount: 1,
};

export interface RecoverComponents {
  readonly membership: Pick<Membership, "sites" | "rosters" | "roster" | "siteOfPeer">;
  readonly ledger: Pick<Ledger, "logsOf" | "keptEntry" | "recoveryKeys">;
  /** Asked before a signature is verified; what it throws ends it. */
  readonly listen?: () => void;
  /** This site's own. */
  readonly log: Log;
}

const DOMAIN = Buffer.from("costor/v1/recover\0");
const LOGS_COUNT = 16;

const requestSchema = v.union([
  v.strictObject({ key: bytesOf(32), signature: bytesOf(64) }),
  v.strictObject({ lost: v.literal(true) }),
]);
const answerSchema = v.object({
  state: v.picklist(["known", "refused"]),
  certificate: v.optional(bytes),
  site: v.optional(idOf(parseSiteId)),
  chain: v.optional(v.pipe(v.array(bytes), v.maxLength(limits.recoveryKeysCount))),
  logs: v.optional(v.pipe(v.array(bytes), v.maxLength(LOGS_COUNT))),
  head: v.optional(v.nullable(bytes)),
});

const signedBytes = (asker: PeerKey, asked: PeerKey): Buffer =>
  Buffer.concat([DOMAIN, Buffer.from(asker, "hex"), Buffer.from(asked, "hex")]);

/** Answers one question. Throws `peer-misbehaved` for what no kit says, and `peer-unreachable`. */
export async function answerRecover(channel: Channel, components: RecoverComponents): Promise<void> {
  const frame = await channel.receive();
  if (frame === undefined) return channel.close();
  const siteId = askingSite(frame, channel, components);
  const { membership, ledger, log } = components;
  if (membership.roster === undefined || siteId === undefined) {
    await channel.send(encodeCbor({ state: "refused" }));
    return channel.close();
  }
  const { logs, head } = await machinesOf(siteId, components);
  const chain = ledger.recoveryKeys.chainOf(siteId).map((link) => link.bytes);
  const site = Buffer.from(siteId, "hex");
  await channel.send(encodeCbor({ state: "known", certificate: log.bytes, site, chain, logs, head: head ?? null }));
  for await (const roster of membership.rosters()) await channel.send(roster);
  await channel.close();
}

/** The member or guest whose recovery key it is, or whose machine asks for what it has lost. */
function askingSite(
  frame: Uint8Array,
  { peer }: Channel,
  { log, membership, ledger, listen }: RecoverComponents,
): SiteId | undefined {
  if (frame.length > limits.helloFrameBytes)
    throw new CostorError("peer-misbehaved", `a machine asks in at most ${limits.helloFrameBytes} bytes`);
  const request = readMessage(requestSchema, frame, "a question for recovery", "peer-misbehaved");
  if (!("key" in request)) return membership.siteOfPeer(peer);
  const { key, signature } = request;
  const siteId = membership.sites().find((site) => ledger.recoveryKeys.isNewest(site, key));
  if (siteId === undefined) return undefined;
  listen?.();
  if (!verifyEd25519(key, signedBytes(peer, peerKeyOf(log)), signature))
    throw new CostorError("peer-misbehaved", "a machine asks for recovery without a recovery key");
  return siteId;
}

/** The newest logs, the newest first, and the newest entry of the first that has one. */
async function machinesOf(
  siteId: SiteId,
  { ledger }: RecoverComponents,
): Promise<{ logs: CborValue[]; head: Uint8Array | undefined }> {
  const states = ledger.logsOf(siteId).slice(0, LOGS_COUNT);
  const [newest] = states;
  const head = newest?.lastSeq === undefined ? undefined : await ledger.keptEntry(newest.log.id, newest.lastSeq);
  return { logs: states.map(({ log }) => log.bytes), head };
}

export interface RecoverAnswer {
  /** Of the site that was asked. */
  readonly helper: Log;
  readonly siteId: SiteId;
  /** From the site's first recovery key to this one; empty for the first. */
  readonly chain: readonly Uint8Array[];
  /** Of this machine's site, the newest first. */
  readonly logs: readonly Log[];
  /** The newest entry of the newest log, as far as that site knows: for the next certificate. */
  readonly head: Uint8Array | null;
  readonly federationId: FederationId;
  /** The whole chain, checked, for {@link Membership.enter}. */
  readonly rosters: readonly Uint8Array[];
}

export interface AskRecoverInit {
  readonly recovery: RecoveryKey;
  /** This machine. */
  readonly self: PeerKey;
  readonly signal?: AbortSignal;
}

/**
 * Asks one site. Throws `peer-refused` when it does not know this machine's site, `peer-misbehaved` for what cannot be, `peer-unreachable`,
 * and the signal's reason.
 */
export async function askRecover(channel: Channel, init: AskRecoverInit): Promise<RecoverAnswer> {
  const { recovery, self, signal } = init;
  try {
    const signature = signEd25519(recovery.seed, signedBytes(self, channel.peer));
    return await ask(channel, encodeCbor({ key: recovery.publicKey, signature }), recovery.publicKey, signal);
  } catch (error) {
    channel.abort();
    throw error;
  }
}

/** For the machine that is the site still, and has lost what it knew. `log` is its own. Throws as {@link askRecover}. */
export async function askLost(
  channel: Channel,
  { log, signal }: { readonly log: Log; readonly signal?: AbortSignal },
): Promise<RecoverAnswer> {
  try {
    const answer = await ask(channel, encodeCbor({ lost: true }), log.certificate.recoveryKey, signal);
    if (answer.siteId === log.certificate.siteId) return answer;
    throw new CostorError("peer-misbehaved", "the other site takes this one for another");
  } catch (error) {
    channel.abort();
    throw error;
  }
}

async function ask(
  channel: Channel,
  request: Uint8Array,
  key: Uint8Array,
  signal: AbortSignal | undefined,
): Promise<RecoverAnswer> {
  await channel.send(request);
  const answer = readAnswer(await receiveChain(channel, signal), channel, key);
  await channel.close();
  return answer;
}

function readAnswer([first, ...rosters]: readonly Uint8Array[], { peer }: Channel, key: Uint8Array): RecoverAnswer {
  if (first === undefined) throw new CostorError("peer-unreachable", "the other site says nothing");
  const {
    state,
    certificate,
    site: siteId,
    chain = [],
    logs: certificates,
    head = null,
  } = readMessage(answerSchema, first, "an answer for recovery", "peer-misbehaved");
  if (state === "refused")
    throw new CostorError("peer-refused", "the other site knows no site with this recovery kit in its federation");
  try {
    if (certificate === undefined || siteId === undefined || certificates === undefined || rosters[0] === undefined)
      throw new CostorError("bad-encoding", "a part of the answer is missing");
    const links = parseRecoveryChain(chain, siteId);
    if (!isKeyAfter(links, siteId, key))
      throw new CostorError("signature-invalid", "the recovery key is another site's");
    const helper = openLog(certificate);
    const logs = certificates.map(openLog);
    if (peerKeyOf(helper) !== peer || logs.some((log) => log.certificate.siteId !== siteId))
      throw new CostorError("signature-invalid", "the certificates are others'");
    if (head !== null && logs[0] !== undefined) verifyEntry(parseEntry(head), logs[0]);
    const federationId = parseFederationId(parseRoster(rosters[0]).hash);
    const agreed = checkedChain(rosters, federationId).flatMap(({ rekey }) => rekey ?? []);
    if (!isProven(links, agreed))
      throw new CostorError("signature-invalid", "members have not agreed on the recovery key");
    return { helper, siteId, chain, logs, head: logs[0] === undefined ? null : head, federationId, rosters };
  } catch (cause) {
    throw new CostorError("peer-misbehaved", "the other site answers what cannot be", { cause });
  }
}
