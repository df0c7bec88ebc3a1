/**
 * What a person does with the kit on a site's new machine, as node/federation/epoch-opening.ts does it: where others are is told with it, and
 * it is not the site before one of them knows it and has given its ledger.
 */
import { Deadline } from "#ledger/deadline.ts";
import type { Log } from "#ledger/entry.ts";
import { helloProtocol, sayHello } from "#ledger/hello.ts";
import { Ledger } from "#ledger/ledger.ts";
import { Membership, peerKeyOf } from "#ledger/membership.ts";
import { pullFrom } from "#ledger/sync-pull.ts";
import { ledgerProtocol } from "#ledger/sync.ts";
import type { Transport } from "#node/federation/transport.ts";
import { LedgerFacts } from "#node/site/ledger-facts.ts";
import { CostorError, isCostorError } from "#protocol/errors.ts";
import type { Machine } from "./site-program.ts";

/** Until people try it again: more and more seldom, since a site that was expelled meanwhile tries it for ever. */
const LEAST_AGAIN_MS = 60_000;
const MOST_AGAIN_MS = 60 * 60_000;
const AGAIN_GROWTH = 1.5;
/** Then they give one up that does not come to an end. */
const MOST_MS = 10 * 60_000;
const DONE = { kind: "recovered", key: "" } as const;

/** Resolves when the machine may be its site. */
export async function recoverByKit(machine: Machine): Promise<void> {
  const { store, clock, identity, makeTransport, others } = machine;
  if (identity.epoch === 1 || (await store.fact(DONE.kind, DONE.key)) !== undefined) return;
  const ledgerStore = new LedgerFacts({ store });
  const membership = await Membership.open({ store: ledgerStore }, { siteId: identity.siteId });
  const ledger = await Ledger.open({ store: ledgerStore, speakers: membership });
  const transport = makeTransport({
    mayConnect: (peer) => membership.peerMayConnect(peer),
    members: () => [],
    strangerProtocols: () => [],
    addressesOf: () => [],
    announcedAddresses: () => [],
  });
  await transport.start();
  const isHelpedByAny = async (): Promise<boolean> => {
    let isHelped = false;
    for (const other of others())
      isHelped = (await isHelpedBy(other, { clock, ledger, membership, transport }, identity.log)) || isHelped;
    return isHelped;
  };
  for (
    let againMs = LEAST_AGAIN_MS;
    !(await isHelpedByAny());
    againMs = Math.min(AGAIN_GROWTH * againMs, MOST_AGAIN_MS)
  )
    await clock.sleep(againMs);
  await store.appendFacts([{ ...DONE, value: Buffer.alloc(0) }]);
}

interface Replica {
  readonly clock: Machine["clock"];
  readonly ledger: Ledger;
  readonly membership: Membership;
  readonly transport: Transport;
}

async function isHelpedBy(other: Log, { clock, ledger, membership, transport }: Replica, own: Log): Promise<boolean> {
  const peer = peerKeyOf(other);
  const reason = (): Error => new CostorError("peer-unreachable", "it does not come to an end");
  using attempt = new Deadline({ clock }, { afterMs: MOST_MS, reason });
  const { signal } = attempt;
  try {
    await ledger.offer({ certificates: [own.bytes, other.bytes] });
    const { isKnown } = await sayHello(await transport.dialStranger(peer, [], helloProtocol, signal), own, signal);
    if (!isKnown) return false;
    transport.membershipChanged();
    await pullFrom(await transport.open(peer, ledgerProtocol, signal), { ledger, membership }, signal);
    return true;
  } catch (error) {
    if (!isCostorError(error) || error.code === "internal") throw error;
    return false;
  }
}
