/**
 * One attack on a real site, as a row of a table, and what is checked for each: it is refused as it should be, told in exactly one line of
 * the log or, where nobody need know, in none; nothing of the honest sites changes; an honest owner is served
 * afterwards; and the disk has grown by no more than it may.
 */
import assert from "node:assert/strict";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import type { HostileMember } from "#test/support/hostile-member.ts";
import { LedgerAuthor } from "#test/support/ledger-author.ts";
import { Siege } from "#test/support/siege.ts";
import type { Suite } from "#test/support/suite.ts";

export interface HostileCase {
  readonly title: string;
  readonly as?: "member" | "guest";
  /** Whether its SiteId has to be below the honest one's, for what is tried in their order. */
  readonly comesFirst?: boolean;
  /** In the one line that tells it; undefined for what harms nobody and is not told. */
  readonly told?: RegExp;
  /** Of the store's files, the honest ones' included. */
  readonly diskBytes?: number;
  attack(siege: Siege, hostile: HostileMember): Promise<void>;
}

const MOST_DISK_BYTES = 512 * 1024;
const MOST_MEMORY_BYTES = 64 * 1024 * 1024;

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

/** `prepare` comes before the first. */
export function testHostile(
  test: Suite,
  cases: readonly HostileCase[],
  prepare?: (siege: Siege) => Promise<void>,
): void {
  let siege: Siege;
  let memoryBytes = 0;
  test.before(async () => {
    siege = await Siege.open();
    await prepare?.(siege);
  });
  test.after(async () => {
    await siege[Symbol.asyncDispose]();
  });
  for (const [index, hostileCase] of cases.entries())
    test(hostileCase.title, async () => {
      const hostile = await siege.hostile(nameOf(hostileCase, siege), hostileCase.as);
      if (index === 0) memoryBytes = usedBytes();
      try {
        await assertWithstands(siege, hostile, hostileCase);
      } finally {
        await siege.repel(hostile);
      }
    });
  test("all of it together has left no more memory in use than it may", () => {
    assert.ok(usedBytes() - memoryBytes <= MOST_MEMORY_BYTES, `${usedBytes() - memoryBytes} bytes more`);
  });
}

function nameOf({ title, comesFirst }: HostileCase, { honest }: Siege): string {
  const isGood = (name: string): boolean => comesFirst !== true || new LedgerAuthor(name).siteId < honest.siteId;
  let name = title;
  while (!isGood(name)) name += "+";
  return name;
}

async function assertWithstands(siege: Siege, hostile: HostileMember, hostileCase: HostileCase): Promise<void> {
  const { victim } = siege;
  const { told, attack, diskBytes = MOST_DISK_BYTES } = hostileCase;
  const [before, diskBefore, linesBefore] = [await siege.honestState(), await victim.diskBytes(), victim.lines.length];
  victim.forgetTold();
  await attack(siege, hostile);
  const lines = (): string[] => victim.lines.slice(linesBefore);
  if (told !== undefined) await siege.until(() => lines().length > 0);
  assert.deepEqual(await siege.honestState(), before, "nothing of the honest ones has changed");
  await siege.assertServes();
  assert.equal(lines().length, told === undefined ? 0 : 1, `told once or not at all:\n${lines().join("\n")}`);
  if (told !== undefined) assert.match(lines()[0]!, told);
  const grownBytes = (await victim.diskBytes()) - diskBefore;
  assert.ok(grownBytes <= diskBytes, `the disk has grown by ${grownBytes} bytes`);
}

function usedBytes(): number {
  collectGarbage();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}
