/** The port to chance. The site's is the system's; the simulator's grows from its seed. */
export interface Rng {
  /** So many unpredictable bytes. */
  bytes(count: number): Buffer;
  /** From 0 and below 1, with 48 bits or more. */
  fraction(): number;
}
