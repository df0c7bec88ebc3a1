/** Restores one file into a scratch file, and compares what can be read from there with what the file ought to hold. */
import { createHash } from "node:crypto";
import { open } from "node:fs/promises";
import type { ExportSource } from "#node/export/export-source.ts";
import { readFileBytes } from "#node/export/file-content.ts";
import { CostorError } from "#protocol/errors.ts";
import type { FileObject } from "#protocol/tree.ts";

export interface DrilledFileInit {
  /** Where it is restored from. */
  readonly tested: ExportSource;
  /** What it is compared with: read apart from `tested`. */
  readonly reference: ExportSource;
  /** Overwritten. */
  readonly scratchFile: string;
  readonly signal: AbortSignal;
}

const READ_BYTES = 1024 * 1024;

/** Throws `prime-missing`, `prime-corrupt`, `drill-differs`, and what the file system throws. */
export async function drillFile(file: FileObject, init: DrilledFileInit): Promise<void> {
  const { tested, reference, scratchFile, signal } = init;
  const handle = await open(scratchFile, "w+", 0o600);
  try {
    let restoredBytes = 0;
    for await (const piece of readFileBytes(tested, file, 0, file.sizeBytes, signal)) {
      await handle.writeFile(piece);
      restoredBytes += piece.length;
    }
    await handle.sync();
    const found = createHash("sha256");
    const buffer = Buffer.alloc(READ_BYTES);
    for (let at = 0; ;) {
      signal.throwIfAborted();
      const { bytesRead } = await handle.read(buffer, 0, buffer.length, at);
      if (bytesRead === 0) break;
      found.update(buffer.subarray(0, bytesRead));
      at += bytesRead;
    }
    const wanted = createHash("sha256");
    for await (const piece of readFileBytes(reference, file, 0, file.sizeBytes, signal)) wanted.update(piece);
    if (restoredBytes !== file.sizeBytes || found.digest("hex") !== wanted.digest("hex"))
      throw new CostorError("drill-differs", "what was restored is not what was backed up");
  } finally {
    await handle.close();
  }
}
