/** `costor federation leave`, `erasures`: this site goes, and what others hold of it with it. */
import { randomBytes } from "node:crypto";
import { resolve } from "node:path";
import type { Command } from "commander";
import type { ShownErasure } from "#node/control/federation-calls.ts";
import { CostorError } from "#protocol/errors.ts";
import { printJson, printLine, printTable } from "#terminal/output.ts";
import { formatBytes, formatCount, formatCountOf, formatMinute } from "#terminal/quantities.ts";
import { type DataOptions, onData } from "./data-command.ts";
import { type KitOptions, addKitOptions, readGivenKit } from "./kit-input.ts";
import { ask } from "./question.ts";
import { callOn } from "./site-access.ts";

interface LeaveOptions extends DataOptions, KitOptions {
  readonly yes?: true;
  readonly now?: true;
  readonly cancel?: true;
  readonly erase?: true;
}

export function addFederationLeaving(federation: Command): void {
  addKitOptions(
    onData(federation, "leave", "leave the federation, once others hold elsewhere what they have here")
      .option("--now", "without waiting for that")
      .option("--cancel", "stay after all")
      .option("--erase", "and have the others erase this site's copies at once, and sign that; needs the kit")
      .option("--yes", "without the question"),
  ).action(async (options: LeaveOptions) => leave(options));
  onData(federation, "erasures", "which sites have signed that they have erased this one's copies").action(
    async ({ data, json }: DataOptions) => {
      const { erasures } = await callOn(data, "federationErasures", {});
      if (json) return printJson(erasures);
      printTable(erasures, [
        { title: "SITE", text: ({ site }) => site.slice(0, 16) },
        { title: "NAME", text: ({ name }) => name },
        { title: "ERASED", text: erasedText },
        { title: "SET", text: ({ receipt }) => receipt?.hash.slice(0, 16) ?? "" },
      ]);
    },
  );
}

const erasedText = ({ receipt }: ShownErasure): string =>
  receipt === undefined
    ? "not yet"
    : `${formatCount(receipt.count)} primes, ${formatBytes(receipt.bytes)}, on ${formatMinute(receipt.erasedMs)} (UTC)`;

async function leave({ data, json, yes, now, cancel, erase, ...kit }: LeaveOptions): Promise<void> {
  if (erase && (now || cancel))
    throw new CostorError(
      "bad-usage",
      "--erase waits until others hold elsewhere what they have here, and for receipts",
    );
  if (!yes && !cancel) await askLeave(erase === true);
  const how = cancel ? "stay" : now ? "now" : "placed-elsewhere";
  const order = erase ? { order: await signedOrder(data, kit) } : {};
  const done = await callOn(data, "federationLeave", { how, ...order });
  if (json) return printJson(done);
  if (cancel) {
    printLine("This site stays.");
    if (done.hadOrder === true)
      printLine(
        "The order to erase may have been seen by whoever has had this server, and counts until there is another kit: costor site kit replace",
      );
    return;
  }
  const neededCount = done.leaving?.neededBy.length ?? 0;
  const copies = erase
    ? "The others erase its copies then; who has signed that: costor federation erasures"
    : "Others keep its copies for the lock period.";
  printLine(
    neededCount === 0 || now
      ? `This site leaves the federation. ${copies}`
      : `This site leaves as soon as ${formatCountOf(neededCount, "other site")} hold elsewhere what they have here. Let it run; how far it is: costor federation status. ${erase ? copies : ""}`,
  );
}

/** In hex. The root stays in this process. */
async function signedOrder(data: string, options: KitOptions): Promise<string> {
  using given = await readGivenKit(options);
  const [{ readIdentity, siteDirectoryOf }, { openLog }, { signEraseOrder }, { deriveRecoveryKey }] = await Promise.all(
    [
      import("#node/site/identity.ts"),
      import("#ledger/entry.ts"),
      import("#protocol/erase-order.ts"),
      import("#protocol/keys.ts"),
    ],
  );
  const { siteId, epochCertificate } = await readIdentity(siteDirectoryOf(resolve(data)));
  const recovery = deriveRecoveryKey(given.kitRoot);
  try {
    const id = randomBytes(16).toString("hex");
    return signEraseOrder({ id, siteId, logId: openLog(epochCertificate).id }, recovery.seed).toString("hex");
  } finally {
    recovery.seed.fill(0);
  }
}

async function askLeave(erases: boolean): Promise<void> {
  const answer = await ask(
    erases
      ? "Other sites will erase this site's backups, and only this machine will have them. Leave? [yes/no] "
      : "Other sites will no longer keep this site's backups. Leave? [yes/no] ",
    "leaving needs --yes",
  );
  if (answer.trim().toLowerCase() !== "yes") throw new CostorError("bad-usage", "nothing was changed");
}
