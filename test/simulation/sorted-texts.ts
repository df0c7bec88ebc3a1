/** Lists of texts in their order. */

/** The index of the first that does not come before `text`. */
export function firstFrom(sorted: readonly string[], text: string): number {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (sorted[middle]! < text) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Those that start with `prefix`, of keys or ids. */
export function textsWith<Text extends string>(sorted: readonly Text[], prefix: string): Text[] {
  if (prefix === "") return [...sorted];
  // No character of a key or id comes after this one.
  return sorted.slice(firstFrom(sorted, prefix), firstFrom(sorted, `${prefix}\uffff`));
}
