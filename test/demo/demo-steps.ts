/** The story of the demo, step by step. Each checks what it shows, and throws a DemoFailure that says what is not so. */
import type { AuditedHolder } from "#node/federation/federation-control.ts";
import { formatBytes, formatCount, formatCountOf } from "#terminal/quantities.ts";
import type { Content } from "./demo-content.ts";
import { type DemoFederation, check, readableOf } from "./demo-federation.ts";
import type { DemoSite } from "./demo-site.ts";
import { bringIn, vote } from "./joining.ts";
import { damageKept } from "./wrong-disk.ts";

export interface Story {
  readonly federation: DemoFederation;
  /** By backup, by site. */
  readonly contents: readonly (readonly Content[])[];
}

export interface Step {
  readonly title: string;
  run(story: Story): Promise<void>;
}

export const SAFE_MS = 120_000;
export const SHORT_MS = 40_000;

export const start: Step = {
  title: "Five sites start, each a process with a disk and a port of its own",
  async run({ federation }) {
    await federation.during("starting", Promise.all(federation.sites.map((site) => federation.start(site))));
  },
};

export const federate: Step = {
  title: "They make a federation: invitations, eight words that people compare, votes",
  async run({ federation }) {
    const { sites, view, doors } = federation;
    const [founder, ...others] = sites as readonly [DemoSite, ...DemoSite[]];
    const announce = (site: DemoSite) =>
      site.command([
        "federation",
        "settings",
        "--place",
        site.name,
        "--announce",
        `/ip4/127.0.0.1/tcp/${doors.get(site)}`,
      ]);
    await federation.during("telling the sites how they are reached", Promise.all(sites.map(announce)));
    await founder.command(["federation", "create", "--name", "Schools of the valley"]);
    for (const site of others) {
      await federation.during(`${site.name} joins`, bringIn(site, founder));
      view.say(`${site.name} shows the same eight words as ${founder.name}, and is in`);
    }
    for (const [index, site] of others.entries()) {
      const members = sites.slice(0, index + 1);
      await federation.until({
        ...{ what: `members hear of ${site.name}`, mostMs: SHORT_MS },
        lacking: async () => {
          const known = await Promise.all(members.map((member) => member.call("federationMembers", {})));
          return known.every((list) => list.members.some(({ name }) => name === site.name)) ? undefined : "not all do";
        },
      });
      await federation.during(`members admit ${site.name}`, vote("admit", site.name, members));
      await federation.until({
        ...{ what: `${site.name} becomes a member`, mostMs: SHORT_MS },
        lacking: () => {
          const told = sites.slice(0, index + 2).map((member) => federation.statuses.get(member)!);
          const isMember = told.every(({ role, membersCount }) => role === "member" && membersCount === index + 2);
          return isMember ? undefined : "it is not one everywhere";
        },
      });
    }
    view.say("All five are members");
  },
};

/** Two at a time: more would only wait for each other. */
export async function backUpAll({ federation, contents }: Story, number: number): Promise<void> {
  const waiting = federation.live.map((site) => ({
    site,
    content: contents[number]![federation.sites.indexOf(site)]!,
  }));
  const lane = async (): Promise<void> => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift())
      await next.site.backUp(next.content.paths);
  };
  const bytes = waiting.reduce((sum, { content }) => sum + content.bytes, 0);
  await federation.during(`backing up ${formatBytes(bytes)}`, Promise.all([lane(), lane()]));
  federation.view.say(
    `${formatCountOf(federation.live.length, "machine")} backed up ${formatBytes(bytes)} of real files`,
  );
}

export const backUp: Step = {
  title: "A machine at each site backs up, and all of it is held twice elsewhere",
  async run(story) {
    const { federation } = story;
    await federation.during("enrolling agents", Promise.all(federation.sites.map((site) => site.enrolAgent())));
    await backUpAll(story, 0);
    await federation.untilSafe("two others get copies of everything", SAFE_MS, 1);
    federation.view.say("Everything is held twice elsewhere, by signed receipts");
  },
};

