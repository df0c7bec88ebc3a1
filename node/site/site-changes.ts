/** Tells who asks when something that others are told of is new or other than before: once it is durable. */
export type SiteChange =
  /** Keys as in docs/specs/site-files.md. */
  | { readonly kind: "agent"; readonly key: string }
  | { readonly kind: "snapshot"; readonly key: string; readonly receivedMs: number }
  /** A part of the site's state: its fact is `kind/key`. */
  | { readonly kind: "state"; readonly key: string }
  /** Less is kept for the site than before. */
  | { readonly kind: "collected" };

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
