/**
 * What a holder may drop of an owner's primes. docs/specs/replication.md, Dropping. Pure. When in doubt, nothing.
 *
 * Times are floors of the holder's own clock, which never goes back; no time of anybody else decides.
 */
import type { LogId } from "#protocol/ids.ts";

/** How long what was left out is kept. */
export const LOCK_MS = 45 * 24 * 3_600_000;

/** A group of primes, or a whole slice, that the owner left out. */
export interface Omission {
  /** When the holder durably noted it. */
  readonly sinceMs: number;
  /** The log in which the owner left it out. */
  readonly logId: LogId;
}

/** What the holder knows of the owner now. */
export interface OwnerState {
  /** Undefined for one that is no member or guest any more. */
  readonly currentLogId: LogId | undefined;
  readonly hasFork: boolean;
  /** When the holder durably noted that the owner has left or was expelled. */
  readonly departedSinceMs: number | undefined;
}

export interface HolderClock {
  readonly nowMs: number;
  /** The holder's clock may be wrong. */
  readonly isSuspect: boolean;
}

/** Why not now: shown to people. */
export type KeptReason = "own-clock" | "fork" | "other-log" | "lock";

/** Undefined when it may be dropped now. */
export function keptReason(omission: Omission, owner: OwnerState, clock: HolderClock): KeptReason | undefined {
  if (clock.isSuspect) return "own-clock";
  if (owner.hasFork) return "fork";
  if (omission.logId !== owner.currentLogId) return "other-log";
  return clock.nowMs - omission.sinceMs < LOCK_MS ? "lock" : undefined;
}

/** Whether everything of an owner that departed may be dropped now. */
export function mayDropDeparted(owner: OwnerState, clock: HolderClock): boolean {
  if (clock.isSuspect || owner.hasFork || owner.departedSinceMs === undefined) return false;
  return clock.nowMs - owner.departedSinceMs >= LOCK_MS;
}
