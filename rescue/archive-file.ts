/** Writes an archive into a new file, or to stdout for whoever is behind the pipe. */
import { createHash } from "node:crypto";
import { open, rm } from "node:fs/promises";
import { once } from "node:events";
import type { ExportStream } from "#node/export/export-source.ts";
import { CostorError } from "#protocol/errors.ts";

export interface WrittenArchive {
  readonly entriesCount: number;
  readonly archiveBytes: number;
  readonly sha256: string;
}

/**
 * A file that is there already is left as it is: `bad-usage`. One that could not be made whole is taken away again. Throws what
 * the stream throws.
 */
export async function writeArchive(
  { chunks, totals }: ExportStream,
  file: string,
  onBytes: (doneBytes: number) => void,
): Promise<WrittenArchive> {
  const digest = createHash("sha256");
  const target = file === "-" ? undefined : await create(file);
  try {
    for await (const chunk of chunks) {
      digest.update(chunk);
      if (target !== undefined) await target.writeFile(chunk);
      else if (!process.stdout.write(chunk)) await once(process.stdout, "drain");
      onBytes(totals.archiveBytes);
    }
    await target?.sync();
  } catch (error) {
    if (target !== undefined) await rm(file, { force: true });
    throw error;
  } finally {
    await target?.close();
  }
  return { entriesCount: totals.entriesCount, archiveBytes: totals.archiveBytes, sha256: digest.digest("hex") };
}

async function create(file: string) {
  try {
    return await open(file, "wx", 0o600);
  } catch (error) {
    throw new CostorError("bad-usage", `${file} cannot be made: ${(error as Error).message}`, { cause: error });
  }
}
