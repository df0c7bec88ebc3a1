/** This site's own backups, as its recovery kit opens them at any other site: by what the ledger has under seal, and the other sites' copies alone. */
import { RemoteRestore, type RemoteRestoreComponents, type RemoteRestoreInit } from "#node/rescue/remote-restore.ts";
import type { RescuedSite } from "#node/rescue/rescued-site.ts";

/** Throws as {@link RemoteRestore.open}. */
export const openKitRestore = (
  components: Omit<RemoteRestoreComponents, "store" | "entries">,
  init: RemoteRestoreInit,
): Promise<RescuedSite> => RemoteRestore.open({ ...components, ...absentStore, ...nobodyHelped }, init);

const absentStore: Pick<RemoteRestoreComponents, "store"> = {
  store: {
    hasKept: async (_, ids) => ids.map(() => false),
    get: () => Promise.reject(new Error("nothing is read from the own store")),
  },
};
/** No other site gets to see anything of the kit, so the ledger is told nothing but the drill's result. */
const nobodyHelped: Pick<RemoteRestoreComponents, "entries"> = { entries: { write: async () => new Uint8Array() } };
