/** `npm run docs`: writes the reference pages that follow from the code. */
import { writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { referencePages } from "./reference-pages.ts";

for (const [path, text] of referencePages()) {
  writeFileSync(resolve(import.meta.dirname, "..", path), text);
  process.stdout.write(`${path}\n`);
}
