/** A site with a second person, that is opened anew again and again: whatever is not durable is gone. */
import assert from "node:assert/strict";
import { SeededRng } from "#test/simulation/seeded-rng.ts";
import { RetainedSite, type RetainedSiteInit } from "./retained-site.ts";

export class RestartedSite {
  readonly #rng = new SeededRng(7);
  site!: RetainedSite;

  static async open(): Promise<RestartedSite> {
    const restarted = new RestartedSite();
    restarted.site = await RetainedSite.open({ rng: restarted.#rng });
    return restarted;
  }

  async again(other: Pick<RetainedSiteInit, "store" | "clock"> = {}): Promise<RetainedSite["retention"]> {
    const { store, clock } = this.site;
    this.site = await RetainedSite.open({ store, clock, rng: this.#rng, ...other });
    return this.site.retention;
  }

  async days(count: number): Promise<void> {
    for (let day = 0; day < count; day++) {
      if (day % 10 === 9) await this.again();
      await this.site.days(1);
    }
  }

  /** What the site keeps by, and whether what comes needs approval. */
  async policy() {
    const { policies } = await (await this.again()).state();
    const [{ policy, next }] = policies as [(typeof policies)[0]];
    return { policy, next: next?.policy, needsApproval: next?.needsApproval };
  }

  async decidedMs(): Promise<number> {
    return (await this.site.retention.state()).policies[0]!.next!.sinceMs;
  }
}

/** It keeps everything, and has a second person with these words. */
export async function withSecondPerson(): Promise<{ world: RestartedSite; words: string }> {
  const world = await RestartedSite.open();
  await world.site.retention.decide({}, {});
  const words = await world.site.retention.secondPerson.set();
  assert.equal(words.length, 6);
  await world.again();
  return { world, words: words.join(" ") };
}
