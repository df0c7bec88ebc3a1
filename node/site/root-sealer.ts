/** Seals the roots of snapshots to the site's read key, and opens them. HPKE is loaded with the first one. */
import { publicKeyOf } from "#protocol/raw-keys.ts";
import type { SiteIdentity, SiteSecrets } from "./identity.ts";
import type { RootSealer } from "./snapshot-registry.ts";

/** Private keys that open what was sealed to the site: what is sealed does not say to which. */
export const readKeysOf = ({
  readPrivateKey,
  formerReadKeys = [],
}: Pick<SiteSecrets, "readPrivateKey" | "formerReadKeys">): Uint8Array[] => [
  readPrivateKey,
  ...formerReadKeys.map(({ privateKey }) => privateKey),
];

const loadSealing = () => import("#protocol/read-sealing.ts");

export function makeRootSealer(
  { siteId }: Pick<SiteIdentity, "siteId">,
  { readPrivateKey, formerReadKeys }: Pick<SiteSecrets, "readPrivateKey" | "formerReadKeys">,
): RootSealer {
  const readKeys = readKeysOf({ readPrivateKey, formerReadKeys });
  const readPublicKey = publicKeyOf("x25519", readPrivateKey);
  return {
    seal: async (plain, agent, snapshot) => {
      const { sealToReadKey, snapshotContext } = await loadSealing();
      return sealToReadKey(plain, readPublicKey, snapshotContext(siteId, agent, snapshot));
    },
    open: async (sealed, agent, snapshot) => {
      const { openWithAnyKey, snapshotContext } = await loadSealing();
      return openWithAnyKey(sealed, readKeys, snapshotContext(siteId, agent, snapshot));
    },
  };
}
