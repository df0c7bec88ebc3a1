/** How many kills there were, by phase and by place in it. */
export interface KillPlace {
  readonly phase: string;
  readonly place: string;
}

const SEPARATOR = ": ";

export class KillHistogram {
  /** By phase and place, in the order in which they came first. */
  readonly counts: Map<string, number>;

  constructor(counts: Iterable<readonly [string, number]> = []) {
    this.counts = new Map(counts);
  }

  add({ phase, place }: KillPlace): void {
    const key = phase + SEPARATOR + place;
    this.counts.set(key, (this.counts.get(key) ?? 0) + 1);
  }

  get total(): number {
    return [...this.counts.values()].reduce((sum, count) => sum + count, 0);
  }

  /** Of these phases the one with the fewest kills has so many. */
  leastOf(phases: readonly string[]): number {
    return Math.min(...phases.map((phase) => this.#inPhase(phase)));
  }

  toString(): string {
    const phases = [...new Set([...this.counts.keys()].map((key) => key.slice(0, key.indexOf(SEPARATOR))))];
    const widest = Math.max(...phases.map((phase) => this.#inPhase(phase)), 1);
    const lines = phases.flatMap((phase) => {
      const count = this.#inPhase(phase);
      const bar = "#".repeat(Math.ceil((count / widest) * 40));
      return [
        `${phase.padEnd(10)} ${String(count).padStart(6)} ${bar}`,
        ...this.#placesIn(phase).map(([place, times]) => `  ${String(times).padStart(6)} ${place}`),
      ];
    });
    return [...lines, `${"kills".padEnd(10)} ${String(this.total).padStart(6)}`].join("\n");
  }

  #placesIn(phase: string): [string, number][] {
    const prefix = phase + SEPARATOR;
    return [...this.counts].flatMap(([key, count]) =>
      key.startsWith(prefix) ? [[key.slice(prefix.length), count] as [string, number]] : [],
    );
  }

  #inPhase(phase: string): number {
    return this.#placesIn(phase).reduce((sum, [, count]) => sum + count, 0);
  }
}
