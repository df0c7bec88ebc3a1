/** Other sites that a machine asks which has nothing but a kit, and what people are told of them. */
import type { MemberAddress } from "#node/federation/epoch-opening.ts";
import { isCostorError } from "#protocol/errors.ts";
import type { PeerKey } from "#protocol/ids.ts";
import { parseMemberAddress } from "./kit-federation.ts";
import type { GivenKit } from "./kit-input.ts";
import { ask } from "./question.ts";

export interface GivenMembers {
  /** Multiaddrs of other sites' machines with their PeerIds. */
  readonly member?: readonly string[];
}

export interface WantedMembers extends GivenMembers {
  readonly kit: Pick<GivenKit, "federation">;
  /** As this machine knows them. */
  readonly known?: readonly MemberAddress[];
}

/**
 * Does what needs other sites: those that are given, those of the kit, then those that are known. Where there are none, whoever is at the terminal is asked for an
 * address, as it stands on the printed page, and for another one as long as nobody answers. Throws `bad-usage` where there is nobody to ask.
 */
export async function withMembers<Done>(
  { member = [], kit, known = [] }: WantedMembers,
  act: (members: readonly MemberAddress[]) => Promise<Done>,
): Promise<Done> {
  const ofKit = kit.federation?.members.flatMap(({ addresses }) => addresses.filter(hasPeerId)) ?? [];
  const texts = [...member, ...ofKit];
  if (texts.length > 0 || known.length > 0) return act(byMachine(texts.map(parseMemberAddress), known));
  for (;;) {
    try {
      return await act(byMachine([await askAddress()], []));
    } catch (error) {
      if (!isCostorError(error, "peer-unreachable")) throw error;
      process.stderr.write(`${error.message}: compare it with the page, or take another one.\n`);
    }
  }
}

const NONE_KNOWN =
  "no other site is known: the kit names none, so give one with --member; there, costor federation members --addresses shows it";

async function askAddress(): Promise<ReturnType<typeof parseMemberAddress>> {
  for (;;) {
    const typed = await ask("Address of another site, as on the page (/ip4/… or /dns4/…): ", NONE_KNOWN);
    try {
      return parseMemberAddress(typed.replaceAll(/\s/g, ""));
    } catch (error) {
      if (!isCostorError(error, "bad-usage")) throw error;
      process.stderr.write(`  ${error.message}\n`);
    }
  }
}

/** One machine may have several addresses. */
function byMachine(
  texts: readonly ReturnType<typeof parseMemberAddress>[],
  known: readonly MemberAddress[],
): MemberAddress[] {
  const byPeer = new Map<PeerKey, string[]>();
  for (const { peer, address } of texts) byPeer.set(peer, [...(byPeer.get(peer) ?? []), address]);
  for (const { peer, addresses } of known) byPeer.set(peer, [...(byPeer.get(peer) ?? []), ...addresses]);
  return [...byPeer].map(([peer, addresses]) => ({ peer, addresses: [...new Set(addresses)] }));
}

const hasPeerId = (address: string): boolean => address.includes("/p2p/");

export function tellAsked({ addresses }: MemberAddress, error: unknown): void {
  const text = isCostorError(error) ? `does not help: ${error.message}` : "knows this one.";
  process.stderr.write(`The site at ${addresses.join(", ")} ${text}\n`);
}
