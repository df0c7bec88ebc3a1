/**
 * How long after the last fault everything has to be in order again, by the program's own times.
 *
 * Once the faults end all sites run and are reached, the hostile ones too; so nobody is silent, and the three days after which a
 * silent holder is replaced do not count. What may have to come first, all of it while the window is closed or open: sites ask each other
 * (ten minutes at the most), say what they have lost (an hour), and get their own back (turns of a quarter of an hour).
 */
const HOUR_MS = 3_600_000;

/** A holder that refused, or spoiled a run, as the last fault ended is out of the draw for so long: `node/replication/refusals.ts`. */
const REFUSED_HOURS = 24;
/** Copies are sent from 22:00 to 06:00 only. That day may end as the window closes. */
const CLOSED_HOURS = 16;
/**
 * In one night there is time for all of it: the draw (the next turn, a quarter of an hour), a live set (an hour after the one before), a wait
 * after failures (an hour at the most) after each hostile holder that spoils its run and is replaced, two first fills at a time, and the
 * runs themselves, which take seconds.
 */
const NIGHT_HOURS = 8;
/** Who drops in secret is found by audits, of 64 primes a night; most of all primes are asked for in one, and all but surely in eight. */
const AUDITED_HOURS = 8 * 24;

export const settledWithinMs = ({ isHidden }: { readonly isHidden: boolean }): number =>
  (REFUSED_HOURS + CLOSED_HOURS + NIGHT_HOURS + (isHidden ? AUDITED_HOURS : 0)) * HOUR_MS;
