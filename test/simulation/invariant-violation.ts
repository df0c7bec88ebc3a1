export class InvariantViolation extends Error {
  readonly id: string;

  constructor(id: string, message: string, cause?: unknown) {
    super(`${id}: ${message}`, cause === undefined ? undefined : { cause });
    this.id = id;
  }
}
