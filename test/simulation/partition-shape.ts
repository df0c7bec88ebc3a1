/** The forms in which a network falls apart: which links are cut, each one way. */
import type { PeerKey } from "#protocol/ids.ts";
import type { SeededRng } from "./seeded-rng.ts";

export type Link = readonly [from: PeerKey, to: PeerKey];
type Shape = (rng: SeededRng, sites: readonly PeerKey[]) => Link[];

/** All links for which `isCut` is true. */
const links = (sites: readonly PeerKey[], isCut: (from: number, to: number) => boolean): Link[] =>
  sites.flatMap((from, fromAt) =>
    sites.flatMap((to, toAt): Link[] => (fromAt !== toAt && isCut(fromAt, toAt) ? [[from, to]] : [])),
  );

export const partitionShapes = {
  /** Two groups. */
  split: (rng, sites) => {
    const border = 1 + rng.below(sites.length - 1);
    return links(rng.sample(sites), (from, to) => from < border !== to < border);
  },
  /** The same two halves each time. */
  halves: (_, sites) => links(sites, (from, to) => from < sites.length / 2 !== to < sites.length / 2),
  /** One alone. */
  isolated: (rng, sites) => {
    const alone = rng.below(sites.length);
    return links(sites, (from, to) => from === alone || to === alone);
  },
  /** Each reaches its two neighbours only. */
  ring: (rng, sites) => links(rng.sample(sites), (from, to) => ![1, sites.length - 1].includes(Math.abs(from - to))),
  /** Two groups, and one that both reach. */
  bridge: (rng, sites) => {
    const border = Math.ceil(sites.length / 2);
    return links(rng.sample(sites), (from, to) => from > 0 && to > 0 && from < border !== to < border);
  },
  /** One hears nobody and is heard. */
  deaf: (rng, sites) => {
    const deaf = rng.below(sites.length);
    return links(sites, (_, to) => to === deaf);
  },
  /** One hears all and is not heard. */
  mute: (rng, sites) => {
    const mute = rng.below(sites.length);
    return links(sites, (from) => from === mute);
  },
  /** Some links, each one way. */
  holes: (rng, sites) => {
    const ratio = rng.between(0.1, 0.6);
    return links(sites, () => rng.happens(ratio));
  },
  /** Nobody reaches anybody. */
  total: (_, sites) => links(sites, () => true),
} satisfies Record<string, Shape>;

export type PartitionShape = keyof typeof partitionShapes;
export const partitionShapeNames = Object.keys(partitionShapes) as PartitionShape[];
