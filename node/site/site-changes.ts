/** Tells who asks when an agent or snapshot is new or other than before: once its fact is durable. */
export type SiteChange =
  /** Keys as in docs/specs/site-files.md. */
  | { readonly kind: "agent"; readonly key: string }
  | { readonly kind: "snapshot"; readonly key: string; readonly receivedMs: number };

export class SiteChanges {
  readonly #listeners: ((change: SiteChange) => void)[] = [];

  /** A listener must not throw. */
  onChange(listener: (change: SiteChange) => void): void {
    this.#listeners.push(listener);
  }

  tell(change: SiteChange): void {
    for (const listener of this.#listeners) listener(change);
  }
}
