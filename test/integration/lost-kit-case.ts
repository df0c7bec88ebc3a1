/** The case of docs/disasters.md in which nobody has the kit any more, as the page says it. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { wordsOfKitRoot } from "#protocol/kit-words.ts";
import { parseKit } from "#protocol/kit.ts";
import type { DemoSite } from "#test/demo/demo-site.ts";
import { pass, until } from "./federated-sites.ts";
import type { PlayedCase } from "./played-case.ts";

interface LostKitInit {
  readonly asker: DemoSite;
  /** Three; the first is the one where the page's commands are given. */
  readonly others: readonly [DemoSite, DemoSite, DemoSite];
  /** As it stands on the page. */
  readonly newKit: string;
  readonly isSafe: (text: string) => boolean;
}

/** The kit that counts afterwards. */
export async function playLostKit(page: PlayedCase, { asker, others, newKit, isSafe }: LostKitInit): Promise<string> {
  const [first, second] = others;
  const known = (): Promise<void> =>
    until("it is known", async () => (await first.call("federationKits", {})).kits.length === 1);
  await page.run("site check");
  await page.runUntil("federation status", isSafe, asker);
  const { stdout } = await page.run("site kit replace");
  const [, words] = /^ {2}(\w+(?: \w+){7})$/m.exec(stdout)!;
  await page.run("site kit page");
  await known();
  await page.run("federation approve-kit", { NAME: asker.name }, ["--words", words!]);
  await second.command(["federation", "approve-kit", asker.name, "--words", words!]);
  await page.runUntil("federation kits", (text) => text.includes("counts from"));
  await pass([asker, ...others]);
  await until("the members have agreed", async () =>
    (await asker.call("federationStatus", {})).alarms.some(({ code }) => code === "kit-agreed"),
  );
  await asker.stop();
  const stop = await page.serve("site start", asker);
  await confirmKit(page, asker, newKit);
  const asked = await asker.command<{ words: readonly string[] }>([
    ...["site", "kit", "replace", "--lost", "--new-kit", `${newKit}.2`],
  ]);
  assert.equal(asked.words.length, 8);
  await known();
  await page.run("site kit object", { "kit.txt": newKit });
  await asker.command(["site", "kit", "replace", "--lost", "--cancel"]);
  await stop();
  await asker.start();
  return newKit;
}

/** The page's command that asks for two words, with the right ones. */
export async function confirmKit(page: PlayedCase, site: DemoSite, kit: string): Promise<void> {
  const { positions } = await site.call("kit", {});
  const words = wordsOfKitRoot(parseKit(readFileSync(kit, "utf8")).kitRoot);
  const typed = positions.map((position) => `${position}=${words[position - 1]}`);
  await page.run(
    "site kit confirm",
    {},
    typed.flatMap((word) => ["--word", word]),
  );
}
