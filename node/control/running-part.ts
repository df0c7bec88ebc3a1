import { CostorError } from "#protocol/errors.ts";

/** A part that a site has only while it runs. Throws `site-unreachable`. */
export function runningPart<Part>(part: Part | undefined): Part {
  if (part !== undefined) return part;
  throw new CostorError("site-unreachable", "the site does not run; start it, then give the command again");
}
