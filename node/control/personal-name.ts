import * as v from "valibot";

/** What people call a machine, a site or a federation. */
export const personalName = v.pipe(
  v.string(),
  v.trim(),
  v.minLength(1),
  v.maxLength(100),
  v.regex(/^[^\p{C}]*$/u, "a name holds no control characters"),
);
