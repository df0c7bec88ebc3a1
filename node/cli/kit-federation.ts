/** What a kit says of the other sites: asked of the running site, since they change. */
import { base58btc } from "multiformats/bases/base58";
import { type PeerKey, parseFederationId, parsePeerKey } from "#protocol/ids.ts";
import { CostorError, isCostorError } from "#protocol/errors.ts";
import type { KitFederation } from "#protocol/kit.ts";
import { callOn } from "./site-access.ts";

/** Undefined in no federation, and while the site does not run. */
export async function kitFederationOf(data: string): Promise<KitFederation | undefined> {
  try {
    const { federationId, name } = await callOn(data, "federationStatus", {});
    const { members } = await callOn(data, "federationMembers", {});
    const others = members.filter(({ isThisSite, role }) => !isThisSite && role !== "expelled");
    return {
      federationId: parseFederationId(federationId),
      name,
      members: others.map((member) => ({
        name: member.name,
        addresses: member.addresses
          .filter(isDirect)
          .map((address) => (member.peer === undefined ? address : memberAddress(address, member.peer))),
      })),
    };
  } catch (error) {
    if (isCostorError(error, "not-in-federation") || isCostorError(error, "site-unreachable")) return undefined;
    throw error;
  }
}

/** A relay may be the very site that is gone. */
const isDirect = (address: string): boolean => !address.includes("/p2p-circuit");

/** The multihash `identity` of the protobuf of an Ed25519 key, in base 58. */
export const peerIdText = (peer: PeerKey): string =>
  base58btc.baseEncode(Buffer.concat([PEER_ID_HEAD, Buffer.from(peer, "hex")]));

/** Where a machine is, with who it has to be: {@link parseMemberAddress} reads it back. */
export function memberAddress(address: string, peer: PeerKey): string {
  const suffix = `/p2p/${peerIdText(peer)}`;
  return address.endsWith(suffix) ? address : address + suffix;
}

const PEER_ID_HEAD = Buffer.from("002408011220", "hex");

/** A multiaddr that ends in the machine's PeerId, as kits and `costor federation members --addresses` have it. Throws `bad-usage`. */
export function parseMemberAddress(text: string): { readonly peer: PeerKey; readonly address: string } {
  const at = text.lastIndexOf("/p2p/");
  try {
    if (at <= 0) throw new Error("no PeerId");
    const bytes = Buffer.from(base58btc.baseDecode(text.slice(at + "/p2p/".length)));
    if (!bytes.subarray(0, PEER_ID_HEAD.length).equals(PEER_ID_HEAD)) throw new Error("another kind of key");
    return { peer: parsePeerKey(bytes.subarray(PEER_ID_HEAD.length).toString("hex")), address: text.slice(0, at) };
  } catch (cause) {
    throw new CostorError(
      "bad-usage",
      `"${text}" is no address of another site's machine; one looks like /ip4/192.0.2.7/tcp/8444/p2p/12D3KooW…`,
      { cause },
    );
  }
}
