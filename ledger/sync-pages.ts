/** How an asker reads answers of several pages. docs/specs/ledger.md, "Synchronising" */
import { CostorError } from "#protocol/errors.ts";
import type { Channel } from "./peers.ts";
import { type PageItem, type PageName, type SyncRequest, encodeSyncRequest, parsePage } from "./sync-messages.ts";

/** Throws `peer-unreachable` when the peer has closed. */
export async function receiveAnswer(channel: Channel): Promise<Uint8Array> {
  const frame = await channel.receive();
  if (frame === undefined) throw new CostorError("peer-unreachable", "the peer closed before it had answered");
  return frame;
}

/** The items of each page that has any. Throws what {@link receiveAnswer} and {@link parsePage} throw. */
export async function* askForPages<Name extends PageName>(
  channel: Channel,
  request: SyncRequest,
  name: Name,
): AsyncGenerator<PageItem<Name>[]> {
  await channel.send(encodeSyncRequest(request));
  for (let more = true; more;) {
    const page = parsePage(name, await receiveAnswer(channel));
    ({ more } = page);
    if (page.items.length > 0) yield page.items;
  }
}
