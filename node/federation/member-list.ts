/** Who is in the federation, and who was taken out, as people see it. */
import { isNoted } from "#ledger/membership-steps.ts";
import type { Member } from "./federation-control.ts";
import type { Federation } from "./federation.ts";

export function memberList(federation: Federation): Member[] {
  const { ledger, membership, transport, profiles, wishes, guests } = federation.parts;
  const connected = new Set(transport.connected());
  const { expelled = [] } = membership.roster ?? {};
  return [...membership.sites(), ...expelled.map(({ siteId }) => siteId)].map((site): Member => {
    const role = membership.roleOf(site);
    const peer = membership.peerOf(site);
    const profile = profiles.of(site);
    const wish = wishes.of(site);
    const isOpen = wish !== undefined && !isNoted(wish, { hasRoster: (hash) => membership.hasRoster(hash) });
    return {
      site,
      name: profile?.name ?? guests.invitedNameOf(site) ?? "",
      role: role.role === "none" ? "expelled" : role.role,
      ...("inviter" in role && role.inviter !== null ? { inviter: role.inviter } : {}),
      isThisSite: site === federation.siteId,
      isConnected: peer !== undefined && connected.has(peer),
      place: profile?.domain ?? "",
      addresses: profile?.addresses ?? [],
      kitNumber: ledger.recoveryKeys.chainOf(site).length + 1,
      ...(peer === undefined ? {} : { peer }),
      ...(isOpen ? { wish: wish.action } : {}),
    };
  });
}
