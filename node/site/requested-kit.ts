/**
 * What a site will be with a kit that it has asked for since the former one is lost: `<data>/site.requested`, made by
 * kit-replacement.ts, takes the place of `<data>/site` at the first start after the members have agreed. docs/specs/membership.md, "A lost kit"
 */
import { existsSync } from "node:fs";
import { mkdir, readFile, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { openLog } from "#ledger/entry.ts";
import { Membership } from "#ledger/membership.ts";
import type { PrimeStore } from "#node/store/prime-store.ts";
import { CostorError } from "#protocol/errors.ts";
import type { LogId } from "#protocol/ids.ts";
import type { RecoveryLink } from "#protocol/recovery-chain.ts";
import { createDurably, syncDirectory } from "./durable-file.ts";
import { formerKeysState } from "./former-keys.ts";
import { type SiteIdentity, readIdentity, readSecrets, siteDirectoryOf } from "./identity.ts";
import { type HandingOver, makeReady } from "./kit-replacement.ts";
import { LedgerFacts } from "./ledger-facts.ts";
import { newDirectoryOf, replaceDirectory } from "./replaced-directory.ts";

export interface RequestedKit {
  readonly link: RecoveryLink;
  /** X25519, of the new kit: what former kits opened is sealed to it. */
  readonly readPrivateKey: Uint8Array;
  /** As `formerKeysState`. */
  readonly formerKeysState: Uint8Array;
}

export class RequestedKitFiles {
  readonly #dataDirectory: string;
  readonly #directory: string;

  constructor({ dataDirectory }: { readonly dataDirectory: string }) {
    this.#dataDirectory = dataDirectory;
    this.#directory = join(dataDirectory, "site.requested");
  }

  /** In place of one that was made before. Throws `limit-exceeded`, `identity-damaged`, and what `handOver` throws. */
  async make(init: HandingOver & { readonly logs: readonly LogId[] }): Promise<SiteIdentity> {
    await this.remove();
    try {
      return await makeReady(this.#directory, this.#dataDirectory, init);
    } catch (error) {
      await this.remove();
      throw error;
    }
  }

  /** Throws `not-found` when none was made, and `identity-damaged`. */
  async read(): Promise<RequestedKit> {
    if (!existsSync(this.#directory))
      throw new CostorError("not-found", "no kit was made that could be asked for: costor site kit replace --lost");
    const [identity, secrets] = [await readIdentity(this.#directory), await readSecrets(this.#directory)];
    return {
      link: linkOf(identity),
      readPrivateKey: secrets.readPrivateKey,
      formerKeysState: formerKeysState(secrets)!,
    };
  }

  async remove(): Promise<void> {
    await rm(this.#directory, { recursive: true, force: true });
  }

  /**
   * At a start, before the site's identity is read: whether the site has the new kit since now. What cannot come about any more is thrown away. Safe to
   * repeat after a stop anywhere. Throws `identity-damaged`.
   */
  async place({ store }: { readonly store: PrimeStore }): Promise<boolean> {
    if (!existsSync(this.#directory)) return false;
    const [now, next] = [await readIdentity(siteDirectoryOf(this.#dataDirectory)), await this.#readNext()];
    const [ownLog, nextLog] = [openLog(now.epochCertificate), next && openLog(next.epochCertificate)];
    if (
      next === undefined ||
      nextLog?.id !== ownLog.id ||
      linkOf(next).number !== ownLog.certificate.chain.length + 2
    ) {
      await this.remove();
      return false;
    }
    const membership = await Membership.open({ store: new LedgerFacts({ store }) }, now);
    if (!membership.agreedLinks(now.siteId).some(({ hash }) => hash === linkOf(next).hash)) return false;
    // A copy: the next start throws away what it finds there.
    await copyDurably(this.#directory, newDirectoryOf(this.#dataDirectory));
    await replaceDirectory(this.#dataDirectory);
    await this.remove();
    return true;
  }

  /** Undefined for what a crash has left: then it was asked for by nobody. */
  async #readNext(): Promise<SiteIdentity | undefined> {
    return readIdentity(this.#directory).catch((error: unknown) => {
      if (error instanceof CostorError) return undefined;
      throw error;
    });
  }
}

const linkOf = ({ epochCertificate }: SiteIdentity): RecoveryLink =>
  openLog(epochCertificate).certificate.chain.at(-1)!;

async function copyDurably(from: string, to: string): Promise<void> {
  await rm(to, { recursive: true, force: true });
  await mkdir(to, { mode: 0o700 });
  for (const name of await readdir(from)) await createDurably(join(to, name), await readFile(join(from, name)));
  await syncDirectory(to);
}
