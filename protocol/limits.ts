/** Every limit of the formats and protocols: unit, value, reason. A test holds `docs/limits.md` equal to it; each has a test that exceeds it. */
import { ledgerLimits } from "./ledger-limits.ts";
import { replicationLimits } from "./replication-limits.ts";

const KIB = 1024;
const MIB = 1024 * KIB;

export const limits = {
  /** Largest plaintext of a prime: what one worker holds at once. */
  primePlainBytes: 4 * MIB,
  /** Largest stored prime: an incompressible 4 MiB with header, tag and Padmé padding. */
  primeStoredBytes: 4 * MIB + 256 * KIB,
  /** Files up to this size are bundled; larger ones are cut by content. */
  smallFileBytes: 256 * KIB,
  /** No cut of a large file comes before this: fewer, larger primes. */
  chunkMinBytes: 256 * KIB,
  /** A cut of a large file comes here at the latest: a chunk fits a prime. */
  chunkMaxBytes: 4 * MIB,
  /** Up to here a candidate is a cut at 1/4096, after it at 1/256: an average of about 1 MiB. */
  chunkNormalBytes: 832 * KIB,
  /** A bundle of small files ends no earlier, unless the walk ends. */
  bundleMinBytes: 32 * KIB,
  /** Mean size of a bundle, by the chance of an end after each file: few neighbours are stored again with a changed file. */
  bundleAverageBytes: 128 * KIB,
  /** A bundle that reaches this ends: opening one file costs no more than so much. */
  bundleMaxBytes: 512 * KIB,
  /** Payloads of bundles and tree primes are padded to at least this, so that known neighbours do not show in sizes: docs/decisions/padding-from-32-kib.md. */
  paddedMinBytes: 32 * KIB,
  /** A directory's tree is inlined in its parent's while its encoding is at most this. */
  treeInlineBytes: 32 * KIB,
  /** A snapshot's root node is inlined in what a commit says while its encoding is at most this: the ledgers of all sites keep it. */
  rootInlineBytes: KIB,
  /** Most directories inlined one in the other: what bounds the copies of a deep tree that an agent's database keeps. */
  treeInlinedLevelsCount: 32,
  /** Largest encoded tree page, read or written: an index over 4,096 pages whose first names are the longest takes 1.4 MiB. */
  treePageBytes: 2 * MIB,
  /** Above this a file's reference list moves to pages of its own. */
  fileReferencesInlineCount: 64,
  /** Largest count of references in one reference page. */
  referencePageCount: 8192,
  /** Deepest nesting of CBOR values in anything that CoStor reads. */
  cborDepthCount: 64,
  /** Most values in one CBOR encoding: each takes memory many times its byte. A page of the smallest files, each with an owner and a prime of its own, has 220,000. */
  cborItemsCount: 300_000,
  /** Largest name of an object (Linux NAME_MAX). */
  nameBytes: 255,
  /** Largest symlink target (Linux PATH_MAX). */
  linkTargetBytes: 4096,
  /** Largest value of one extended attribute (Linux XATTR_SIZE_MAX). */
  xattrValueBytes: 64 * KIB,
  /** Most data ranges kept of a sparse file, so that it fits a tree page; with more, the smallest holes count as data. */
  sparseExtentsCount: 16_384,
  /** Directories below the root that one walk holds open, whatever the depth. */
  openDirectoriesCount: 32,
  /** Largest sum of an object's extended attributes, so that an object fits a tree page. */
  xattrTotalBytes: 512 * KIB,
  /** Largest body of one batch of primes. */
  batchBytes: 16 * MIB,
  /** Most primes in one batch. */
  batchPrimesCount: 1024,
  /** Most ids in one question about what is missing. */
  missingIdsCount: 65_536,
  /** Most missing primes that the answer to a commit lists: the agent sends them and commits again. */
  commitMissingCount: 10_000,
  /** Most nodes and pages, each in a prime, that the check of a commit meets and no earlier snapshot has, about 80 bytes of memory each: 32 GiB of directories. More are `tree-invalid`. */
  commitSlicesCount: 1_000_000,
  /** Most of them that wait for those below others, about 300 bytes each: fifty levels of wide directories. More are `tree-invalid`. */
  commitWaitingCount: 250_000,
  /** Largest JSON body. */
  jsonBodyBytes: 1 * MIB,
  /** Largest body of an enrolment, which anybody may send: a secret and a host name, escaped. */
  enrolBodyBytes: 4 * KIB,
  /** Largest configuration file of an agent; room for ten thousand patterns. */
  configFileBytes: 1 * MIB,
  /** Largest JSON answer that an agent takes from its site: a list of 100,000 snapshots. */
  jsonAnswerBytes: 64 * MIB,
  /** Most that an agent keeps of tree primes for its queries. */
  treeCacheBytes: 256 * MIB,
  /** Largest sum of request bodies in a site's memory, until they are answered; further ones wait before they are read. */
  bodiesInMemoryBytes: 64 * MIB,
  /** Room in a site's memory for answers: reads of primes, 17 MiB each at most, and small files. Further ones wait; half is for one agent. */
  answersInMemoryBytes: 136 * MIB,
  /** A body that comes more slowly than this over {@link limits.bodyWatchMs} is ended. */
  bodyMinBytesPerSecond: 4 * KIB,
  /** How often the rate of a body is looked at. */
  bodyWatchMs: 10_000,
  /** Longest time for the headers of a request. */
  requestHeadersMs: 10_000,
  /** Longest time for a whole request with its body: a full batch at 28 kB a second. */
  requestMs: 600_000,
  /** A connection on which nothing moves for so long is ended. */
  connectionIdleMs: 300_000,
  /** Largest sum of a request's headers. */
  requestHeaderBytes: 16 * KIB,
  /** Most headers of a request. */
  requestHeadersCount: 64,
  /** Most connections of a site. */
  connectionsCount: 1024,
  /** Most connections from one address: a proxy may stand in front of a school's agents. */
  connectionsPerAddressCount: 256,
  /** Requests after which a connection is closed, so that none lives for ever. */
  requestsPerConnectionCount: 100_000,
  /** Failed authentications from one address in a minute; more are answered with `too-many-requests`. */
  authenticationFailuresPerMinuteCount: 20,
  /** Most primes asked for in one read. */
  readIdsCount: 4096,
  /** Most roots of a snapshot: what a shell makes of a pattern. */
  rootsCount: 4096,
  /** Largest sum of the paths of a snapshot's roots: they fit a JSON body. */
  rootsBytes: 512 * KIB,
  /** Life of an upload session; shorter than any grace period before deletion. */
  sessionLifeMs: 30 * 24 * 3600 * 1000,
  /** Life of an enrolment token. */
  enrolTokenLifeMs: 24 * 3600 * 1000,
  /** Most addresses in an enrolment token: it stays short enough to be copied. */
  enrolTokenAddressesCount: 8,
  /** Longest text of an enrolment token: 8 addresses of 260 characters in base32. */
  enrolTokenCharacters: 4096,
  /** Most open sessions of one agent. */
  sessionsPerAgentCount: 16,
  /** Largest signed entry of the ledger: a sealed snapshot record, or a retire of some 8,000 ranges. */
  ledgerEntryBytes: 64 * KIB,
  /** Entries that were read last and are not read again when they come again: enough for a busy night's minute. */
  recentEntriesBytes: 1024 * KIB,
  /** Certificates that were read last and are not verified again when they come again: those of a federation of a thousand sites. */
  recentCertificatesBytes: 512 * KIB,
  /** Largest record that is sealed into an entry: with seal and signature it fits one. */
  sealedStatementBytes: 60 * KIB,
  /** Most shares of one recovery kit: more people than that are never brought together in an emergency. */
  kitSharesCount: 16,
  /** Most recovery keys that a site has had: a new kit every five years. */
  recoveryKeysCount: 8,
  /** Most logs that a former recovery key has opened and that count on: one for each recovery in its time. */
  recoveryLinkLogsCount: 16,
  /** Largest epoch certificate: with the chain of its recovery keys. */
  epochCertificateBytes: 4 * KIB,
  ...ledgerLimits,
  ...replicationLimits,
  /** Largest frame of a synchronisation. */
  syncFrameBytes: 1 * MIB,
  /** A page of an answer ends when it has so many bytes: it and its last item fit a frame. */
  syncPageBytes: 256 * KIB,
  /** Logs of a peer that one synchronisation looks at. */
  syncLogsCount: 32_768,
  /** Logs whose knowledge is asked for at once: what bounds an asker's memory. */
  syncLogsAtOnceCount: 16,
  /** Requests of one synchronisation that are answered. */
  syncRequestsCount: 20_000,
  /** Largest message that is spread: an entry and its certificate. */
  gossipBytes: 70 * KIB,
  /** Least rate that copies to other sites, and the scrub, can be limited to: a prime in twenty minutes. */
  leastBytesPerSecond: 4 * KIB,
  /** Longest text of an invitation: 16 addresses of 260 characters in base32. */
  invitationCharacters: 8192,
  /** Largest frame of a joiner, which anybody may send: a secret, a certificate and a name. */
  joinRequestBytes: 6 * KIB,
  /** Largest answer that a joiner takes: a certificate and a chain of rosters. */
  joinAnswerBytes: 32 * MIB,
  /** Largest frame of a machine that says hello, which anybody may do, and of the answer: a certificate. */
  helloFrameBytes: 5 * KIB,
  /** Hellos that are listened to, and wrong secrets of joiners: each costs the check of a signature. */
  strangersPerMinuteCount: 60,
  /** Most sites whose addresses are kept beside the store: one that is reached is enough. */
  wayBackMembersCount: 64,
  /** Most statements of one entry of the ledger: all slices of an owner four times. */
  statementsPerEntryCount: 64,
  /** Open invitations of one site. */
  invitationsCount: 16,
  /** Life of an invitation, unless said otherwise. */
  invitationLifeMs: 3 * 24 * 3600 * 1000,
  /** How long a newcomer that was refused may ask once more, and so hear of it. */
  invitationRefusedMs: 10 * 60 * 1000,
  /** Life of a restore ticket, and the longest that a holder takes: a night's work at another site. */
  restoreTicketLifeMs: 24 * 3600 * 1000,
  /** By so much the clocks of a helper and a holder may differ. */
  restoreTicketToleranceMs: 3600 * 1000,
  /** Largest restore ticket: two and a half of those that this version makes. */
  restoreTicketBytes: 640,
  /** Largest order to erase what is held of a site: twice those that this version makes. */
  eraseOrderBytes: 512,
  /** Primes that another site gathers for one drill: as many as an audit asks for, 256 MiB at the most. */
  drillOrderIdsCount: 64,
  /** Life of an order for a drill: the sample over a slow line. */
  drillOrderLifeMs: 3600 * 1000,
  /** A site gathers for drills of one other no more often: each costs its line, and the ledger an entry. */
  drillGatherEveryMs: 10 * 60 * 1000,
  /** Remote restores that go on at one site at once, each with some 100 MB of memory. */
  remoteRestoresCount: 4,
  /** Generations of a site's read key that are tried: a new one comes when a thief may have the last. */
  readGenerationsCount: 16,
  /** Cancelled or reported tickets that a holder remembers. */
  restoreTicketsCount: 1024,
  /** Longest life of an invitation. */
  invitationLongestLifeMs: 30 * 24 * 3600 * 1000,
  /** Most connections to other sites' machines: a federation of two hundred, each with a second one for a moment. */
  peerConnectionsCount: 400,
  /** Connections of one other machine: both may dial at once. With one more the oldest ends, which may be a dead one. */
  peerConnectionsPerPeerCount: 2,
  /** Connections whose peer has not said who it is, each with some 100 kB of memory. */
  peerConnectionsPendingCount: 64,
  /** Those from one IPv4 address or one IPv6 /64, so that others find room. */
  peerConnectionsPendingPerAddressCount: 4,
  /** Connections that one address may open in a second. */
  peerConnectionsPerAddressPerSecondCount: 5,
  /** Longest time until a connection is encrypted and its peer known. */
  peerHandshakeMs: 10_000,
  /** Longest time in which a new stream has to name its protocol. */
  peerProtocolMs: 10_000,
  /** Longest time for a dial, over all addresses of the peer. */
  peerDialMs: 20_000,
  /** Longest time for one address of a dial. */
  peerAddressDialMs: 6_000,
  /** Addresses of one peer that a dial tries. */
  peerAddressesCount: 16,
  /** Dials at once. */
  peerDialsCount: 16,
  /** Streams that a peer may have open on one connection, over all protocols. */
  peerStreamsCount: 64,
  /** Most bytes of one stream under way before the other side has to wait: 80 MB/s at 50 ms. */
  peerStreamWindowBytes: 4 * MIB,
  /** Received bytes of one channel that nobody has taken yet; from here on the other side is told to wait, and sends a window more at most. */
  peerUnreadBytes: 1 * MIB,
  /** Bytes of one connection that its peer does not take; above, it is ended. */
  peerUnsentBytes: 32 * MIB,
  /** Frames of the multiplexer below {@link limits.peerSmallFrameBytes}, or without content, that a connection may send within {@link limits.peerFrameWatchMs}: each costs memory many times its bytes. */
  peerSmallFramesCount: 20_000,
  /** Frames of the multiplexer from here on pay for themselves. */
  peerSmallFrameBytes: 1 * KIB,
  /** A frame that has begun, and somebody waits for, comes at least so fast; else its channel ends. */
  peerFrameMinBytesPerSecond: 1 * KIB,
  /** How often that is looked at. */
  peerFrameWatchMs: 10_000,
  /** A channel on which nothing moves for so long ends. */
  peerChannelIdleMs: 300_000,
  /** How long a channel that was served may take to be closed by the other side too. */
  peerChannelClosingMs: 10_000,
  /** Bytes a second of one stream of libp2p's own protocols (identify, ping, gossip); faster ones are slowed down. */
  peerServiceBytesPerSecond: 1 * MIB,
  /** How often a connection is asked whether it lives. */
  peerPingMs: 15_000,
  /** How long the answer may take; without it the connection ends. */
  peerPingAnswerMs: 20_000,
  /** Connections of unknown peers, which may only join or say hello. */
  peerStrangersCount: 8,
  /** Those from one IPv4 address or one IPv6 /64, so that others find room. */
  peerStrangersPerAddressCount: 2,
  /** Life of a connection to an unknown peer. */
  peerStrangerConnectionMs: 30_000,
  /** Members that a site keeps connections to: all of a small federation, and of a large one enough for news to spread. */
  peerKeptCount: 12,
  /** Pause before a peer is dialled again; it doubles with each failure. Also before gossip begins on another connection of a peer. */
  peerRedialMinMs: 1_000,
  /** Longest such pause: with half as much again, and the time to synchronise, all are equal five minutes after a line is back. */
  peerRedialMaxMs: 120_000,
  /** Members that may be reached through this site as a relay. */
  peerRelayedCount: 128,
  /** Connections through this site at once that one member opens. */
  peerRelayedConnectionsCount: 16,
  /** Relays that a site asks to be reached through. */
  peerRelaysCount: 3,
  /** Largest message that is spread among members: an entry of the ledger with its certificate. */
  gossipMessageBytes: 72 * KIB,
  /** Largest envelope of such messages that is read. */
  gossipEnvelopeBytes: 512 * KIB,
  /** Such envelopes that one peer may send within {@link limits.peerFrameWatchMs}: a hundred times what gossip needs, and a tenth of a second of work. */
  gossipEnvelopesCount: 2_000,
  /** Bytes of such messages that wait to be written: enough for what hundreds of sites say at one moment. */
  gossipWaitingBytes: 8 * MIB,
  /** Bytes of envelopes that a slow peer has not taken; above, its gossip ends. */
  gossipUnsentBytes: 4 * MIB,
  /** Memory for the topics that one peer names. */
  gossipTopicsBytes: 16 * KIB,
  /** Lines of the log about refused peers in a minute; the rest is counted. */
  peerRefusalsLoggedPerMinuteCount: 20,
  /** Most prefixes in one question of a comparison of sets, and most tags in it: what it asks is answered with 3.5 MB at most, 1 MB as a rule. */
  reconcileAskedCount: 8192,
  /** Most prefixes that one comparison asks about: those of two sets of 16 million ids each that have none in common. */
  reconcilePrefixesCount: 1_200_000,
  /** Most ids that a comparison finds only the holder to have, about 100 bytes of memory each. */
  reconcileExtrasCount: 500_000,
  /** Most ids below one prefix that a comparison has in memory. Ids are random: only who makes them on purpose has more. */
  reconcileLeafIdsCount: 32_768,
  /** How far ahead of the clock the time may lie at which a former machine of the site says to have received a snapshot: 300 years, further than a system lets its clock be set. Each later one counts on from it. */
  receivedAheadMs: 300 * 365.25 * 24 * 3_600_000,
  /** Most snapshots that one rule of retention keeps: a century of hours would be more than anybody looks through. */
  retentionRuleCount: 100_000,
  /** Policies of a site's agents and jobs that differ from the site's: together they fit one entry of the ledger. */
  retentionPoliciesCount: 200,
  /** Wrong codes of the second person, after which none is looked at for the rest of the minute: each costs a tenth of a second and 32 MiB. */
  secondPersonGuessesPerMinuteCount: 10,
  /** Tags of one snapshot. */
  snapshotTagsCount: 16,
  /** Longest tag of a snapshot, in characters. */
  snapshotTagCharacters: 50,
  /** Largest segment file of the prime store. */
  segmentBytes: 256 * MIB,
  /** Largest UTF-8 key of a fact in the prime store: an agent id and a path-free name fit many times. */
  factKeyBytes: 1024,
  /** Largest value of a fact in the prime store: a group of them is held in memory. */
  factValueBytes: 4 * MIB,
  /** Most hard-linked inodes that an export remembers at once, about 150 bytes each; names of further ones carry the content. */
  exportLinkGroupsCount: 400_000,
  /** Most entries of a zip, 16 bytes of memory each until its directory is written; a tar has no such limit. */
  exportZipEntriesCount: 4_000_000,
  /** Longest path in a zip: the format counts it in 16 bits, and systems refuse far shorter ones. */
  exportZipPathBytes: 32 * KIB,
  /** Plaintext that one export keeps opened: two of the largest primes read ahead, one in use. */
  exportOpenedBytes: 12 * MIB,
  /** Plaintext that an archive of a remote restore has fetched before it needs it: a second of a fast line, with four questions under way. */
  rescueAheadBytes: 32 * MIB,
  /** Exports that a site serves at once, about 50 MB of memory each; more are asked to come again. Small files and ranges are none. */
  exportsAtOnceCount: 4,
  /** Those of one agent, so that others find room. */
  exportsPerAgentCount: 2,
  /** Longest note in a zip about what it could not hold. */
  exportNoteBytes: 256 * KIB,
} as const;
