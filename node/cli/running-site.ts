/** The composition root of a running site. Starts in order, stops in the reverse order. */
import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { hostname } from "node:os";
import { resolve } from "node:path";
import { setFlagsFromString } from "node:v8";
import { serveControl } from "#node/control/server.ts";
import { DrillRecord } from "#node/drills/drill-record.ts";
import { startFacade } from "#node/facade/facade.ts";
import { Takeover } from "#node/federation/takeover.ts";
import { formatAddress, parseListenAddress, reachableAddresses } from "#node/site/addresses.ts";
import { ensureIdentity } from "#node/site/first-run.ts";
import { siteDirectoryOf } from "#node/site/identity.ts";
import { RequestedKitFiles } from "#node/site/requested-kit.ts";
import { keepTakeoverMark } from "#node/site/takeover-mark.ts";
import { openServedStore } from "#node/site/site-store.ts";
import { openSite } from "#node/site/site.ts";
import { WayBackFile } from "#node/site/way-back.ts";
import { CostorError } from "#protocol/errors.ts";
import { interruptionSignal } from "#terminal/interruption.ts";
import { printJson, printLine } from "#terminal/output.ts";
import { kitReminderOnce } from "./kit-text.ts";
import { createLog } from "./log.ts";
import { findLostStore } from "./lost-store.ts";
import { endWithFailedStore } from "./failed-store.ts";
import { startBrake } from "./running-brake.ts";
import { startDrills } from "./running-drills.ts";
import { type FederationOptions, startFederation } from "./running-federation.ts";
import { startRetention } from "./running-retention.ts";
import { startScrub } from "./running-scrub.ts";

export interface StartOptions extends FederationOptions {
  readonly data: string;
  readonly listen: string;
  readonly name?: string;
  readonly kit?: string;
  readonly address?: string[];
  readonly logLevel: string;
  readonly json?: true;
}

/**
 * How far the heap may grow before it is collected as a whole, in percent: buffers outside of it count as growth, and a site's heap is
 * small beside what passes through it. By default the engine would collect all the time while copies are sent or received.
 */
setFlagsFromString("--heap-growing-percent=200");

/** How often certificate and addresses are looked at. */
const UPKEEP_MS = 3600 * 1000;

export async function runSite(options: StartOptions): Promise<void> {
  const signal = interruptionSignal();
  const listen = parseListenAddress(options.listen);
  const dataDirectory = resolve(options.data);
  process.umask(0o077);
  const isFirstStart = !existsSync(siteDirectoryOf(dataDirectory));
  // A service would start on a directory whose disk is not mounted, and the kit would be in its journal.
  if (isFirstStart && !options.kit && !options.json && !process.stdout.isTTY)
    throw new CostorError(
      "bad-usage",
      `${dataDirectory} holds no site, and nobody is there to be shown a new one's recovery kit: was there one, look whether its disk is mounted; else make the first start at a terminal, or name a new file with --kit`,
    );
  await mkdir(dataDirectory, { recursive: true, mode: 0o700 });
  const log = createLog(options.logLevel);

  await using stack = new AsyncDisposableStack();
  const failed = Promise.withResolvers<never>();
  failed.promise.catch(() => undefined);
  const damage = { onFound: (): void => undefined };
  const store = stack.use(
    await openServedStore(dataDirectory, {
      // Every store begins with a generation of its own.
      onEvent: ({ event, message }) => {
        if (event === "failed") {
          endWithFailedStore(dataDirectory, message, { log, signal }).catch(failed.reject);
          return;
        }
        log[isFirstStart && event === "new-generation" ? "info" : "warn"]({ event }, message);
        if (event === "damage-found") damage.onFound();
      },
      onFailure: failed.reject,
    }),
  );
  await ensureIdentity(dataDirectory, store, {
    siteName: options.name ?? hostname(),
    ...(options.kit === undefined ? {} : { kitFile: resolve(options.kit) }),
    showKit: (text) => void (options.json ? process.stderr : process.stdout).write(text),
    nowMs: Date.now(),
  });
  const requestedKit = new RequestedKitFiles({ dataDirectory });
  if (await requestedKit.place({ store }))
    log.warn(
      "the members have agreed on the new recovery kit: it is this site's now, and the former one is worth nothing",
    );
  await findLostStore(dataDirectory, { store, log, signal });
  const keepMark = async (): Promise<void> => {
    try {
      await keepTakeoverMark(siteDirectoryOf(dataDirectory), (await Takeover.open(store)).isOpen);
    } catch (error) {
      log.error({ err: error }, "the mark of a takeover could not be looked after");
    }
  };
  await keepMark();
  const site = await openSite(dataDirectory, { store, now: Date.now });
  const hostsFor = (port: number) => reachableAddresses({ host: listen.host, port }, options.address ?? []);
  const credentials = await site.credentials(hostsFor(listen.port).map(({ host }) => host));
  const drillRecord = await DrillRecord.open(site.store);
  const wayBack = new WayBackFile({ dataDirectory });
  const running = stack.use(await startFederation({ site, log, drillRecord, wayBack, requestedKit }, options));
  const facade = stack.use(
    await startFacade(
      {
        ...{ site, log, copiesOf: running.copiesOf, isSuperseded: running.isSuperseded },
        drills: () => drillRecord.list(),
      },
      { ...listen, credentials },
    ),
  );
  const listening = { host: listen.host, port: facade.address.port };
  const addresses = hostsFor(facade.address.port).map(formatAddress);
  await site.announce(addresses);
  const { drills } = stack.use(
    await startDrills({ site, log, federation: running, record: drillRecord }, { dataDirectory, listening }),
  );
  const { retention } = stack.use(await startRetention({ site, log, ...running.forRetention }));
  const served = { site, federation: running.service, drills, retention: async () => retention };
  stack.use(await serveControl(dataDirectory, served));

  stack.use(startBrake({ site, log, retention }));

  const scrub = stack.use(startScrub({ site, log }));
  site.regainedSnapshots.onSettled(() => scrub.keepSnapshots());
  damage.onFound = () => {
    running.damageFound();
    scrub.keepSnapshots();
  };

  const upkeep = setInterval(async () => {
    scrub.keepSnapshots();
    await keepMark();
    try {
      const reachable = hostsFor(facade.address.port);
      facade.useCredentials(await site.credentials(reachable.map(({ host }) => host)));
      await site.announce(reachable.map(formatAddress));
    } catch (error) {
      log.error({ err: error }, "the certificate could not be looked after");
    }
  }, UPKEEP_MS);
  stack.defer(() => clearInterval(upkeep));

  const reminder = await kitReminderOnce(options.data, site.kitCheck());
  if (options.json) {
    const { siteName, siteId } = site.identity;
    printJson({
      ready: true,
      siteName,
      siteId,
      listen: listening,
      addresses,
      kitConfirmed: reminder === undefined,
    });
  } else {
    printLine(`Site ${site.identity.siteName} listens on https://${formatAddress(listening)}`);
    if (addresses[0] !== formatAddress(listening)) printLine(`Agents find it at ${addresses.join(", ")}`);
  }
  // A program reads `kitConfirmed`.
  if (reminder && !options.json) process.stderr.write(`${reminder}\n`);
  log.info({ siteId: site.identity.siteId, port: facade.address.port }, "the site is ready");

  const stopped = new Promise<void>((resolveStop) => {
    if (signal.aborted) resolveStop();
    else signal.addEventListener("abort", () => resolveStop(), { once: true });
  });
  await Promise.race([stopped, failed.promise]);
  log.info("the site stops");
}
