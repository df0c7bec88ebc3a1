/** What the tests of restoring share. */
import { byteStringFromText } from "#protocol/byte-string.ts";
import type { RestoreReport } from "#agent/restore/restore-report.ts";
import type { RestoreInit } from "#agent/restore/restore.ts";
import type { TestMachine } from "#test/agent/backup/backup-fixture.ts";

/** Restores the machine's newest snapshot over what is in `to`. */
export async function restoredAgain(
  machine: TestMachine,
  to: string,
  changes: Partial<RestoreInit> = {},
): Promise<RestoreReport> {
  return (await machine.restore({ to: byteStringFromText(to), ...changes })).report;
}
