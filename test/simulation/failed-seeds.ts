/** Runs that have failed once, and so are run always; with what was wrong. */
import { type ProgramName, type RunInit, mixedInit } from "./sim-runs.ts";

export interface FailedSeed extends RunInit {
  readonly program: ProgramName;
  readonly reason: string;
}

export const failedSeeds: readonly FailedSeed[] = [
  {
    ...{ seed: 3, sitesCount: 7, hoursCount: 30, hostileCount: 2, vice: "lies", hasLasting: false },
    program: "ledger",
    reason: "the same, of a ledger alone",
  },
  {
    ...{ seed: 1, sitesCount: 5, hoursCount: 24, hasLasting: false },
    program: "federation",
    reason: "runs with two holders at once signed two live sets of one slice, and both were refused",
  },
  {
    ...{ seed: 2, sitesCount: 5, hoursCount: 24, hostileCount: 1, vice: "boasts", hasLasting: false, onlyFaults: [] },
    program: "federation",
    reason: "a holder whose disk is full could not say so, and was asked again and again",
  },
  {
    ...{ seed: 4, sitesCount: 5, hoursCount: 24, onlyFaults: [11] },
    program: "federation",
    reason: "a holder that may not write gave no receipts, and was not replaced",
  },
  {
    ...{ seed: 4, sitesCount: 5, hoursCount: 24 },
    program: "federation",
    reason: "a run that ended by one error, and could not write its receipts for another, was a fault of the program",
  },
  {
    ...{ seed: 1, sitesCount: 4, hoursCount: 10, intensity: 3 },
    program: "federation",
    reason:
      "receipts of machines that had lost their disks counted until audits failed, and then nobody drew the new machines",
  },
  {
    ...{ seed: 4, sitesCount: 5, hoursCount: 8, hostileCount: 1, intensity: 3 },
    program: "federation",
    reason: "a holder whose disk was set back said nothing of what it had lost, and failed its audits",
  },
  {
    ...{ seed: 306, sitesCount: 4, hoursCount: 30, hostileCount: 1, vice: "lies", hasLasting: false },
    program: "federation",
    reason:
      "a holder that took too long to give back what was lost ended in an abort, which was taken for a fault of the program",
  },
  {
    ...mixedInit(4),
    program: "federation",
    reason:
      "a machine that was set back asked one other, which was set back too, and then wrote in place of its own entries",
  },
  {
    ...mixedInit(19),
    program: "federation",
    reason: "a ledger was compared with its disk while an entry was on its way there",
  },
  {
    ...mixedInit(71),
    program: "federation",
    reason: "a holder with rotten bits, found by an audit before it knew of them, was drawn by nobody for thirty days",
  },
  {
    ...mixedInit(2028),
    program: "federation",
    reason:
      "a holder that could not write refused a slice at its end, and the owner met only a channel that had ended, night after night",
  },
  {
    ...mixedInit(1041),
    program: "federation",
    reason: "a guest was left alone when its inviter was expelled before it was a member",
  },
  ...[5024, 5072].map((seed) => ({
    ...mixedInit(seed),
    program: "federation" as const,
    reason:
      "a snapshot that went with its machine before it was safe counted, at the end, as one that its site reaches",
  })),
  {
    ...mixedInit(600141),
    program: "federation",
    reason:
      "the simulator did not count the copy of a hostile site that has it for another owner only, by which no audit fails",
  },
  {
    ...mixedInit(1000560),
    program: "federation",
    reason:
      "machines that were all replaced one after the other had no address of each other, which people give with the kit",
  },
  {
    ...mixedInit(1000611),
    program: "federation",
    reason: "people expelled a site when too many others were cloned, and could sign nothing, for a majority",
  },
  {
    ...{ seed: 68, sitesCount: 5, hoursCount: 10, hostileCount: 1, intensity: 7 },
    program: "federation",
    reason: "all copies of a prime rotted unnoticed before its snapshot was safe, and then it was called so",
  },
  {
    ...mixedInit(417),
    program: "federation",
    reason: "a site that was expelled had another snapshot of what it had left out, and could not say so any more",
  },
  {
    ...{ seed: 3000556, sitesCount: 7, hoursCount: 12, hostileCount: 1, intensity: 3, onlyFaults: [17, 20, 22] },
    program: "federation",
    reason: "a holder that was expelled while its disk was set back was to know of live sets that were signed later",
  },
  {
    ...{
      seed: 11,
      sitesCount: 5,
      hoursCount: 24,
      hostileCount: 1,
      vice: "omits",
      backupEveryHours: 8,
      onlyFaults: [0, 14, 15, 16],
    },
    program: "federation",
    reason:
      "a holder whose disk was set back answered an audit before it had heard what it had said, and was proven wrong",
  },
  {
    ...{ seed: 3401197, sitesCount: 5, hoursCount: 12, hostileCount: 1, intensity: 3, backupEveryHours: 8 },
    program: "federation",
    reason: "a disk that was set back to when it was full stayed full",
  },
  {
    ...{ seed: 5000040, sitesCount: 4, hoursCount: 8, hostileCount: 1, intensity: 3, backupEveryHours: 8 },
    program: "federation",
    reason:
      "a new machine did not hear of the fork of a log of which all was retired: its digest was that of an empty one",
  },
  {
    ...{ seed: 7001109, sitesCount: 6, hoursCount: 6, hostileCount: 1, intensity: 3, backupEveryHours: 8 },
    program: "federation",
    reason: "people took for done what one site alone knew, whose disk was lost then",
  },
  {
    ...{ seed: 11000076, sitesCount: 7, hoursCount: 11, intensity: 3, backupEveryHours: 8 },
    program: "federation",
    reason: "bits rotted of the last copy that was kept for its owner: another site had the prime for itself alone",
  },
  {
    ...{ seed: 13002589, sitesCount: 6, hoursCount: 6, intensity: 3, backupEveryHours: 8 },
    program: "federation",
    reason: "what a site withdrew once it was out was said to be hidden by others that did not know that it is out",
  },
  {
    ...{ seed: 13003896, sitesCount: 4, hoursCount: 11, intensity: 3, backupEveryHours: 8 },
    program: "federation",
    reason: "an older disk came back on which bits had rotted that were healed since, and were nowhere else by then",
  },
  {
    ...{ seed: 13004415, sitesCount: 4, hoursCount: 12, intensity: 3, backupEveryHours: 8 },
    program: "federation",
    reason: "a site with an older disk had forgotten the new machines of all others, and none of them said hello again",
  },
  {
    ...{ seed: 13008474, sitesCount: 7, hoursCount: 8, hostileCount: 2, intensity: 3, backupEveryHours: 8 },
    program: "federation",
    reason: "bits rotted of the only honest copy of what two hostile sites had, before it was safe",
  },
  {
    ...{ seed: 14002432, sitesCount: 4, hoursCount: 10, hostileCount: 1, intensity: 3, backupEveryHours: 8 },
    program: "federation",
    reason: "a holder had lost, before anybody looked, what its owner rightly called safe until it heard of that",
  },
  {
    ...{ seed: 14005531, sitesCount: 6, hoursCount: 11, hostileCount: 1, intensity: 3, backupEveryHours: 8 },
    program: "federation",
    reason: "the clock of a hostile site that dates back went below the year 1970",
  },
  {
    ...{ seed: 14009750, sitesCount: 4, hoursCount: 11, hostileCount: 1, intensity: 3, backupEveryHours: 8 },
    program: "federation",
    reason:
      "an honest holder that could not write what it had lost was told against, and beside a hostile one too few were left",
  },
  {
    ...{ seed: 15000221, sitesCount: 4, hoursCount: 10, intensity: 3, backupEveryHours: 8 },
    program: "federation",
    reason: "a holder that may not write what it has lost was not told against, and never replaced",
  },
  {
    ...{ seed: 18002846, sitesCount: 6, hoursCount: 12, intensity: 3, backupEveryHours: 8 },
    program: "federation",
    reason: "a generation that was signed again after a lost disk kept its receipts of fewer snapshots",
  },
  {
    ...{ seed: 20000750, sitesCount: 4, hoursCount: 8, intensity: 3, backupEveryHours: 8 },
    program: "federation",
    reason:
      "one of four sites was cloned when another had written twice, and the two that were left waited for a second holder",
  },
  {
    ...{ seed: 6001614, sitesCount: 4, hoursCount: 9, intensity: 3, backupEveryHours: 8 },
    program: "federation",
    reason: "people waited for ever for the invitation of a site that had crashed",
  },
  {
    ...{ seed: 6000004, sitesCount: 7, hoursCount: 9, hostileCount: 2, intensity: 3, backupEveryHours: 8 },
    program: "federation",
    reason: "both holders of what its owner had lost were taken out of the federation within hours",
  },
  {
    ...{ seed: 5100119, sitesCount: 6, hoursCount: 11, intensity: 3, backupEveryHours: 8 },
    program: "federation",
    reason: "faults took all copies of what was safe but that of a site that had been expelled",
  },
  ...(
    [
      [3000601, "what a holder had dropped in time was looked for again when the note of it was gone"],
      [3000610, "what was safe of a site that was expelled, and then lost its disk, was to outlast the lock"],
    ] as const
  ).map(([seed, reason]) => ({
    ...{ seed, sitesCount: 5, hoursCount: 12, intensity: 3, backupEveryHours: 24, quietDaysCount: 47 },
    program: "federation" as const,
    reason,
  })),
];
