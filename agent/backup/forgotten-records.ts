import type { ByteString } from "#protocol/byte-string.ts";
import { AgentDatabase, type DatabaseWrite, type DirectoryKey, childKey } from "./agent-database.ts";
import { type BundleChanges, type BundleUse, noteBundle } from "./bundle-use.ts";

/** The writes that forget the records of the directory `name` in `parent`, and of all below it, a directory at a time. */
export function* forgetSubtree(
  { database, bundles }: { database: AgentDatabase; bundles: Pick<BundleUse, "writes"> },
  parent: DirectoryKey,
  name: ByteString,
): Generator<DatabaseWrite[]> {
  const waiting = [childKey(parent, name)];
  for (let key = waiting.pop(); key; key = waiting.pop()) {
    const record = database.directory(key);
    if (!record) continue;
    const dropped: BundleChanges = new Map();
    for (let i = 0; i < record.pagesCount; i++) {
      const page = record.page(i);
      for (const [at, child] of page.names.entries()) {
        const object = page.object(at);
        if (object.type === "directory") waiting.push(childKey(key, child));
        else noteBundle(dropped, object, -1);
      }
    }
    yield [...AgentDatabase.forgetWrites(key, record.head), ...bundles.writes(dropped)];
  }
}
