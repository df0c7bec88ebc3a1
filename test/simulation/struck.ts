/** How often each kind of fault has struck, and each vice of hostile sites has done harm. */
import { type FaultKind, type Vice, faultKinds, vices } from "./fault-plan.ts";

export class Struck {
  readonly counts: Map<FaultKind | Vice, number>;

  constructor(counts: Iterable<readonly [FaultKind | Vice, number]> = []) {
    this.counts = new Map(counts);
  }

  add(kind: FaultKind | Vice, count = 1): void {
    this.counts.set(kind, (this.counts.get(kind) ?? 0) + count);
  }

  addAll(other: Struck): void {
    for (const [kind, count] of other.counts) this.add(kind, count);
  }

  get never(): (FaultKind | Vice)[] {
    return [...faultKinds, ...vices].filter((kind) => !this.counts.has(kind));
  }

  toString(): string {
    const known = [...faultKinds, ...vices].filter((kind) => this.counts.has(kind));
    return known.map((kind) => `${kind} ${this.counts.get(kind)}`).join(", ") || "no faults";
  }
}
