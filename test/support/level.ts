/**
 * How much of the heavy work a run does: `quick` for every commit, `full` (`npm run test:full`) with the counts that
 * the requirements name.
 */
export type TestLevel = "quick" | "full";

export const level: TestLevel = process.env["COSTOR_TEST_LEVEL"] === "full" ? "full" : "quick";

/** The number of repetitions at this level. */
export function count(quickCount: number, fullCount: number): number {
  return level === "full" ? fullCount : quickCount;
}
