/** So many at once; the others wait for their turns in the order in which they came. */
export class Turns {
  #freeCount: number;
  readonly #waiting: (() => void)[] = [];

  constructor(init: { atOnceCount: number }) {
    this.#freeCount = init.atOnceCount;
  }

  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#freeCount > 0) this.#freeCount--;
    else await new Promise<void>((resolve) => void this.#waiting.push(resolve));
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#freeCount++;
      else next();
    }
  }
}
