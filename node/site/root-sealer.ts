/** Seals the roots of snapshots to the site's read key, and opens them. HPKE is loaded with the first one. */
import { publicKeyOf } from "#protocol/raw-keys.ts";
import type { SiteIdentity, SiteSecrets } from "./identity.ts";
import type { RootSealer } from "./snapshot-registry.ts";

const loadSealing = () => import("#protocol/read-sealing.ts");

export function makeRootSealer(
  { siteId }: Pick<SiteIdentity, "siteId">,
  { readPrivateKey }: Pick<SiteSecrets, "readPrivateKey">,
): RootSealer {
  const readPublicKey = publicKeyOf("x25519", readPrivateKey);
  return {
    seal: async (plain, agent, snapshot) => {
      const { sealToReadKey, snapshotContext } = await loadSealing();
      return sealToReadKey(plain, readPublicKey, snapshotContext(siteId, agent, snapshot));
    },
    open: async (sealed, agent, snapshot) => {
      const { openWithReadKey, snapshotContext } = await loadSealing();
      return openWithReadKey(sealed, readPrivateKey, snapshotContext(siteId, agent, snapshot));
    },
  };
}
