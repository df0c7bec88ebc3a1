/**
 * Makes a machine that has a site's recovery kit the one that acts as that site: asks members which machines did so before, signs the
 * certificate of the next epoch, makes itself known by it, and takes over the ledger. docs/specs/membership.md, "A new machine"
 *
 * What is written is the ledger and the rosters, which are the same for everybody; a machine that is stopped anywhere begins again with
 * another key.
 */
import { createHash } from "node:crypto";
import type { Clock } from "#ledger/clock.ts";
import { type Log, openLog, parseEntry } from "#ledger/entry.ts";
import { helloProtocol, sayHello } from "#ledger/hello.ts";
import { Ledger } from "#ledger/ledger.ts";
import { Membership } from "#ledger/membership.ts";
import type { Channel, Protocol } from "#ledger/peers.ts";
import { type RecoverAnswer, askLost, askRecover, recoverProtocol } from "#ledger/recover.ts";
import { noteLoss } from "#ledger/own-log.ts";
import { pullFrom } from "#ledger/sync-pull.ts";
import { ledgerProtocol } from "#ledger/sync.ts";
import { LedgerFacts } from "#node/site/ledger-facts.ts";
import type { PrimeStore } from "#node/store/prime-store.ts";
import { signEpochCertificate } from "#protocol/epoch-certificate.ts";
import { CostorError, isCostorError } from "#protocol/errors.ts";
import type { FederationId, PeerKey, SiteId } from "#protocol/ids.ts";
import type { RecoveryKey } from "#protocol/keys.ts";
import { publicKeyOf } from "#protocol/raw-keys.ts";
import { InviterAddress } from "./inviter-address.ts";
import type { Doorkeeper, Transport } from "./transport.ts";

export interface EpochComponents {
  readonly store: PrimeStore;
  readonly clock: Pick<Clock, "sleep">;
  /** One that only dials, with the peer seed of the init; it is the caller's to end. */
  readonly makeTransport: (doorkeeper: Doorkeeper) => Promise<Transport>;
  /** What becomes of each member that is asked. */
  readonly onAsked: (member: MemberAddress, error: unknown) => void;
}

/** Where another site's machine may be. */
export interface MemberAddress {
  readonly peer: PeerKey;
  readonly addresses: readonly string[];
}

export interface EpochInit {
  readonly recovery: RecoveryKey;
  /** Of this machine, new. */
  readonly peerSeed: Uint8Array;
  readonly members: readonly MemberAddress[];
  /** As the kit says; undefined for the first that answers. */
  readonly federationId?: FederationId | undefined;
  readonly signal: AbortSignal;
}

export interface OpenedEpoch {
  readonly log: Log;
  readonly ledger: Ledger;
}

/** Others may be starting just now, as after a power cut of a whole town. */
const ASK_AGAIN_MS = 5_000;
const ROUNDS_COUNT = 4;

/**
 * Resolves when a member knows this machine and its ledger is here. Throws `peer-unreachable` when nobody is reached, `peer-refused`,
 * `site-superseded` when another machine takes the site's place at the same time, and the signal's reason.
 */
export async function openEpoch(components: EpochComponents, init: EpochInit): Promise<OpenedEpoch> {
  const { recovery, peerSeed } = init;
  const known: Known = {};
  const transport = await startTransport(components, init, known);
  const answers = await askMembers(
    components,
    { ...init, ask: (channel) => askRecover(channel, { recovery, self: transport.self, signal: init.signal }) },
    transport,
  );
  const [{ siteId }] = [...answers.values()] as [RecoverAnswer];
  const { membership, ledger } = await openReplica(components, siteId, known);
  await takeOver(answers, { membership, ledger });
  const former = newestOf(answers, ledger, siteId);
  const certificate = signEpochCertificate(
    {
      siteId,
      peerPublicKey: publicKeyOf("ed25519", peerSeed),
      epoch: (former?.log.certificate.epoch ?? 0) + 1,
      previousHead: former?.head ?? null,
    },
    recovery.seed,
    longestChain(answers),
  );
  const log = openLog(certificate);
  await ledger.offer({ certificates: [certificate] });
  await makeKnown({ transport, ledger, membership }, { ...init, log, helpers: [...answers.keys()], components });
  await keepHelper(components, answers);
  return { log, ledger };
}

export interface LostLedgerInit extends Pick<EpochInit, "members" | "signal"> {
  /** Of this machine, which is the site still. */
  readonly log: Log;
  readonly federationId: FederationId;
}

/**
 * The same for the machine that is the site, and whose store was lost: it signs no certificate. Throws as {@link openEpoch}.
 */
export async function reopenEpoch(components: EpochComponents, init: LostLedgerInit): Promise<Ledger> {
  const { log, signal } = init;
  const known: Known = {};
  const transport = await startTransport(components, init, known);
  const answers = await askMembers(
    components,
    { ...init, ask: (channel) => askLost(channel, { log, signal }) },
    transport,
  );
  // Before anything says that the site is in a federation: it must not sign as if nothing had been.
  await noteLoss(new LedgerFacts(components), log);
  const { membership, ledger } = await openReplica(components, log.certificate.siteId, known);
  await takeOver(answers, { membership, ledger });
  await makeKnown({ transport, ledger, membership }, { ...init, helpers: [...answers.keys()], components });
  await keepHelper(components, answers);
  return ledger;
}

interface Known {
  membership?: Membership;
}

