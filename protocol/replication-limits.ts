/** The limits of replication, which are among those of `limits.ts`. */
const MIB = 1024 * 1024;

export const replicationLimits = {
  /** Largest message of replication, expanded: `reconcileExtrasCount` ids that an owner has left out. */
  replicateMessageBytes: 16 * MIB,
  /** Largest frame of replication: a batch and its first byte. */
  replicateFrameBytes: 16 * MIB + 1,
  /** Batches that an owner sends ahead of what its holder says to have kept: a long line stays busy, and a cut costs no more. */
  replicateUnderWayBytes: 32 * MIB,
  /** Batches that a holder makes durable at once, of all owners; a larger one goes alone. Enough that it verifies and receives while it waits for its disk. */
  replicateKeepingBytes: 16 * MIB,
  /** Batches of one run whose answers are still to be sent: who does not take them may not have the holder remember ever more. */
  replicateUnansweredCount: 16,
  /** Owners that a holder fills for the first time at once: the first fill takes the longest, and others want their turn. */
  firstFillsCount: 2,
  /** Entries with receipts that a holder writes within a day for one owner or steward: one an hour, and one for each slice in which something was left out, several times over. */
  receiptEntriesPerDayCount: 256,
  /** Most primes asked for in one message of `/costor/primes/1`. */
  fetchIdsCount: 4096,
  /** Primes that one audit asks of a holder: a loss of 1 % is found within a week with a chance of 0.989. */
  auditPrimesCount: 64,
  /** Primes of a slice that a holder may be asked for by its receipt: eight nights' if it holds that slice alone, 128 if it holds all. */
  auditQuestionsCount: 512,
  /** Time for the answer to each prime of an audit, after the one before: a disk's seek and 4 MiB many times over. */
  auditAnswerMs: 10_000,
  /** Time off after which the machine's clock may as well have been set ahead meanwhile: more than a long weekend. */
  clockUnprovenOffMs: 4 * 24 * 3_600_000,
  /** Time that a site runs on until its clock is believed, though neither people nor other sites have confirmed it. */
  clockProvenRunMs: 30 * 24 * 3_600_000,
} as const;
