import * as v from "valibot";

/** A shorter beginning names one snapshot today and another when that one is gone. */
const LEAST_CHARACTERS = 8;

/** A snapshot's id as people give it, or the beginning of one. */
export const snapshotText = v.pipe(
  v.string(),
  v.minLength(LEAST_CHARACTERS, `give ${LEAST_CHARACTERS} characters of a snapshot's id, or more`),
  v.maxLength(40),
);
