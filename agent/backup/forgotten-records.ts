import type { ByteString } from "#protocol/byte-string.ts";
import { AgentDatabase, type DatabaseWrite, type DirectoryKey, childKey } from "./agent-database.ts";

/** The writes that forget the records of the directory `name` in `parent`, and of all below it, a directory at a time. */
export function* forgetSubtree(
  database: AgentDatabase,
  parent: DirectoryKey,
  name: ByteString,
): Generator<DatabaseWrite[]> {
  const waiting = [childKey(parent, name)];
  for (let key = waiting.pop(); key; key = waiting.pop()) {
    const record = database.directory(key);
    if (!record) continue;
    for (let i = 0; i < record.head.pagesCount; i++) {
      const page = record.page(i);
      for (const [at, child] of page.names.entries())
        if (page.object(at).type === "directory") waiting.push(childKey(key, child));
    }
    yield AgentDatabase.forgetWrites(key, record.head.pagesCount);
  }
}
