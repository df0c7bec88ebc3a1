/**
 * What every site of a simulated federation knows from the start: the roster, who has let in the guests, all certificates. A
 * federation has limits for members; sites beyond them are guests. Nobody signs rosters that lead there: nothing looks back.
 */
import { signEntry } from "#ledger/entry.ts";
import { keepEntry, keepLog } from "#ledger/kept-ledger.ts";
import type { LedgerChange } from "#ledger/ledger-store.ts";
import { encodeRoster, encodeRosterBody, signRosterBody } from "#ledger/roster.ts";
import { entryOf } from "#ledger/statements.ts";
import { makeUuidV7, parseEntryId } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
import type { SeededRng } from "./seeded-rng.ts";
import type { SimIdentity } from "./sim-identity.ts";

export const ROSTER_KEY = "roster/0000000000000000";

export function makeGenesis(rng: SeededRng, identities: readonly SimIdentity[]): LedgerChange[] {
  const members = identities.slice(0, limits.rosterMembersCount);
  const guests = identities.slice(members.length);
  const body = encodeRosterBody({
    name: "simulated federation",
    salt: rng.bytes(16),
    number: 0,
    previous: null,
    members: members
      .map(({ siteId }) => ({ siteId, inviter: null }))
      .sort((one, other) => (one.siteId < other.siteId ? -1 : 1)),
    expelled: [],
  });
  const [founder] = members as [SimIdentity];
  const signature = { certificate: founder.log.bytes, signature: signRosterBody(body, founder.peerSeed) };
  const invitations = guests.map((guest, number): LedgerChange => {
    const { log, peerSeed } = members[number % members.length]!;
    const seq = Math.floor(number / members.length);
    const certificate = Buffer.from(guest.log.bytes);
    const said = entryOf([{ kind: "guest", site: guest.siteId, name: "", certificate }]);
    const id = parseEntryId(makeUuidV7(0, (bytes) => bytes.set(rng.bytes(16))));
    return keepEntry(log.id, seq, signEntry({ id, logId: log.id, seq, timeMs: 0, ...said }, peerSeed));
  });
  const roster = { key: ROSTER_KEY, value: encodeRoster(body, [signature]) };
  return [roster, ...identities.map(({ log }) => keepLog(log)), ...invitations];
}
