/** Words that people read to each other, as one of them has typed them. */
import { CostorError } from "#protocol/errors.ts";

/** `typed`: undefined when they were compared by eye. `nothing`: what was not done. Throws `words-differ`. */
export function requireSameWords(typed: string | undefined, seen: readonly string[], nothing: string): void {
  if (typed === undefined || typed.trim().toLowerCase().split(/\s+/).join(" ") === seen.join(" ")) return;
  throw new CostorError("words-differ", `these are not the words that this site sees; ${nothing}`);
}
