/** What the machine's clock may have to do with what expires: of a wrong one, rules and holds would let go of too much. */
import type { HeldClock } from "#node/replication/held-clock.ts";

export interface ClockDoubtComponents {
  readonly heldClock: Pick<HeldClock, "state" | "isUnproven" | "prove">;
  /** Whether other sites' clocks show this machine's day; without it there are none. */
  readonly doClocksAgree?: (() => boolean) | undefined;
}

/** One sentence for people, while there is doubt. What others' clocks prove is believed from then on. */
export async function clockDoubt({ heldClock, doClocksAgree }: ClockDoubtComponents): Promise<string | undefined> {
  if (heldClock.state.isSuspect)
    return "the machine's clock has jumped; once it is right, costor site retention confirm-clock";
  if (!heldClock.isUnproven) return undefined;
  if (doClocksAgree === undefined || !doClocksAgree())
    return "the site was off for days, or the machine's clock was set ahead meanwhile; when the date is right, costor site retention confirm-clock";
  await heldClock.prove();
  return undefined;
}
