/** Which fault each request meets: a function of seed and request number alone, so that a run can be repeated however requests interleave. */
import { hash } from "node:crypto";

export const faultKinds = [
  /** Passed on as it is. */
  "none",
  /** The connection is cut before anything was passed on. */
  "cut-before",
  /** The site gets the head and a part of the body; then both connections are cut. */
  "cut-request",
  /** The site does what was asked; the connection is cut before a byte of the answer. */
  "lose-answer",
  /** The client gets the head and a part of the answer's body. */
  "cut-answer",
  "delay-request",
  "delay-answer",
  /** Sent twice, one after the other; the client gets the second answer. */
  "duplicate",
  /** Sent twice at once; the client gets the answer that comes first. */
  "duplicate-at-once",
  /** Sent once more some time after it was answered, behind later requests. */
  "replay",
  /** Held back until another request has overtaken it. */
  "hold",
  /** Body and answer pass in small pieces. */
  "trickle",
  /** A proxy's own error page instead of passing it on, … */
  "gateway-error",
  /** … or instead of the answer to what was passed on. */
  "gateway-error-after",
] as const;
export type FaultKind = (typeof faultKinds)[number];

export interface Fault {
  readonly kind: FaultKind;
  /** How long delays, holds and replays wait at most. */
  readonly waitMs: number;
  /** Where a cut is, as a share of the body. */
  readonly cutRatio: number;
}

export interface FaultPlan {
  /** @param number of the request, from 0 */
  faultOf(number: number): Fault;
}

export interface SeededPlanInit {
  readonly seed: string | number;
  /** How often each kind is met, in proportion; by default every second request passes unharmed. */
  readonly weights?: Partial<Record<FaultKind, number>>;
  readonly waitMaxMs?: number;
}

export function createSeededPlan({ seed, weights, waitMaxMs = 200 }: SeededPlanInit): FaultPlan {
  const evenly = Object.fromEntries(faultKinds.map((kind) => [kind, kind === "none" ? faultKinds.length - 1 : 1]));
  const shares = Object.entries(weights ?? evenly) as [FaultKind, number][];
  const sum = shares.reduce((total, [, weight]) => total + weight, 0);
  return {
    faultOf: (number) => {
      const digest = hash("sha256", `${seed}/${number}`, "buffer");
      const random = (index: number): number => digest.readUInt32BE(index * 4) / 2 ** 32;
      let rest = random(0) * sum;
      const kind = shares.find(([, weight]) => (rest -= weight) < 0)?.[0] ?? "none";
      return { kind, waitMs: Math.floor(random(1) * waitMaxMs), cutRatio: random(2) };
    },
  };
}

/** The given faults for the first requests, none afterwards. */
export function createListedPlan(faults: readonly (FaultKind | Partial<Fault>)[]): FaultPlan {
  return {
    faultOf: (number) => {
      const listed = faults[number] ?? "none";
      return { kind: "none", waitMs: 50, cutRatio: 0.5, ...(typeof listed === "string" ? { kind: listed } : listed) };
    },
  };
}
