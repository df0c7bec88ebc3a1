import { createHash } from "node:crypto";
import { type EntryFields, type Log, openLog, signEntry } from "#ledger/entry.ts";
import { retireData } from "#ledger/retire.ts";
import { SeqRanges } from "#ledger/seq-ranges.ts";
import { type Statement, entryOf } from "#ledger/statements.ts";
import { signEpochCertificate } from "#protocol/epoch-certificate.ts";
import { type SiteId, makeUuidV7, parseEntryId } from "#protocol/ids.ts";
import { type RecoveryKey, deriveRecoveryKey, siteIdOf } from "#protocol/keys.ts";
import { limits } from "#protocol/limits.ts";
import { publicKeyOf } from "#protocol/raw-keys.ts";

/** The site's first recovery key. */
export const recoveryKeyOf = (site: string): RecoveryKey =>
  deriveRecoveryKey(createHash("sha256").update(site).digest());

/** A machine that acts as a site for one epoch: the same names are the same site and machine. */
export class LedgerAuthor {
  readonly log: Log;
  readonly seed: Buffer;
  nextSeq = 0;

  /** `kit`: a later recovery key of the site, and the links that lead to it. */
  constructor(site: string, epoch = 1, machine = "machine", kit?: { seed: Uint8Array; chain: readonly Uint8Array[] }) {
    const recovery = recoveryKeyOf(site);
    this.seed = createHash("sha256").update(`${site} ${epoch} ${machine}`).digest();
    const certificate = {
      siteId: siteIdOf(recovery.publicKey),
      peerPublicKey: publicKeyOf("ed25519", this.seed),
      epoch,
      previousHead: null,
    };
    this.log = openLog(signEpochCertificate(certificate, kit?.seed ?? recovery.seed, kit?.chain));
  }

  get siteId(): SiteId {
    return this.log.certificate.siteId;
  }

  entry(changes: Partial<EntryFields> = {}): Buffer {
    const id = parseEntryId(makeUuidV7(1_700_000_000_000));
    const seq = changes.seq ?? this.nextSeq++;
    return signEntry({ id, logId: this.log.id, timeMs: 1, kind: "note", data: {}, ...changes, seq }, this.seed);
  }

  say(statement: Statement, changes: Partial<EntryFields> = {}): Buffer {
    return this.entry({ kind: statement.kind, data: entryOf([statement]).data, ...changes });
  }

  retire(target: Log, ...ranges: [number, number][]): Buffer {
    const data = retireData({ logId: target.id, ranges: SeqRanges.parse(ranges, limits.ledgerRangesCount) });
    return this.entry({ kind: "retire", data });
  }
}