async function startTransport(
  { makeTransport }: Pick<EpochComponents, "makeTransport">,
  { members }: Pick<EpochInit, "members">,
  known: Known,
): Promise<Transport> {
  const transport = await makeTransport({
    mayConnect: (peer) => known.membership?.peerMayConnect(peer) ?? false,
    members: () => [],
    strangerProtocols: () => [],
    addressesOf: (peer) => members.find((member) => member.peer === peer)?.addresses ?? [],
    announcedAddresses: () => [],
  });
  await transport.start();
  return transport;
}

async function openReplica(
  { store }: Pick<EpochComponents, "store">,
  siteId: SiteId,
  known: Known,
): Promise<{ readonly membership: Membership; readonly ledger: Ledger }> {
  const ledgerStore = new LedgerFacts({ store });
  const membership = (known.membership = await Membership.open({ store: ledgerStore }, { siteId }));
  return { membership, ledger: await Ledger.open({ store: ledgerStore, speakers: membership }) };
}

async function keepHelper({ store }: Pick<EpochComponents, "store">, answers: Answers): Promise<void> {
  const inviter = await InviterAddress.open(store);
  const [helper] = answers.keys();
  await inviter.keep({ peer: helper!.peer, addresses: [...helper!.addresses] });
}

type Answers = ReadonlyMap<MemberAddress, RecoverAnswer>;

interface AskInit extends Pick<EpochInit, "members" | "federationId" | "signal"> {
  readonly ask: (channel: Channel) => Promise<RecoverAnswer>;
}

/** All that answer in the first round in which anybody does. */
async function askMembers(
  { clock, onAsked }: EpochComponents,
  { ask, members, federationId, signal }: AskInit,
  transport: Transport,
): Promise<Answers> {
  let failure: unknown;
  for (let round = 0; round < ROUNDS_COUNT; round++) {
    if (round > 0) await clock.sleep(ASK_AGAIN_MS, signal);
    const answers = new Map<MemberAddress, RecoverAnswer>();
    for (const member of members) {
      signal.throwIfAborted();
      try {
        const channel = await transport.dialStranger(member.peer, member.addresses, recoverProtocol, signal);
        const answer = await ask(channel);
        const [first = answer] = answers.values();
        if (answer.federationId !== (federationId ?? first.federationId) || answer.siteId !== first.siteId)
          throw new CostorError("peer-refused", "this site is in another federation than the kit");
        answers.set(member, answer);
        onAsked(member, undefined);
      } catch (error) {
        signal.throwIfAborted();
        if (!isCostorError(error)) throw error;
        failure = error;
        onAsked(member, error);
      }
    }
    if (answers.size > 0) return answers;
    if (isCostorError(failure, "peer-refused")) throw failure;
  }
  throw new CostorError("peer-unreachable", "none of the other sites answers", { cause: failure });
}

/** Who is there, and which machines were this site before. */
async function takeOver(
  answers: Answers,
  { membership, ledger }: { readonly membership: Membership; readonly ledger: Ledger },
): Promise<void> {
  for (const { rosters, federationId, helper, logs } of answers.values()) {
    if (membership.roster === undefined) await membership.enter(rosters, federationId);
    await ledger.offer({ certificates: [helper.bytes, ...logs.map(({ bytes }) => bytes)] });
  }
}

const longestChain = (answers: Answers): readonly Uint8Array[] =>
  [...answers.values()].map(({ chain }) => chain).reduce((one, other) => (other.length > one.length ? other : one));

/** The newest of the site's machines that anybody knows, and the hash of its newest entry. */
function newestOf(
  answers: Answers,
  ledger: Ledger,
  siteId: Log["certificate"]["siteId"],
): { readonly log: Log; readonly head: Uint8Array | null } | undefined {
  const log = ledger.currentLog(siteId)?.log;
  if (log === undefined) return undefined;
  const heads = [...answers.values()].flatMap(({ logs, head }) =>
    logs[0]?.id === log.id && head !== null ? [parseEntry(head)] : [],
  );
  const newest = heads.sort((one, other) => other.seq - one.seq)[0];
  return { log, head: newest === undefined ? null : createHash("sha256").update(newest.body).digest() };
}

async function makeKnown(
  {
    transport,
    ledger,
    membership,
  }: { readonly transport: Transport; readonly ledger: Ledger; readonly membership: Membership },
  init: Pick<EpochInit, "signal"> & {
    readonly log: Log;
    readonly helpers: readonly MemberAddress[];
    readonly components: Pick<EpochComponents, "onAsked">;
  },
): Promise<void> {
  const { log, helpers, signal, components } = init;
  const open = ({ peer, addresses }: MemberAddress, protocol: Protocol): Promise<Channel> =>
    membership.peerMayConnect(peer)
      ? transport.open(peer, protocol, signal)
      : transport.dialStranger(peer, addresses, protocol, signal);
  let pulledCount = 0;
  let failure: unknown;
  for (const helper of helpers) {
    try {
      const { isKnown, newer } = await sayHello(await open(helper, helloProtocol), log, signal);
      if (newer !== undefined || !isKnown)
        throw new CostorError("site-superseded", "another machine has taken the site's place at this moment");
      transport.membershipChanged();
      await pullFrom(await open(helper, ledgerProtocol), { ledger, membership }, signal);
      pulledCount++;
    } catch (error) {
      signal.throwIfAborted();
      if (!isCostorError(error) || isCostorError(error, "site-superseded")) throw error;
      failure = error;
      components.onAsked(helper, error);
    }
  }
  if (pulledCount === 0)
    throw new CostorError("peer-unreachable", "no other site gives its ledger", { cause: failure });
  if (ledger.currentLog(log.certificate.siteId)?.log.id !== log.id)
    throw new CostorError("site-superseded", "another machine has taken the site's place at this moment");
}
