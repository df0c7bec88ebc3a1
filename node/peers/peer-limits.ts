/** The limits of the transport, so that a test can ask for smaller ones. */
import { limits } from "#protocol/limits.ts";

type LimitName = Extract<keyof typeof limits, `peer${string}` | `gossip${string}`>;
export type PeerLimits = { readonly [Name in LimitName]: number };

export const peerLimits = (changed: Partial<PeerLimits> = {}): PeerLimits => ({ ...limits, ...changed });
