/** The scheduler's memory: a small file in the agent's own directory. A missing or damaged one counts as none. */
import { mkdir, open, readFile, rename } from "node:fs/promises";
import { dirname } from "node:path";
import type { RunHistory } from "./run-times.ts";

export async function loadHistory(path: string): Promise<RunHistory> {
  try {
    const value = JSON.parse(await readFile(path, "utf8")) as { lastStartMs?: unknown } | null;
    const lastStartMs = value?.lastStartMs;
    return typeof lastStartMs === "number" && Number.isSafeInteger(lastStartMs) && lastStartMs >= 0
      ? { lastStartMs }
      : {};
  } catch {
    return {};
  }
}

export async function saveHistory(path: string, history: RunHistory): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const temporary = `${path}.new`;
  {
    await using file = await open(temporary, "w", 0o600);
    await file.writeFile(JSON.stringify(history));
    await file.sync();
  }
  await rename(temporary, path);
}
