/** Bugs of decisions and of the ledger. */
import { type ProductBug, plain } from "./product-bug.ts";

export const ledgerBugs: readonly ProductBug[] = [
  {
    what: "audits always pass",
    patches: [
      {
        file: "ledger/audit-sample.ts",
        from: "wrongCount > 0 || silentCount >= SILENT_PRIMES_COUNT;",
        to: "wrongCount < 0 || silentCount < 0;",
      },
    ],
    invariants: ["I6-convergence"],
    seed: 1,
    words: ["--sites", "5", "--hours", "12", "--hostile", "1", "--vice", "drops"],
  },
  {
    what: "a machine that is being recovered signs what it has",
    patches: [
      {
        file: "ledger/own-log.ts",
        from: "const isNew = init.log.certificate.epoch > 1 && !(await isNoted(REGAINED_KEY));",
        to: "const isNew = false;",
      },
    ],
    invariants: ["I5-omitted", "I1-copies"],
    seed: 6,
    words: plain,
  },
  {
    what: "what was left out is not locked",
    patches: [
      {
        file: "ledger/drop-plan.ts",
        from: "export const LOCK_MS = 45 * 24 * 3_600_000;",
        to: "export const LOCK_MS = 45 * 60_000;",
      },
    ],
    invariants: ["I5-early"],
    seed: 1,
    words: ["--sites", "5", "--hours", "24", "--hostile", "1", "--vice", "omits"],
  },
  {
    what: "what is kept of a site that leaves is dropped at once",
    patches: [
      {
        file: "ledger/drop-plan.ts",
        from: "return clock.nowMs - owner.departedSinceMs >= LOCK_MS;",
        to: "return true;",
      },
    ],
    invariants: ["I5-early"],
    seed: 4,
    words: plain,
  },
  {
    what: "a retire withdraws entries of others",
    patches: [
      {
        file: "ledger/replica.ts",
        from: "if (target.log.certificate.siteId !== siteId) return;\n    const gone = this.#sites.get(siteId)!.withdraw(target, ranges);",
        to: "void siteId;\n    const gone = this.#sites.get(target.log.certificate.siteId)!.withdraw(target, ranges);",
      },
    ],
    invariants: ["I3-withdrawn"],
    seed: 1,
    words: ["--sites", "5", "--hours", "12", "--hostile", "1", "--vice", "withdraws"],
  },
  {
    what: "an entry is known to others before it is durable",
    patches: [
      {
        file: "ledger/ledger.ts",
        from: "try {\n        await this.#components.store.write(changes);",
        to: "try {\n        void this.#components.store.write(changes).catch(() => {});",
      },
    ],
    invariants: ["I3-ahead", "I9-monotonic"],
    seed: 11,
    words: plain,
  },
  {
    what: "a copy of an older live set counts for the newest snapshot",
    patches: [
      {
        file: "ledger/copies.ts",
        from: "snapshots: Math.min(receipt.snapshots, liveSet.snapshots) }",
        to: "snapshots: liveSet.snapshots }",
      },
    ],
    invariants: ["I1-copies"],
    seed: 2,
    words: plain,
  },
  {
    what: "nobody looks whether bytes are those of their id",
    patches: [
      {
        file: "protocol/sealing.ts",
        from: "if (found !== id)",
        to: "if (found !== id && stored.length < 0)",
      },
    ],
    invariants: ["I2-wrong"],
    seed: 1,
    words: ["--sites", "5", "--hours", "12", "--hostile", "1", "--vice", "lies"],
  },
  {
    what: "two copies in one place are enough",
    patches: [
      {
        file: "ledger/copies.ts",
        from: "chosen.length >= copiesCount && domains.size >= Math.min(copiesCount, domainsCount)",
        to: "chosen.length >= copiesCount && domains.size >= Math.min(1, domainsCount)",
      },
      {
        file: "ledger/plan-placement.ts",
        from: "const apart = eligible.filter((site) => !domains.has(site.domain));",
        to: "const apart = eligible.filter(() => domains.size >= 0);",
      },
      {
        file: "ledger/plan-placement.ts",
        from: "    this.#judgeDomains();\n    this.#vacancies",
        to: "    this.#vacancies",
      },
    ],
    invariants: ["I1-places"],
    seed: 8,
    words: plain,
  },
  {
    what: "a site writes before it has asked others",
    patches: [
      {
        file: "ledger/own-log.ts",
        from: "return this.#hasAsked || this.#hasWritten ||",
        to: "return siteId !== undefined || this.#hasAsked || this.#hasWritten ||",
      },
    ],
    invariants: ["I3-unasked"],
    seed: 6,
    words: ["--sites", "5", "--hours", "12", "--intensity", "3"],
  },
];
