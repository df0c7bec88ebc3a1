/** What a kit says of the other sites: asked of the running site, since they change. */
import { base58btc } from "multiformats/bases/base58";
import { type PeerKey, parseFederationId } from "#protocol/ids.ts";
import { isCostorError } from "#protocol/errors.ts";
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
        addresses: member.addresses.map((address) =>
          member.peer === undefined ? address : `${address}/p2p/${peerIdText(member.peer)}`,
        ),
      })),
    };
  } catch (error) {
    if (isCostorError(error, "not-in-federation") || isCostorError(error, "site-unreachable")) return undefined;
    throw error;
  }
}

/** The multihash `identity` of the protobuf of an Ed25519 key, in base 58. */
export const peerIdText = (peer: PeerKey): string =>
  base58btc.baseEncode(Buffer.concat([Buffer.from("002408011220", "hex"), Buffer.from(peer, "hex")]));