const partition: Step = {
  title: "The lines between two and three of them are cut; backups go on; the lines come back",
  async run(story) {
    const { federation } = story;
    const { sites, links, view } = federation;
    const [left, right] = [sites.slice(0, 2), sites.slice(2)];
    links.partition(
      left.map(({ name }) => name),
      right.map(({ name }) => name),
    );
    const reaches = (group: readonly DemoSite[], count: number): boolean =>
      group.every((site) => federation.statuses.get(site)!.connectedCount === count);
    await federation.until({
      ...{ what: "the lines break", mostMs: SHORT_MS },
      lacking: () => (reaches(left, 1) && reaches(right, 2) ? undefined : "some reach each other through the cut"),
    });
    view.say(
      `${left.map(({ name }) => name).join(" and ")} reach nobody else; ${right.map(({ name }) => name).join(", ")} neither`,
    );
    await backUpAll(story, 1);
    await federation.look("looking");
    check(
      sites.every((site) => federation.statuses.get(site)!.snapshots.storedCount === 2),
      "a backup during the cut is not stored at its own site",
    );
    const unsafe = federation.unsafe();
    check(
      left.every((site) => unsafe.includes(site)),
      "a site that reaches one other calls a new snapshot safe",
    );
    check(reaches(left, 1) && reaches(right, 2), "some reach each other through the cut");
    view.say(`Stored, and honestly not called safe: ${unsafe.map(({ name }) => name).join(", ")}`);
    links.heal();
    await federation.untilSafe("lines are back, copies follow", SAFE_MS, 2);
    view.say("Everything is held twice elsewhere again");
  },
};

const lie: Step = {
  title: "One lies: what it keeps for others is damaged behind its back, its receipts stay; an audit finds it",
  async run({ federation }) {
    const { sites, view } = federation;
    const liar = liarOf(sites);
    const liarId = federation.idOf(liar);
    const others = sites.filter((site) => site !== liar);
    await liar.stop();
    const damagedCount = await damageKept(
      liar,
      others.map((site) => federation.idOf(site)),
    );
    check(damagedCount > 0, `${liar.name} keeps nothing that could be damaged`);
    const program = new URL("lying-program.ts", import.meta.url).href;
    await federation.start(liar, { NODE_OPTIONS: `--import=${program}` });
    view.say(
      `${formatCountOf(damagedCount, "prime")} at ${liar.name} are not what they were; its program was changed to deny it`,
    );
    await federation.until({
      ...{ what: `${liar.name} is back`, mostMs: SHORT_MS },
      lacking: () =>
        federation.statuses.get(liar)!.connectedCount === others.length ? undefined : "it is not reached by all",
    });
    check(federation.unsafe().length === 0, "something is not safe before the audit");
    let found = 0;
    for (const site of others) {
      const audits = await federation.during(
        `${site.name} has its holders prove what they have`,
        site.command<AuditedHolder[]>(["federation", "audit"]),
      );
      const wrong = audits.filter(({ wrongCount }) => wrongCount > 0);
      check(
        wrong.every((audit) => audit.site === liarId),
        `${site.name} accuses an honest site`,
      );
      if (wrong.length > 0) found++;
    }
    check(found > 0, "no audit finds anything wrong");
    view.say(`${formatCountOf(found, "owner")} found out that ${liar.name} cannot prove what it says`);
    await federation.until({
      ...{ what: `others take over from ${liar.name}`, mostMs: SAFE_MS, sends: true },
      lacking: () => {
        const unsafe = federation.unsafe().map(({ name }) => name);
        if (unsafe.length > 0) return `this is not safe: ${unsafe.join(", ")}`;
        const relying = others.filter((site) => holderSlices(federation, site, liar) > 0);
        return relying.length === 0 || relying.length <= others.length - found
          ? undefined
          : `${relying.map(({ name }) => name).join(", ")} have copies there`;
      },
    });
    view.say(`Others hold what ${liar.name} was trusted with`);
  },
};

