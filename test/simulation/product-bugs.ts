/** Bugs to be found by the simulator, each a change of the real program. */
import type { Patch } from "./patched-tree.ts";

export interface ProductBug {
  readonly what: string;
  readonly patches: readonly Patch[];
  /** That has to find it. */
  readonly invariants: readonly string[];
  /** A seed that finds it, found by trying. */
  readonly seed: number;
  /** Of the command, besides the seed. */
  readonly words: readonly string[];
}

const plain = ["--sites", "5", "--hours", "12"];
const lost = { from: 'own !== undefined && own.lostCount > 0 ? "lost-primes" : undefined', to: "undefined" };

export const productBugs: readonly ProductBug[] = [
  {
    what: "a copy counts before its receipt",
    patches: [
      {
        file: "node/replication/placement-keeper.ts",
        from: 'receipt: ledger.statement(siteId, "receipt", subject)?.statement,',
        to: 'receipt: ledger.statement(siteId, "receipt", subject)?.statement ?? liveSet,',
      },
    ],
    invariants: ["I1-copies"],
    seed: 1,
    words: plain,
  },
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
    what: "a live set is signed while lost primes are missing, without them",
    patches: [
      { file: "node/replication/replication.ts", ...lost },
      {
        file: "node/federation/own-primes.ts",
        from: "for await (const page of store.kept(this.#siteId, slice.toString(16))) ids.push(...page);",
        to:
          "const lost = new Set((await Array.fromAsync((store as any).lostOf(this.#siteId))).flat());\n" +
          "    for await (const page of store.kept(this.#siteId, slice.toString(16))) ids.push(...page.filter((id) => !lost.has(id)));",
      },
    ],
    invariants: ["I5-omitted", "I1-copies"],
    seed: 7,
    words: plain,
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
    what: "a fork lets others drop what is kept of a site",
    patches: [
      {
        file: "node/replication/dropping.ts",
        from: "if (state.departedSinceMs !== undefined) {\n      if (!mayDropDeparted(state, heldClock.state)) return;",
        to: "if (state.departedSinceMs !== undefined || state.hasFork) {\n      if (!state.hasFork && !mayDropDeparted(state, heldClock.state)) return;",
      },
    ],
    invariants: ["I5-early"],
    seed: 7,
    words: plain,
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
        from: "if (target.log.certificate.siteId === siteId) this.#sites.get(siteId)!.withdraw(target, ranges);",
        to: "void siteId; this.#sites.get(target.log.certificate.siteId)!.withdraw(target, ranges);",
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
    seed: 2,
    words: plain,
  },
  {
    what: "a holder gives receipts for what it did not get",
    patches: [
      {
        file: "node/replication/holder-run.ts",
        from: "if (hash !== signed.hash || live.length !== signed.count)",
        to: "if (live.length > signed.count)",
      },
      {
        file: "node/replication/owner-run.ts",
        from: "if (!(await this.#sendPrimes(slice, missing, lacking))) return",
        to: "if (!(await this.#sendPrimes(slice, missing.slice(1), lacking))) return",
      },
    ],
    invariants: ["I1-copies"],
    seed: 1,
    words: plain,
  },
  {
    what: "a holder that is full is asked again and again",
    patches: [
      {
        file: "node/replication/replicator.ts",
        from: '(["quota-exceeded", "store-full", "ledger-refused", "peer-misbehaved"] as const)',
        to: '(["quota-exceeded"] as const)',
      },
    ],
    invariants: ["I6-convergence"],
    seed: 1,
    words: ["--sites", "5", "--hours", "12", "--hostile", "1", "--vice", "boasts"],
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
    seed: 1,
    words: plain,
  },
  {
    what: "the lock is a day too short",
    patches: [{ file: "ledger/drop-plan.ts", from: "LOCK_MS = 45 *", to: "LOCK_MS = 44 *" }],
    invariants: ["I5-early"],
    seed: 1,
    words: [
      "--sites",
      "5",
      "--hours",
      "12",
      "--hostile",
      "1",
      "--vice",
      "omits",
      "--only",
      "none",
      "--quiet-days",
      "46",
    ],
  },
  {
    what: "the lock is counted from the time that the owner states",
    patches: [
      {
        file: "node/replication/holder-run.ts",
        from: "await omissions.note(owner, slice, signed.logId, noted);",
        to: "await (omissions as any).note(owner, slice, signed.logId, noted, parseEntry(entry).timeMs);",
      },
      {
        file: "node/replication/omissions.ts",
        from: "logId: LogId, omitted: ReadonlySet<PrimeId>)",
        to: "logId: LogId, omitted: ReadonlySet<PrimeId>, timeMs?: number)",
      },
      {
        file: "node/replication/omissions.ts",
        from: "this.#newNotes(owner, slice, logId, [...fresh])",
        to: "this.#newNotes(owner, slice, logId, [...fresh], timeMs)",
      },
      {
        file: "node/replication/omissions.ts",
        from: "ids: readonly PrimeId[] | undefined): SiteFact[] {",
        to: "ids: readonly PrimeId[] | undefined, timeMs?: number): SiteFact[] {",
      },
      {
        file: "node/replication/omissions.ts",
        from: "const { nowMs: sinceMs, fact: clockFact } = this.#components.heldClock.note();",
        to:
          "const { nowMs, fact: clockFact } = this.#components.heldClock.note();\n" +
          "    const wall = readFactValue(clockFact.value!, v.looseObject({ wallMs: v.number() }), KIND).wallMs;\n" +
          "    const sinceMs = nowMs - Math.max(0, wall - (timeMs ?? wall));",
      },
    ],
    invariants: ["I5-early"],
    seed: 1,
    words: ["--sites", "5", "--hours", "24", "--hostile", "1", "--vice", "omits"],
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
    seed: 1,
    words: plain,
  },
  {
    what: "what is live again stays noted as left out",
    patches: [
      {
        file: "node/replication/omissions.ts",
        from: "const still = note.logId === logId ? (note.ids ?? []).filter((id) => omitted.has(id)) : [];",
        to: "const still = note.ids ?? [];",
      },
    ],
    invariants: ["I5-omitted"],
    seed: 1,
    words: ["--sites", "5", "--hours", "48"],
  },
  {
    what: "a site whose disk is older than its log signs what it has",
    patches: [
      {
        file: "node/federation/keeping.ts",
        from: "return ownLog.wasLedBack ? LED_BACK : undefined;",
        to: "return undefined;",
      },
    ],
    invariants: ["I5-omitted", "I1-copies"],
    seed: 1,
    words: ["--sites", "5", "--hours", "12", "--intensity", "3"],
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
    seed: 1,
    words: ["--sites", "5", "--hours", "12", "--intensity", "3"],
  },
  {
    what: "receipts of a machine that is gone count for the next one",
    patches: [
      {
        file: "ledger/site-state.ts",
        from: 'new Set(["receipt", "loss"])',
        to: "new Set()",
      },
    ],
    invariants: ["I6-convergence"],
    seed: 1,
    words: ["--sites", "4", "--hours", "10", "--intensity", "3"],
  },
  {
    what: "a holder whose disk is older says nothing of what it has not",
    patches: [
      {
        file: "node/replication/replication.ts",
        from: "if (components.wasLedBack()) await reportForgotten(parts);",
        to: "void reportForgotten;",
      },
    ],
    invariants: ["I6-convergence"],
    seed: 1,
    words: ["--mixed"],
  },
  {
    what: "a copy counts though its holder has lost some of it",
    patches: [
      {
        file: "ledger/copies.ts",
        from: "if (receipt === undefined || hasLoss || failsAudits",
        to: "if (receipt === undefined || (hasLoss && !failsAudits) === undefined || failsAudits",
      },
    ],
    invariants: ["I6-convergence", "I1-copies"],
    seed: 1,
    words: ["--mixed"],
  },
];
