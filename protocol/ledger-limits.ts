/** The limits of the ledger and of who may write it, which are among those of `limits.ts`. */
const KIB = 1024;
const MIB = 1024 * 1024;

export const ledgerLimits = {
  /** Most entries of one site that are in force: a snapshot is one, of a thousand bytes or so. */
  ledgerEntriesPerSiteCount: 100_000,
  /** Most bytes of one site's entries in force: a hostile one costs its peers no more memory and disk than so much, by a small factor. */
  ledgerPerSiteBytes: 64 * MIB,
  /** Retires of one site in force beyond that: a site that is full can make room. */
  ledgerRetiresPerSiteCount: 1024,
  /** The same in bytes. */
  ledgerRetiresPerSiteBytes: MIB,
  /** Most entries of one site that are kept, withdrawn ones too, which are for the lock period. */
  ledgerKeptPerSiteCount: 400_000,
  /** The same in bytes. */
  ledgerKeptPerSiteBytes: 256 * MIB,
  /** Most bytes that are kept of sites that may not speak any more, all together: as of one that may. */
  ledgerSilentBytes: 256 * MIB,
  /** Most retires of a log with a fork that count though other entries have their places: two machines that write for a day make fewer. */
  ledgerUnplacedCount: 64,
  /** Longest name, place or address in an entry, in characters. */
  ledgerTextCharacters: 260,
  /** Most addresses in a profile or an invitation. */
  ledgerAddressesCount: 16,
  /** Most holders of one slice. */
  holdersPerSliceCount: 16,
  /** Most logs of one site: one for each recovery. */
  ledgerLogsPerSiteCount: 256,
  /** Entries made idle by newer ones after which a site withdraws them: one retire for many. */
  supersededEntriesCount: 64,
  /** Ranges of a retire that a site writes; with more it first says again what is in force between them, so that a retire stays short. */
  retireRangesCount: 1024,
  /** Most members of a federation. */
  rosterMembersCount: 128,
  /** Most sites that a roster lists as expelled. */
  rosterExpelledCount: 256,
  /** Largest body of a roster: with a signature it fits an entry of the ledger. */
  rosterBodyBytes: 56 * KIB,
  /** Largest roster, with signatures of all members. */
  rosterBytes: 640 * KIB,
  /** Most rosters of a chain: a hundred changes a year for forty years. */
  rosterChainCount: 4096,
  /** Most rosters at once of a chain that leaves one's own. */
  rosterBranchCount: 256,
  /** Guests that one member may have let in at a time. */
  guestsPerMemberCount: 8,
  /** Consents of one site that are looked at, the newest first. */
  consentsPerSiteCount: 16,
  /** Most ranges of sequence numbers in one message or entry. */
  ledgerRangesCount: 8192,
} as const;
