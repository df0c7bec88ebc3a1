/** Other sites that a machine asks which has nothing but a kit, and what people are told of them. */
import type { MemberAddress } from "#node/federation/epoch-opening.ts";
import { CostorError, isCostorError } from "#protocol/errors.ts";
import type { PeerKey } from "#protocol/ids.ts";
import { parseMemberAddress } from "./kit-federation.ts";
import type { GivenKit } from "./kit-input.ts";

export interface GivenMembers {
  /** Multiaddrs of other sites' machines with their PeerIds. */
  readonly member?: readonly string[];
}

/** Those that are given, those of the kit, then those that are `known`; one machine may have several addresses. Throws `bad-usage`. */
export function membersOf(
  kit: Pick<GivenKit, "federation">,
  given: readonly string[],
  known: readonly MemberAddress[] = [],
): MemberAddress[] {
  const texts = [...given, ...(kit.federation?.members.flatMap(({ addresses }) => addresses.filter(hasPeerId)) ?? [])];
  const byPeer = new Map<PeerKey, string[]>();
  for (const { peer, address } of texts.map(parseMemberAddress))
    byPeer.set(peer, [...(byPeer.get(peer) ?? []), address]);
  for (const { peer, addresses } of known) byPeer.set(peer, [...(byPeer.get(peer) ?? []), ...addresses]);
  if (byPeer.size === 0)
    throw new CostorError(
      "bad-usage",
      "no other site is known: the kit names none, so give one with --member; there, costor federation members --addresses shows it",
    );
  return [...byPeer].map(([peer, addresses]) => ({ peer, addresses: [...new Set(addresses)] }));
}

const hasPeerId = (address: string): boolean => address.includes("/p2p/");

export function tellAsked({ addresses }: MemberAddress, error: unknown): void {
  const text = isCostorError(error) ? `does not help: ${error.message}` : "knows this one.";
  process.stderr.write(`The site at ${addresses.join(", ")} ${text}\n`);
}
