/**
 * What every site of a simulated federation knows from the start: the rosters, who has let in the guests, all certificates. A
 * small federation has grown site by site, as each has to; a large one has a single roster that names all whom a roster may, and
 * the others are guests: nobody joins it later, so nobody looks back.
 */
import { signEntry } from "#ledger/entry.ts";
import { keepEntry, keepLog } from "#ledger/kept-ledger.ts";
import type { LedgerChange } from "#ledger/ledger-store.ts";
import { type RosterFields, encodeRoster, encodeRosterBody, parseRosterBody, signRosterBody } from "#ledger/roster.ts";
import { applyChange, majorityOf } from "#ledger/roster-chain.ts";
import { entryOf } from "#ledger/statements.ts";
import { assertInvariant } from "#protocol/errors.ts";
import { makeUuidV7, parseEntryId } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
import type { SeededRng } from "./seeded-rng.ts";
import type { SimIdentity } from "./sim-identity.ts";

export const ROSTER_KEY = "roster/0000000000000000";
/** Larger ones nobody joins. */
export const MOST_GROWN_COUNT = 16;

export function makeGenesis(rng: SeededRng, identities: readonly SimIdentity[]): LedgerChange[] {
  const members = identities.slice(0, limits.rosterMembersCount);
  const guests = identities.slice(members.length);
  const salt = rng.bytes(16);
  const isGrown = members.length <= MOST_GROWN_COUNT;
  const rosters = isGrown ? grow(salt, members) : [signed(founding(salt, members), members.slice(0, 1))];
  const invitations = guests.map((guest, number): LedgerChange => {
    const { log, peerSeed } = members[number % members.length]!;
    const seq = Math.floor(number / members.length);
    const certificate = Buffer.from(guest.log.bytes);
    const said = entryOf([{ kind: "guest", site: guest.siteId, name: "", certificate }]);
    const id = parseEntryId(makeUuidV7(0, (bytes) => bytes.set(rng.bytes(16))));
    return keepEntry(log.id, seq, signEntry({ id, logId: log.id, seq, timeMs: 0, ...said }, peerSeed));
  });
  return [
    ...rosters.map((value, number) => ({ key: `roster/${String(number).padStart(16, "0")}`, value })),
    ...identities.map(({ log }) => keepLog(log)),
    ...invitations,
  ];
}

const bySite = (one: SimIdentity, other: SimIdentity): number => (one.siteId < other.siteId ? -1 : 1);

const founding = (salt: Buffer, members: readonly SimIdentity[]): RosterFields => ({
  ...{ name: "simulated federation", salt, number: 0, previous: null, expelled: [] },
  members: members.toSorted(bySite).map(({ siteId }) => ({ siteId, inviter: null })),
});

/** One after the other is admitted by more than half of those before. */
function grow(salt: Buffer, members: readonly SimIdentity[]): Uint8Array[] {
  let fields = founding(salt, members.slice(0, 1));
  const rosters = [signed(fields, members.slice(0, 1))];
  for (const [number, { siteId }] of members.entries()) {
    if (number === 0) continue;
    const signers = members.slice(0, majorityOf(fields.members.length)).toSorted(bySite);
    const { hash } = parseRosterBody(encodeRosterBody(fields));
    const next = applyChange({ ...fields, hash }, { action: "admit", siteId, inviter: members[0]!.siteId });
    assertInvariant(next !== undefined, "a site that is no member can be admitted", { siteId });
    fields = next;
    rosters.push(signed(fields, signers));
  }
  return rosters;
}

function signed(fields: RosterFields, signers: readonly SimIdentity[]): Uint8Array {
  const body = encodeRosterBody(fields);
  const signatures = signers.map(({ log, peerSeed }) => ({
    certificate: log.bytes,
    signature: signRosterBody(body, peerSeed),
  }));
  return encodeRoster(body, signatures);
}
