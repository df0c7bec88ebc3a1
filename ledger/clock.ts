/** The port to time. The site's is the machine's; the simulator's is virtual. No other time is read in what is simulated. */
export interface Clock {
  /** Milliseconds since 1970; may jump in either direction. */
  now(): number;
  /** Milliseconds that have passed on a clock that never jumps, from some start of its own. */
  elapsedMs(): number;
  /** Resolves after so long; rejects with the signal's reason when aborted before. */
  sleep(durationMs: number, signal?: AbortSignal): Promise<void>;
}
