/**
 * Goal: `npm run demo` shows what it says, both stories; and whichever two of five sites are killed and lose their disks, whatever they do at that
 * moment, nothing is lost of what was acknowledged as held elsewhere. Method: real processes, killed at a moment of chance while they back up and
 * send; then the disks of the other three are read. The seed is printed; `COSTOR_LOSS_SEED` runs it again. Full level only.
 */
import assert from "node:assert/strict";
import { rename } from "node:fs/promises";
import { join, resolve } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { PrimeId, SiteId } from "#protocol/ids.ts";
import { chooseContents } from "#test/demo/demo-content.ts";
import { DemoFederation, readableOf } from "#test/demo/demo-federation.ts";
import type { DemoSite } from "#test/demo/demo-site.ts";
import { steps } from "#test/demo/demo-steps.ts";
import { LiveView } from "#test/demo/live-view.ts";
import { startProgram } from "#test/faults/command.ts";
import { level } from "#test/support/level.ts";
import { runtimeFlags } from "#test/support/runtime-flags.ts";
import { scratchDirectory } from "#test/support/scratch.ts";
import { SeededRng } from "#test/simulation/seeded-rng.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("losses of a federation", { timeoutMs: 3_000_000 });
const NAMES = ["a", "b", "c", "d", "e"];
const PAIRS_COUNT = 10;
const KILLED_WITHIN_MS = 4_000;
const WAIT_MS = 240_000;

for (const [story, options] of [
  ["the demo", []],
  ["the demo of a disaster", ["--disaster"]],
] as const)
  test(`${story} shows what it says`, async ({ skip }) => {
    if (level !== "full") skip("takes minutes: in the full run only");
    const program = resolve(import.meta.dirname, "../demo/demo.ts");
    const demo = startProgram(process.execPath, [...runtimeFlags, program, ...options]);
    const { code, stdout, stderr } = await demo.ended;
    assert.equal(stdout.trimEnd().split("\n").at(-1), "demo: PASS", `${stdout}\n${stderr}`);
    assert.equal(code, 0);
  });

test("whichever two of five are lost, the other three have all that was acknowledged", async ({ skip, signal }) => {
  if (level !== "full") skip("takes minutes: in the full run only");
  const seed = process.env["COSTOR_LOSS_SEED"] ?? `${Math.floor(Math.random() * 2 ** 31)}`;
  process.stdout.write(`\nseed ${seed}; again: COSTOR_LOSS_SEED=${seed}\n`);
  const rng = new SeededRng(seed);
  const directory = await scratchDirectory("losses");
  using view = new LiveView({ stream: process.stdout, nowMs: () => performance.now() });
  await using federation = new DemoFederation({ view }, { names: NAMES, directory, signal });
  const made = (number: number) =>
    chooseContents({
      from: join(directory, "nothing"),
      scratch: join(directory, `made-${number}`),
      wantedBytes: NAMES.map(() => 8e6),
    });
  const contents = [await made(0)];
  // Starting, federating, a first backup.
  for (const step of steps.slice(0, 3)) await step.run({ federation, contents });
  const pairs = NAMES.flatMap((_, one) => NAMES.slice(one + 1).map((_, more) => [one, one + 1 + more] as const));
  for (let round = 0; round < PAIRS_COUNT; round++) {
    const lost = pairs[round % pairs.length]!.map((index) => federation.sites[index]!);
    const acknowledged = await acknowledgedOf(federation);
    const further = await made(round + 1);
    const cut = new AbortController();
    const backups = federation.sites.map((site, index) =>
      site.backUp(further[index]!.paths, AbortSignal.any([cut.signal, signal])).catch(() => undefined),
    );
    const sending = keepSending(federation, cut.signal);
    const afterMs = Math.round(rng.fraction() * KILLED_WITHIN_MS);
    await delay(afterMs);
    await Promise.all(lost.map((site) => site.kill()));
    cut.abort();
    await Promise.all([...backups, sending]);
    const names = lost.map(({ name }) => name).join(" and ");
    view.say(`${round + 1}/${PAIRS_COUNT}: ${names} are lost after ${afterMs} ms`);
    for (const { data } of lost) await rename(data, `${data}.lost`);
    const rest = federation.sites.filter((site) => !lost.includes(site));
    await Promise.all(rest.map((site) => site.stop()));
    for (const site of lost) await assertHeld(site, rest, acknowledged.get(site)!);
    for (const { data } of lost) await rename(`${data}.lost`, data);
    await Promise.all(federation.sites.map((site) => federation.start(site)));
    await federation.untilSafe("all is safe again", WAIT_MS, 1);
  }
});

interface Acknowledged {
  readonly owner: SiteId;
  readonly primes: ReadonlyMap<PrimeId, Buffer>;
}

/** All that the sites have, while all of it is safe. */
async function acknowledgedOf(federation: DemoFederation): Promise<Map<DemoSite, Acknowledged>> {
  await federation.untilSafe("all is safe", WAIT_MS, 1);
  await Promise.all(federation.sites.map((site) => site.stop()));
  const acknowledged = new Map<DemoSite, Acknowledged>();
  for (const site of federation.sites) {
    const owner = federation.idOf(site);
    acknowledged.set(site, { owner, primes: await readableOf(site, owner) });
  }
  await Promise.all(federation.sites.map((site) => federation.start(site)));
  await federation.until({
    ...{ what: "they find each other", mostMs: WAIT_MS },
    lacking: () =>
      federation.live.every((site) => federation.statuses.get(site)!.connectedCount === NAMES.length - 1)
        ? undefined
        : "some do not",
  });
  return acknowledged;
}

async function keepSending(federation: DemoFederation, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await Promise.all(federation.sites.map((site) => site.call("federationSend", {}).catch(() => undefined)));
    await delay(300, undefined, { signal }).catch(() => undefined);
  }
}

async function assertHeld(site: DemoSite, rest: readonly DemoSite[], { owner, primes }: Acknowledged): Promise<void> {
  assert.ok(primes.size > 0);
  const held = new Map<PrimeId, Buffer>();
  for (const holder of rest) for (const [id, stored] of await readableOf(holder, owner)) held.set(id, stored);
  const missing = [...primes].filter(([id, stored]) => held.get(id)?.equals(stored) !== true);
  assert.equal(missing.length, 0, `${missing.length} of ${primes.size} primes of ${site.name} are lost`);
}

test.run();
