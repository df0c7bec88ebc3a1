/** Alarms of the ransomware brake: facts, each until a person settles it, and then for the record. docs/specs/site-files.md */
import * as v from "valibot";
import type { PrimeStore } from "#node/store/prime-store.ts";
import { encodeCbor } from "#protocol/cbor.ts";
import { CostorError } from "#protocol/errors.ts";
import { type AgentId, type SnapshotId, parseAgentId, parseSnapshotId } from "#protocol/ids.ts";
import { readFactValue } from "./site-facts.ts";

const KIND = "brake-alarm";
/** `mass-change`: too many files at once. `types-lost`, `incompressible`: what they hold turned into noise. */
export const changeFindings = ["mass-change", "types-lost", "incompressible"] as const;
export type ChangeFinding = (typeof changeFindings)[number];

const count = v.pipe(v.number(), v.safeInteger());
const schema = v.strictObject({
  job: v.string(),
  /** The snapshot before, which is taken for good. */
  before: v.pipe(
    v.string(),
    v.transform((text): SnapshotId => parseSnapshotId(text)),
  ),
  findings: v.array(v.picklist(changeFindings)),
  filesBefore: count,
  changedCount: count,
  addedCount: count,
  removedCount: count,
  raisedMs: count,
  settledMs: v.optional(count),
  note: v.optional(v.string()),
});

/** About the snapshot `snapshot` of `agent`. */
export interface BrakeAlarm extends Readonly<v.InferOutput<typeof schema>> {
  readonly agent: AgentId;
  readonly snapshot: SnapshotId;
}

export interface BrakeAlarmComponents {
  readonly store: Pick<PrimeStore, "facts" | "appendFacts">;
  readonly now: () => number;
}

export class BrakeAlarms {
  readonly #components: BrakeAlarmComponents;
  readonly #alarms: Map<string, BrakeAlarm>;

  private constructor(components: BrakeAlarmComponents, alarms: Map<string, BrakeAlarm>) {
    this.#components = components;
    this.#alarms = alarms;
  }

  static async open(components: BrakeAlarmComponents): Promise<BrakeAlarms> {
    const alarms = new Map<string, BrakeAlarm>();
    for await (const { key, value } of components.store.facts(KIND)) {
      const [agent, snapshot] = key.split("/") as [string, string];
      const stored = readFactValue(value, schema, KIND);
      alarms.set(key, { ...stored, agent: parseAgentId(agent), snapshot: parseSnapshotId(snapshot) });
    }
    return new BrakeAlarms(components, alarms);
  }

  /** The newest first; those that are settled too. */
  list(): readonly BrakeAlarm[] {
    return [...this.#alarms.values()].sort((one, other) => other.raisedMs - one.raisedMs);
  }

  /** Those that stand. */
  standing(): readonly BrakeAlarm[] {
    return this.list().filter(({ settledMs }) => settledMs === undefined);
  }

  /** Durable when it resolves. Nothing, and undefined, when one about that snapshot was raised before: what a person has settled stays so. */
  async raise(alarm: Omit<BrakeAlarm, "raisedMs" | "settledMs" | "note">): Promise<BrakeAlarm | undefined> {
    if (this.#alarms.has(`${alarm.agent}/${alarm.snapshot}`)) return undefined;
    const raised = { ...alarm, raisedMs: this.#components.now() };
    await this.#keep(raised);
    return raised;
  }

  /** A person has looked into it: `note` says what it was. Throws `alarm-unknown`. */
  async settle(snapshot: string, note: string): Promise<BrakeAlarm> {
    const found = this.standing().filter((alarm) => alarm.snapshot.startsWith(snapshot.toLowerCase()));
    const [alarm] = found;
    if (alarm === undefined || found.length > 1)
      throw new CostorError("alarm-unknown", `${found.length} alarms that stand are about a snapshot ${snapshot}`);
    const settled: BrakeAlarm = { ...alarm, settledMs: this.#components.now(), note };
    await this.#keep(settled);
    return settled;
  }

  async #keep(alarm: BrakeAlarm): Promise<void> {
    const { agent, snapshot, findings, ...rest } = alarm;
    const key = `${agent}/${snapshot}`;
    const value = encodeCbor({ ...rest, findings: [...findings] });
    await this.#components.store.appendFacts([{ kind: KIND, key, value }]);
    this.#alarms.set(key, alarm);
  }
}
