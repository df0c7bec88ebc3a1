/** The story of `npm run demo -- --disaster`: a site burns, its files are had again at another one, and it comes back on a new server. */
import { cp, mkdir } from "node:fs/promises";
import { join } from "node:path";
import { memberAddress } from "#node/cli/kit-federation.ts";
import type { PrimeId } from "#protocol/ids.ts";
import { treeDifferences } from "#test/support/compare-trees.ts";
import { removeTrees } from "#test/support/scratch.ts";
import { formatBytes, formatCount } from "#terminal/quantities.ts";
import { type DemoFederation, check, readableOf } from "./demo-federation.ts";
import type { DemoSite } from "./demo-site.ts";
import { SAFE_MS, SHORT_MS, type Step, type Story, backUp, backUpAll, federate, start } from "./demo-steps.ts";
import { damageKept } from "./wrong-disk.ts";

const burntOf = ({ sites }: DemoFederation): DemoSite => sites[2]!;
const helperOf = ({ sites }: DemoFederation): DemoSite => sites[0]!;
const secondOf = ({ sites }: DemoFederation): DemoSite => sites[1]!;
const safeDirectory = ({ directory }: DemoFederation): string => join(directory, "safe");
const kitOf = (federation: DemoFederation): string => join(safeDirectory(federation), "kit.txt");

/** What the burnt site had, before it burnt. */
let primes: ReadonlyMap<PrimeId, Buffer>;

const burn: Step = {
  title: "One burns: its process is killed, its disk deleted; its kit lies in another building",
  async run({ federation }) {
    const burnt = burntOf(federation);
    check(federation.unsafe().length === 0, "something is not safe before the fire");
    await mkdir(safeDirectory(federation), { recursive: true });
    await cp(burnt.kit, kitOf(federation));
    const id = federation.idOf(burnt);
    await burnt.kill();
    primes = await readableOf(burnt, id);
    removeTrees([burnt.data, burnt.kit]);
    federation.view.say(
      `${burnt.name} is gone, with ${formatCount(primes.size)} primes; what is left is a page of words`,
    );
  },
};

async function restoreElsewhere({ federation, contents }: Story, where: string): Promise<void> {
  const [helper, burnt] = [helperOf(federation), burntOf(federation)];
  const { paths, bytes } = contents[0]![federation.sites.indexOf(burnt)]!;
  const target = join(safeDirectory(federation), where);
  const command = ["federation", "restore", "--kit", kitOf(federation), "--target", target];
  await federation.during(`${helper.name} restores what ${burnt.name} had`, helper.command(command));
  compare(paths, target);
  federation.view.say(
    `${formatBytes(bytes)} restored at ${helper.name} with the kit, equal byte by byte and attribute by attribute`,
  );
}

function compare(paths: readonly string[], target: string): void {
  const differences = paths.flatMap((path) => treeDifferences(path, join(target, path)));
  check(differences.length === 0, `${differences.length} differences after a restore, the first: ${differences[0]}`);
}

const helped: Step = {
  title: "Another site lends its server: with the kit, the burnt one's files are browsed and restored there",
  async run(story) {
    const { federation } = story;
    const list = ["federation", "restore", "--kit", kitOf(federation), "--list"];
    const machines = await helperOf(federation).command<readonly unknown[]>(list);
    check(JSON.stringify(machines).includes("office"), "the burnt site's machine is not shown");
    await restoreElsewhere(story, "first");
  },
};

const secondDies: Step = {
  title: "A second one dies, which held copies too: the files can be had all the same",
  async run(story) {
    const { federation } = story;
    await secondOf(federation).kill();
    federation.view.say(`${secondOf(federation).name} is down`);
    await restoreElsewhere(story, "second");
  },
};

const recover: Step = {
  title: "A new server, with the kit and the address of one that is left: the site is back",
  async run({ federation, contents }) {
    const [helper, burnt] = [helperOf(federation), burntOf(federation)];
    const { members } = await helper.call("federationMembers", {});
    const { peer } = members.find(({ isThisSite }) => isThisSite)!;
    // Its own port: the line to its door is there once the new process is known.
    const member = [memberAddress(`/ip4/127.0.0.1/tcp/${helper.peerPort}`, peer!)];
    await federation.during(`${burnt.name} is recovered`, federation.recover(burnt, kitOf(federation), member));
    const target = join(safeDirectory(federation), "agent");
    await federation.during(
      "its machine restores, without being enrolled again",
      burnt.agentCommand(["restore", "latest", "--to", target]),
    );
    const { paths } = contents[0]![federation.sites.indexOf(burnt)]!;
    compare(paths, target);
    federation.view.say("Its machine has restored everything while copies were still coming back");
    await federation.during(`${secondOf(federation).name} is repaired`, federation.start(secondOf(federation)));
    await federation.untilSafe("all is back, and held twice elsewhere", SAFE_MS, 1);
    const id = federation.idOf(burnt);
    await burnt.stop();
    const back = await readableOf(burnt, id);
    const missing = [...primes].filter(([prime, stored]) => back.get(prime)?.equals(stored) !== true);
    check(missing.length === 0, `${formatCount(missing.length)} of ${formatCount(primes.size)} primes are not back`);
    await federation.start(burnt);
    federation.view.say(`All ${formatCount(primes.size)} primes of ${burnt.name} are on the new disk, byte by byte`);
  },
};

const goOn: Step = {
  title: "Machines go on backing up as if nothing had been",
  async run(story) {
    await backUpAll(story, 1);
    await story.federation.untilSafe("two others get copies", SAFE_MS, 2);
    story.federation.view.say("Everything is held twice elsewhere");
  },
};

const scrub: Step = {
  title: "A disk goes bad without a word: the scrub finds it, and what is damaged comes back from the others",
  async run({ federation }) {
    const burnt = burntOf(federation);
    const id = federation.idOf(burnt);
    await burnt.stop();
    const before = await readableOf(burnt, id);
    const damagedCount = await damageKept(burnt, [id]);
    check(damagedCount > 0, "nothing could be damaged");
    await federation.start(burnt);
    await federation.during(
      `${burnt.name} reads all that it has`,
      burnt.command(["site", "scrub", "--now"]).catch(() => undefined),
    );
    await federation.until({
      ...{ what: "what is damaged comes back", mostMs: SAFE_MS },
      lacking: async () => {
        const { store } = await burnt.call("stats", {});
        return store.quarantinedCount === 0 ? undefined : `${store.quarantinedCount} damaged stretches are not healed`;
      },
    });
    await burnt.stop();
    const after = await readableOf(burnt, id);
    const missing = [...before].filter(([prime, stored]) => after.get(prime)?.equals(stored) !== true);
    check(missing.length === 0, `${formatCount(missing.length)} primes are still damaged`);
    await federation.start(burnt);
    await federation.until({
      ...{ what: `${burnt.name} is back`, mostMs: SHORT_MS },
      lacking: () => (federation.statuses.get(burnt)!.connectedCount === 4 ? undefined : "it is not reached by all"),
    });
    federation.view.say(`${formatCount(damagedCount)} damaged primes were found and are what they were, byte by byte`);
  },
};

export const disasterSteps: readonly Step[] = [start, federate, backUp, burn, helped, secondDies, recover, goOn, scrub];
