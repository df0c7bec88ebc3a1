/** A member of a federation of replicas whose kit is lost, and what is said of that. */
import { deriveRecoveryKey } from "#protocol/keys.ts";
import {
  type RecoveryLink,
  type RecoveryLinkFields,
  majorityLink,
  parseMajorityLink,
} from "#protocol/recovery-chain.ts";
import type { Replica } from "#test/support/replica.ts";

export const newKit = (number: number) => deriveRecoveryKey(Buffer.alloc(32, 100 + number));

/** A link that a site asks for. */
export const linkOf = (asker: Replica, kit = 1, changes: Partial<RecoveryLinkFields> = {}): RecoveryLink =>
  parseMajorityLink(
    majorityLink({
      ...{ siteId: asker.siteId, number: 2, key: newKit(kit).publicKey, logs: [asker.author.log.id] },
      ...changes,
    }),
  );

export const ask = (asker: Replica, link: RecoveryLink): Promise<Uint8Array> =>
  asker.own.write({ kind: "kit-request", link: Buffer.from(link.bytes) });

export const approve = (approver: Replica, link: RecoveryLink): Promise<Uint8Array> =>
  approver.own.write({ kind: "kit-approval", site: link.siteId, link: Buffer.from(link.hash, "hex") });
