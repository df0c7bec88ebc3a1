/** Test vectors: cases that something other than the code under test has made. */
import { readFileSync } from "node:fs";

/** The cases of `test/vectors/<name>.json`; each has a comment that says what it shows. */
export function readVectors<Case extends { readonly comment: string }>(name: string): readonly Case[] {
  const { cases } = JSON.parse(readFileSync(new URL(`../vectors/${name}.json`, import.meta.url), "utf8")) as {
    cases: Case[];
  };
  if (cases.length === 0) throw new Error(`test/vectors/${name}.json has no cases`);
  return cases;
}

export const fromHex = (text: string): Buffer => Buffer.from(text, "hex");
