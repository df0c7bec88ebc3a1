/** A hostile program that withdraws what others have said: signed by itself, as it must be, and so of no effect. */
import { SeqRanges } from "#ledger/seq-ranges.ts";
import { entryOf } from "#ledger/statements.ts";
import { isCostorError } from "#protocol/errors.ts";
import { makeUuidV7, parseEntryId } from "#protocol/ids.ts";
import type { Machine, SiteProgram, StartProgram } from "./site-program.ts";

const EVERY_MS = 4 * 3600 * 1000;

export async function withdrawing(start: StartProgram, machine: Machine, onDeed: () => void): Promise<SiteProgram> {
  const program = await start(machine);
  void goOn(program, machine, onDeed);
  return program;
}

async function goOn({ ledger }: SiteProgram, { identity, clock, rng }: Machine, onDeed: () => void): Promise<void> {
  for (;;) {
    await clock.sleep(EVERY_MS * rng.between(0.5, 1.5));
    const others = ledger.logs().filter(({ log, lastSeq }) => log.id !== identity.log.id && lastSeq !== undefined);
    if (others.length === 0) continue;
    const { log, lastSeq } = rng.pick(others);
    const ranges = SeqRanges.empty();
    for (let seq = 0; seq <= lastSeq!; seq++) ranges.add(seq);
    const timeMs = clock.now();
    const id = parseEntryId(makeUuidV7(timeMs, (bytes) => bytes.set(rng.bytes(bytes.length))));
    const said = entryOf([{ kind: "retire", logId: log.id, ranges }]);
    try {
      await ledger.append(identity.log, identity.peerSeed, { id, timeMs, ...said });
      onDeed();
    } catch (error) {
      // Its own disk may fail.
      if (!isCostorError(error)) throw error;
    }
  }
}
