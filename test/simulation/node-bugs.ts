/** Bugs of what a site does. */
import { type ProductBug, plain } from "./product-bug.ts";

export const nodeBugs: readonly ProductBug[] = [
  {
    what: "a copy counts before its receipt",
    patches: [
      {
        file: "node/replication/placement-keeper.ts",
        from: 'const receipt = ledger.statement(siteId, "receipt", subject)?.statement;',
        to: 'const receipt = ledger.statement(siteId, "receipt", subject)?.statement ?? liveSet;',
      },
      {
        file: "node/replication/placement-keeper.ts",
        from: "liveSet === undefined || receipt?.generation !== liveSet.generation",
        to: "liveSet === undefined",
      },
      {
        file: "node/replication/placement-keeper.ts",
        from: "if (receipt.snapshots < liveSet.snapshots) return false;",
        to: "",
      },
      {
        file: "node/replication/placement-keeper.ts",
        from: "receivers = this.#components.ledger.receivers(owner, slice)): SliceState {",
        to: 'receivers = this.#components.ledger.statement(owner, "placement", `${slice}`)?.statement.holders ?? []): SliceState {',
      },
    ],
    invariants: ["I1-copies"],
    seed: 1,
    words: plain,
  },
  {
    what: "a live set is signed while lost primes are missing, without them",
    patches: [
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
    seed: 2,
    words: plain,
  },
  {
    what: "a holder that is full is asked again and again",
    patches: [
      {
        file: "node/replication/refusals.ts",
        from: '(["quota-exceeded", "store-full", "ledger-refused", "peer-misbehaved"] as const)',
        to: '(["quota-exceeded"] as const)',
      },
    ],
    invariants: ["I6-convergence"],
    seed: 1,
    words: ["--sites", "5", "--hours", "12", "--hostile", "1", "--vice", "boasts"],
  },
  {
    what: "the lock is counted from the time that the owner states",
    patches: [
      {
        file: "node/replication/holder-run.ts",
        from: "await omissions.note(owner, slice, signed.logId, noted);",
        to: "await (omissions as any).note(owner, slice, signed.logId, noted, (await import('#ledger/entry.ts')).parseEntry(entry).timeMs);",
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
    seed: 2,
    words: ["--sites", "5", "--hours", "24", "--hostile", "1", "--vice", "omits"],
  },
  {
    what: "what is live again stays noted as left out",
    patches: [
      {
        file: "node/replication/omissions.ts",
        from: "if (still.length === note.ids?.length) return [];",
        to: "if (note.ids !== undefined) return [];",
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
        from: "if (ownLog.wasLedBack) return LED_BACK;",
        to: "",
      },
    ],
    invariants: ["I4-partial", "I5-omitted", "I1-copies"],
    seed: 1,
    words: ["--sites", "5", "--hours", "12", "--intensity", "3"],
  },
];
