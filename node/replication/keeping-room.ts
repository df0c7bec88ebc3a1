/** Room for batches on their way to the disk, of all owners: whoever waits gets it in turn, and a batch that is larger than all of it goes alone. */
export class KeepingRoom {
  readonly #allBytes: number;
  #freeBytes: number;
  readonly #waiting: { readonly bytes: number; readonly enter: () => void }[] = [];

  constructor(init: { bytes: number }) {
    this.#allBytes = this.#freeBytes = init.bytes;
  }

  async run<T>(bytes: number, work: () => Promise<T>): Promise<T> {
    const takenBytes = Math.min(bytes, this.#allBytes);
    await new Promise<void>((enter) => {
      this.#waiting.push({ bytes: takenBytes, enter });
      this.#letIn();
    });
    try {
      return await work();
    } finally {
      this.#freeBytes += takenBytes;
      this.#letIn();
    }
  }

  #letIn(): void {
    for (let next = this.#waiting[0]; next !== undefined && next.bytes <= this.#freeBytes; next = this.#waiting[0]) {
      this.#waiting.shift();
      this.#freeBytes -= next.bytes;
      next.enter();
    }
  }
}
