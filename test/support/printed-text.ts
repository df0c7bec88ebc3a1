/** What a person reads on a printed page of a kit or a share. */

export const textOf = (page: string): string =>
  page
    .replace(/<(style|title|svg)[^]*?<\/\1>/g, "")
    .replace(/<[^>]*>/g, " ")
    .replace(/&#(\d+);/g, (_, code: string) => String.fromCodePoint(Number(code)));

/** The words in the order of their numbers. */
export function wordsIn(text: string, count = 24): string {
  const numbered = new Map(
    [...text.matchAll(/\b(\d+)\s+([a-z]+)\b/g)].map(([, number, word]) => [Number(number), word]),
  );
  return Array.from({ length: count }, (_, index) => numbered.get(index + 1)).join(" ");
}

export interface PrintedPage {
  readonly words: string;
  /** As it stands there. */
  readonly siteId: string;
  readonly addresses: readonly string[];
  /** Of the steps, as words after `costor`. */
  readonly commands: readonly (readonly string[])[];
  readonly text: string;
}

export function readPage(page: string): PrintedPage {
  const text = textOf(page);
  const [, count = "", words = ""] = /The (\d+) words([^]*?)How to know/.exec(text) ?? [];
  const [, siteId = ""] = /Site id\s+((?:[0-9a-f]{4} ?){16})/.exec(text) ?? [];
  const steps = /<ol class="steps">([^]*?)<\/ol>/.exec(page)?.[1] ?? "";
  return {
    ...{ text, words: wordsIn(words, Number(count)), siteId: siteId.trim() },
    addresses: text.match(/\/(?:ip4|ip6|dns4|dns6)\/\S+/g) ?? [],
    commands: [...steps.matchAll(/<code>\s*costor ([^<]+)<\/code>/g)].map(([, command]) =>
      command!.trim().split(/\s+/),
    ),
  };
}