const fill: Step = {
  title: "One fills up: it refuses what does not fit, and the others take it",
  async run(story) {
    const { federation } = story;
    const { sites, view } = federation;
    const full = fullOf(sites);
    const keptBytes = (): number => federation.statuses.get(full)!.kept.reduce((sum, { bytes }) => sum + bytes, 0);
    const offeredBytes = keptBytes() + 64 * 1024;
    const others = sites.filter((site) => site !== full && site !== liarOf(sites));
    const before = new Map(others.map((site) => [site, holderSlices(federation, site, full)]));
    await full.command(["federation", "settings", "--offer", `${offeredBytes}B`]);
    view.say(`${full.name} keeps ${formatBytes(keptBytes())} for others, and offers 64 kB more`);
    await backUpAll(story, 2);
    await federation.untilSafe(`copies go where there is room`, SAFE_MS, 3);
    check(
      keptBytes() <= offeredBytes,
      `${full.name} keeps ${formatBytes(keptBytes())} and offers ${formatBytes(offeredBytes)}`,
    );
    const moved = others.filter((site) => holderSlices(federation, site, full) < before.get(site)!);
    check(moved.length > 0, `nobody found another holder instead of ${full.name}`);
    view.say(
      `${full.name} has not taken more than it offers; ${moved.map(({ name }) => name).join(", ")} found others`,
    );
  },
};

const kill: Step = {
  title: "Two of five are killed and their disks wiped: the other three hold everything of theirs",
  async run({ federation }) {
    const { sites, view } = federation;
    const lost = sites.filter((site) => site !== liarOf(sites) && site !== fullOf(sites)).slice(0, 2);
    const rest = sites.filter((site) => !lost.includes(site));
    check(federation.unsafe().length === 0, "something is not safe before they are killed");
    const owners = lost.map((site) => ({ site, id: federation.idOf(site) }));
    await Promise.all(lost.map((site) => site.kill()));
    const had = new Map(
      await Promise.all(owners.map(async ({ site, id }) => [site, await readableOf(site, id)] as const)),
    );
    for (const site of lost) await federation.wipe(site);
    view.say(`${lost.map(({ name }) => name).join(" and ")} are gone, with their disks`);
    await federation.until({
      ...{ what: "the others notice", mostMs: SHORT_MS },
      lacking: () =>
        rest.every((site) => federation.statuses.get(site)!.connectedCount === 2) ? undefined : "they do not",
    });
    await federation.during("stopping them to look at their disks", Promise.all(rest.map((site) => site.stop())));
    for (const { site, id } of owners) {
      const held = new Map<string, Buffer>();
      for (const holder of rest) for (const [prime, stored] of await readableOf(holder, id)) held.set(prime, stored);
      const original = had.get(site)!;
      const missing = [...original].filter(([prime, stored]) => held.get(prime)?.equals(stored) !== true);
      const more = [...held.keys()].filter((prime) => !original.has(prime as never));
      check(missing.length === 0, `${formatCount(missing.length)} primes of ${site.name} are lost`);
      check(more.length === 0, `${formatCount(more.length)} primes are held of ${site.name} that it never had`);
      const bytes = [...original.values()].reduce((sum, stored) => sum + stored.length, 0);
      view.say(
        `All ${formatCount(original.size)} primes of ${site.name}, ${formatBytes(bytes)}, are there, byte by byte`,
      );
    }
    await federation.during("starting the three again", Promise.all(rest.map((site) => federation.start(site))));
    await federation.until({
      ...{ what: "the three find each other", mostMs: SHORT_MS },
      lacking: () =>
        rest.every((site) => federation.statuses.get(site)!.connectedCount === 2) ? undefined : "they do not",
    });
  },
};

const liarOf = (sites: readonly DemoSite[]): DemoSite => sites[3]!;
const fullOf = (sites: readonly DemoSite[]): DemoSite => sites[4]!;

/** How many of the owner's slices that are not empty name the holder. */
function holderSlices(federation: DemoFederation, owner: DemoSite, holder: DemoSite): number {
  const id = federation.idOf(holder);
  const { slices } = federation.statuses.get(owner)!;
  return slices.filter(({ copies }) => copies.some((copy) => copy.holder === id)).length;
}

export const steps: readonly Step[] = [start, federate, backUp, partition, lie, fill, kill];
