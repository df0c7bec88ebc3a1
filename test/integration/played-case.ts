/** A case of a page for people, played command by command as it is written. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { type Ended, costor, startCostor } from "#test/agent/cli/costor-process.ts";
import type { DemoSite } from "#test/demo/demo-site.ts";
import { documentedCommands } from "#test/support/documented-commands.ts";
import { until } from "./federated-sites.ts";

const root = join(import.meta.dirname, "../..");

/** Sites that run by a command of a page. */
const served = new Set<ReturnType<typeof startCostor>>();

/** For those that a failed case has left. */
export function endServed(): void {
  for (const { child } of served) child.kill("SIGKILL");
}

export class PlayedCase {
  readonly #commands: string[][];
  readonly #stand: Readonly<Record<string, string>>;

  private constructor(commands: string[][], stand: Readonly<Record<string, string>>) {
    this.#commands = commands;
    this.#stand = stand;
  }

  /** `stand`: what is put in the place of words of the page. */
  static async open(page: string, heading: string, stand: Readonly<Record<string, string>>): Promise<PlayedCase> {
    return new PlayedCase(await documentedCommands(page, heading, {}), stand);
  }

  /**
   * Runs the next command, which begins with `begins`, to its end. `shown` stands for words in capitals, which commands before have shown; `more` are
   * words that answer what a person would be asked.
   */
  async run(begins: string, shown?: Readonly<Record<string, string>>, more: readonly string[] = []): Promise<Ended> {
    const ended = await costor([...this.#next(begins, shown), ...more]);
    assert.equal(ended.code, 0, `${begins}: ${ended.stderr}${ended.stdout}`);
    return ended;
  }

  /** The next command again and again, until it shows what is so in the end. A site that is given sends meanwhile. */
  async runUntil(begins: string, isSo: (text: string) => boolean, site?: DemoSite): Promise<void> {
    const command = this.#next(begins);
    await until(`${begins} says so`, async () => {
      await site?.call("federationSend", {}).catch(() => undefined);
      const { stdout } = await costor(command);
      if (!isSo(stdout)) throw new Error(stdout);
      return true;
    });
  }

  /** A command that stays, at the ports of `site`. Resolves when it is ready, with what stops it. */
  async serve(begins: string, site: DemoSite, shown?: Readonly<Record<string, string>>): Promise<() => Promise<void>> {
    const where = ["--listen", `127.0.0.1:${site.agentPort}`, "--peer-listen", `127.0.0.1:${site.peerPort}`];
    const quiet = ["--peer-websocket", "off", "--no-lan-discovery", "--log-level", "error", "--json"];
    const process = startCostor([...this.#next(begins, shown), ...where, ...quiet]);
    served.add(process);
    await process.line(/"ready":true/);
    return async () => {
      process.child.kill("SIGTERM");
      const { code, stderr } = await process.ended;
      served.delete(process);
      assert.equal(code, 0, stderr);
    };
  }

  #next(begins: string, shown: Readonly<Record<string, string>> = {}): string[] {
    const command = this.#commands.shift();
    if (command === undefined || !command.join(" ").startsWith(begins))
      throw new Error(`the page goes on with "${command?.join(" ")}", and not with "${begins}"`);
    const stand = { ...this.#stand, ...shown };
    for (const word of Object.keys(shown))
      if (!command.includes(word)) throw new Error(`"${command.join(" ")}" has no "${word}"`);
    const words = command.map((word) => stand[word] ?? word);
    const left = words.find((word) => /^[A-Z]{2,}$/.test(word));
    if (left !== undefined) throw new Error(`nothing stands for "${left}"`);
    return words;
  }

  /** Throws when the page has more commands than were played. */
  end(): void {
    if (this.#commands.length > 0)
      throw new Error(`not played: ${this.#commands.map((words) => words.join(" ")).join("; ")}`);
  }
}

/** The headings of a page that have commands. Fails for a command that is in no block, which no case would play. */
export async function documentedHeadings(page: string): Promise<string[]> {
  const [intro, ...sections] = (await readFile(join(root, page), "utf8")).split("\n## ");
  for (const text of [intro!, ...sections])
    for (const line of text.split("\n"))
      if (
        (/^( {4,}|\t)/.test(line) || line.includes("```") || line.includes("./costor")) &&
        !/^ {4,}\.\/costor /.test(line)
      )
        throw new Error(`${page}: no case plays "${line}"`);
  return sections.filter((text) => text.includes("./costor ")).map((text) => text.split("\n")[0]!);
}
