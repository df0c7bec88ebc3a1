/** How people bring a site into a federation: invitation, eight words, votes. All by commands. */
import { check } from "./demo-federation.ts";
import type { DemoSite } from "./demo-site.ts";

export interface Waiting {
  readonly name: string;
  readonly words: readonly string[];
}

/** A newcomer that waits until its words are confirmed. */
export interface Joining {
  readonly words: readonly string[];
  /** Resolves when it is in. */
  readonly joined: Promise<unknown>;
}

export async function invite(inviter: DemoSite, name: string, ...options: string[]): Promise<string> {
  const words = ["federation", "invite", "--name", name, ...options];
  return (await inviter.command<{ invitation: string }>(words)).invitation;
}

/** Resolves when the newcomer shows its words. Throws why it does not come so far. */
export async function startJoining(newcomer: DemoSite, invitation: string): Promise<Joining> {
  const { promise, resolve, reject } = Promise.withResolvers<readonly string[]>();
  const joined = newcomer.command(["federation", "join", invitation], (value) => {
    if (value !== null && typeof value === "object" && "words" in value) resolve(value.words as string[]);
  });
  joined.catch(reject);
  return { words: await promise, joined };
}

/** With the words read out and compared: the newcomer is a guest when it resolves. */
export async function bringIn(newcomer: DemoSite, inviter: DemoSite): Promise<void> {
  const { words, joined } = await startJoining(newcomer, await invite(inviter, newcomer.name));
  const waiting = await inviter.command<Waiting[]>(["federation", "newcomers"]);
  const shown = waiting.find(({ name }) => name === newcomer.name)?.words;
  check(
    shown?.join(" ") === words.join(" "),
    `the words are not the same: "${shown?.join(" ")}", "${words.join(" ")}"`,
  );
  await inviter.command(["federation", "confirm", newcomer.name, "--words", words.join(" ")]);
  await joined;
}

/** At as many members as it takes. */
export async function vote(change: "admit" | "expel", name: string, members: readonly DemoSite[]): Promise<void> {
  const voters = members.slice(0, Math.floor(members.length / 2) + 1);
  await Promise.all(voters.map((voter) => voter.command(["federation", change, name])));
}
