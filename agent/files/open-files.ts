import { readFileSync } from "node:fs";

/** How many files this process may have open at once, all threads together. */
export function openFilesLimit(): number {
  const line = /^Max open files\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "latin1"));
  return line ? Number(line[1]) : 1024;
}
