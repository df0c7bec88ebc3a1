/** Medians, ratios and the table of a bench. */
import { goals } from "./scenarios.ts";
import type { Sample } from "./trial.ts";

type Figure = "wallSeconds" | "cpuSeconds" | "clientPeakBytes" | "serverPeakBytes" | "storedBytes" | "addedBytes";

export interface Spread {
  readonly median: number;
  readonly least: number;
  readonly most: number;
}

export interface StepSummary {
  readonly scenario: string;
  readonly step: string;
  readonly contenders: Readonly<Record<string, Readonly<Record<Figure, Spread>>>>;
  /** CoStor to each peer: the ratio of the medians, with the least and the most among the pairs of runs. */
  readonly ratios: Readonly<Record<string, Readonly<Record<Figure, Spread>>>>;
  /** Goals that the first peer's ratios miss, as sentences. */
  readonly missed: readonly string[];
}

const figures: readonly Figure[] = [
  "wallSeconds",
  "cpuSeconds",
  "clientPeakBytes",
  "serverPeakBytes",
  "storedBytes",
  "addedBytes",
];
const subject = "costor";
const peakLimitBytes = 350_000_000;

export function spreadOf(values: readonly number[]): Spread {
  const sorted = values.toSorted((a, b) => a - b);
  const upper = sorted[Math.floor(sorted.length / 2)]!;
  const lower = sorted[Math.floor((sorted.length - 1) / 2)]!;
  return { median: (lower + upper) / 2, least: sorted[0]!, most: sorted.at(-1)! };
}

/** One summary for each scenario and step, in the order of the samples. */
export function summarise(samples: readonly Sample[]): StepSummary[] {
  const groups = Map.groupBy(samples, (sample) => `${sample.scenario}\n${sample.step}`);
  return [...groups.values()].map((group) => {
    const { scenario, step } = group[0]!;
    const byContender = Map.groupBy(group, (sample) => sample.contender);
    const contenders = Object.fromEntries(
      [...byContender].map(([name, own]) => [name, forEachFigure((figure) => spreadOf(own.map((one) => one[figure])))]),
    );
    const own = byContender.get(subject) ?? [];
    const ratios = Object.fromEntries(
      [...byContender]
        .filter(([name]) => name !== subject && own.length > 0)
        .map(([name, theirs]) => [name, forEachFigure((figure) => ratioOf(own, theirs, figure))]),
    );
    return { scenario, step, contenders, ratios, missed: missedGoals(step, own, Object.values(ratios)[0]) };
  });
}

function forEachFigure<T>(make: (figure: Figure) => T): Record<Figure, T> {
  return Object.fromEntries(figures.map((figure) => [figure, make(figure)])) as Record<Figure, T>;
}

function ratioOf(own: readonly Sample[], theirs: readonly Sample[], figure: Figure): Spread {
  const pairs = own.flatMap((sample) => {
    const other = theirs.find((candidate) => candidate.runNumber === sample.runNumber);
    return other === undefined || other[figure] === 0 ? [] : [sample[figure] / other[figure]];
  });
  if (pairs.length === 0) return { median: Number.NaN, least: Number.NaN, most: Number.NaN };
  const ofMedians = spreadOf(own.map((one) => one[figure])).median / spreadOf(theirs.map((one) => one[figure])).median;
  return { ...spreadOf(pairs), median: ofMedians };
}

function missedGoals(step: string, own: readonly Sample[], ratios: Record<Figure, Spread> | undefined): string[] {
  const missed: string[] = [];
  const goal = goals[step];
  const compare = (label: string, figure: Figure, most: number | undefined): void => {
    const ratio = ratios?.[figure].median;
    if (most !== undefined && ratio !== undefined && ratio > most) {
      missed.push(`${label} ${ratio.toFixed(2)} of the peer's, goal ${most}`);
    }
  };
  compare("wall time", "wallSeconds", goal?.wall);
  compare("CPU", "cpuSeconds", goal?.cpu);
  compare("stored", "storedBytes", goal?.stored);
  for (const [side, figure] of [
    ["agent", "clientPeakBytes"],
    ["site", "serverPeakBytes"],
  ] as const) {
    const peakBytes = Math.max(0, ...own.map((one) => one[figure]));
    if (peakBytes > peakLimitBytes) missed.push(`${side} peaked at ${megabytes(peakBytes)}, goal under 350 MB`);
  }
  return missed;
}

/** The table in Markdown: it reads well on a terminal and goes into the docs as it is. */
export function markdownTable(summaries: readonly StepSummary[]): string {
  const header = ["scenario", "step", "program", "wall s", "CPU s", "client peak", "server peak", "stored", "added"];
  const rows = summaries.flatMap((summary) => [
    ...Object.entries(summary.contenders).map(([name, spreads]) => [
      summary.scenario,
      summary.step,
      name,
      withSpread(spreads.wallSeconds, (value) => value.toFixed(2)),
      withSpread(spreads.cpuSeconds, (value) => value.toFixed(2)),
      ...(["clientPeakBytes", "serverPeakBytes", "storedBytes", "addedBytes"] as const).map((figure) =>
        megabytes(spreads[figure].median),
      ),
    ]),
    ...Object.entries(summary.ratios).map(([name, spreads]) => [
      summary.scenario,
      summary.step,
      `**ratio to ${name}**`,
      ...figures.map((figure) => `**${ratioText(spreads[figure])}**`),
    ]),
  ]);
  const widths = header.map((title, column) => Math.max(title.length, ...rows.map((row) => row[column]!.length)));
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, column) => cell.padEnd(widths[column]!)).join(" | ")} |`;
  return [line(header), line(widths.map((width) => "-".repeat(width))), ...rows.map(line)].join("\n");
}

function withSpread(spread: Spread, show: (value: number) => string): string {
  const middle = show(spread.median);
  return spread.least === spread.most ? middle : `${middle} (${show(spread.least)}–${show(spread.most)})`;
}

function ratioText(spread: Spread): string {
  return Number.isNaN(spread.median) ? "–" : withSpread(spread, (value) => value.toFixed(2));
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

/** How peak memory grew from the smaller to the larger of the two scenarios with many files, where both ran. */
export function memoryGrowth(summaries: readonly StepSummary[]): string[] {
  const stepsOf = (scenario: string): readonly StepSummary[] => summaries.filter((one) => one.scenario === scenario);
  return stepsOf("many-1000000").flatMap((large) => {
    const small = stepsOf("many-100000").find((one) => one.step === large.step);
    return Object.keys(large.contenders).flatMap((name) => {
      const after = large.contenders[name]!;
      const before = small?.contenders[name];
      if (before === undefined) return [];
      const client = (after.clientPeakBytes.median / before.clientPeakBytes.median).toFixed(2);
      const server = (after.serverPeakBytes.median / before.serverPeakBytes.median).toFixed(2);
      return [`${name}, ${large.step}: client ${client}, server ${server} times the peak with 100,000 files`];
    });
  });
}
