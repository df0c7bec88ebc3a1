/** Small files that are either the old one or the new one after a crash, never a mixture. */
import { open, rename } from "node:fs/promises";
import { dirname } from "node:path";

/** Makes the entries of a directory durable. */
export async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Creates `path`, readable by its owner only, and makes its bytes durable; the caller syncs the directory. Fails with EEXIST. */
export async function createDurably(path: string, bytes: Uint8Array | string): Promise<void> {
  const handle = await open(path, "wx", 0o600);
  try {
    await handle.writeFile(bytes);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Puts `bytes` in the place of whatever `path` was, durably. One writer at a time for each path. */
export async function replaceDurably(path: string, bytes: Uint8Array): Promise<void> {
  const temporary = `${path}.new`;
  const handle = await open(temporary, "w", 0o600);
  try {
    await handle.writeFile(bytes);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(temporary, path);
  await syncDirectory(dirname(path));
}
