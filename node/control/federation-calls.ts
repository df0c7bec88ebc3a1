/** What a person can tell a running site about its federation. Arguments are checked by `calls.ts`, like all of them. */
import * as v from "valibot";
import type { Checkpoint } from "#node/federation/checkpoints.ts";
import type {
  AuditedHolder,
  FederationControl,
  FederationSummary,
  Member,
  NamedErasure,
  NamedWhatIf,
  WaitingNewcomer,
  Wished,
} from "#node/federation/federation-control.ts";
import type { HelpedRestore } from "#node/federation/helped-restores.ts";
import type { KeptErasure } from "#node/federation/erasures.ts";
import type { AskedKit } from "#node/federation/kit-service.ts";
import type { LeavingAsked } from "#node/federation/leaving.ts";
import type { FederationStatus } from "#node/federation/federation-status.ts";
import { type FederationSettings, settingsChangeSchema } from "#node/federation/settings.ts";
import { limits } from "#protocol/limits.ts";
import { parseSiteId } from "#protocol/ids.ts";
import { personalName } from "./personal-name.ts";
import { runningPart } from "./running-part.ts";

const site = v.pipe(v.string(), v.trim(), v.minLength(1), v.maxLength(100));
/** Or the beginning of one. */
const ticket = v.pipe(v.string(), v.regex(/^[0-9a-fA-F]{8,32}$/, "8 to 32 hex digits of a ticket are expected"));
const siteId = v.pipe(
  v.string(),
  v.transform((text) => parseSiteId(text)),
);
const hexUpTo = (mostBytes: number) =>
  v.pipe(
    v.string(),
    v.regex(/^(?:[0-9a-f]{2})*$/),
    v.maxLength(2 * mostBytes),
    v.transform((text) => Buffer.from(text, "hex")),
  );
const hexBytes = (count: number) =>
  v.pipe(
    v.string(),
    v.regex(/^[0-9a-f]*$/),
    v.length(2 * count),
    v.transform((text) => Buffer.from(text, "hex")),
  );

export const federationSchemas = {
  federationCreate: v.strictObject({ name: personalName }),
  federationInvite: v.strictObject({ name: personalName, lifeMs: v.optional(v.pipe(v.number(), v.safeInteger())) }),
  federationJoin: v.strictObject({ invitation: v.pipe(v.string(), v.maxLength(8192)) }),
  federationNewcomers: v.strictObject({}),
  federationConfirm: v.strictObject({ site, words: v.optional(v.pipe(v.string(), v.maxLength(200))) }),
  federationRefuse: v.strictObject({ site }),
  federationMembers: v.strictObject({}),
  federationAdmit: v.strictObject({ site }),
  federationExpel: v.strictObject({ site }),
  federationLeave: v.strictObject({
    how: v.picklist(["placed-elsewhere", "now", "stay"]),
    /** An order to erase that the kit has signed. */
    order: v.optional(hexUpTo(limits.eraseOrderBytes)),
  }),
  federationErasures: v.strictObject({}),
  federationStatus: v.strictObject({}),
  federationSend: v.strictObject({}),
  federationAudit: v.strictObject({}),
  federationCheckpoint: v.strictObject({ wait: v.boolean() }),
  federationWhatIf: v.strictObject({ sites: v.pipe(v.array(site), v.minLength(1), v.maxLength(1000)) }),
  federationRestores: v.strictObject({}),
  federationRestoresKnown: v.strictObject({ tickets: v.pipe(v.array(ticket), v.minLength(1), v.maxLength(1000)) }),
  federationKits: v.strictObject({}),
  federationApproveKit: v.strictObject({ site, words: v.optional(v.pipe(v.string(), v.maxLength(200))) }),
  federationDisapproveKit: v.strictObject({ site }),
  federationKitLogs: v.strictObject({}),
  federationAskKit: v.strictObject({}),
  federationCancelKit: v.strictObject({}),
  federationObjectKit: v.strictObject({ site: siteId, key: hexBytes(32), signature: hexBytes(64) }),
  federationSettings: v.strictObject({ change: v.optional(settingsChangeSchema) }),
} as const;

export interface FederationResults {
  federationCreate: FederationSummary;
  federationInvite: { invitation: string; name: string; expiresMs: number };
  /** Tells { words, siteName } as progress, and ends when the other side has confirmed. */
  federationJoin: FederationSummary;
  federationNewcomers: { newcomers: readonly WaitingNewcomer[] };
  federationConfirm: { site: string };
  federationRefuse: { site: string };
  federationMembers: { members: readonly Member[] };
  federationAdmit: { site: string };
  federationExpel: Wished;
  federationLeave: LeavingAsked;
  /** `entry` and `certificate` in base64. */
  federationErasures: { erasures: readonly ShownErasure[] };
  federationStatus: FederationStatus;
  federationSend: { asked: true };
  federationAudit: { holders: readonly AuditedHolder[] };
  /** Tells { behindBytes } as progress while it waits. */
  federationCheckpoint: Checkpoint;
  federationWhatIf: NamedWhatIf;
  federationRestores: { restores: readonly HelpedRestore[] };
  federationRestoresKnown: { known: readonly HelpedRestore[] };
  /** Members whose kit is lost, and who ask for a new one. */
  federationKits: { kits: readonly AskedKit[] };
  federationApproveKit: AskedKit;
  federationDisapproveKit: AskedKit;
  federationKitLogs: { logs: readonly string[] };
  /** Of this site's own, which `RequestedKitFiles` has made ready. */
  federationAskKit: AskedKit;
  federationCancelKit: { cancelled: true };
  federationObjectKit: AskedKit;
  federationSettings: FederationSettings;
}

export interface ShownErasure {
  readonly site: string;
  readonly name: string;
  /** Undefined while it is waited for. */
  readonly receipt?: Omit<KeptErasure, "holder" | "entry" | "certificate"> & {
    readonly entry: string;
    readonly certificate: string;
  };
}

function shownErasure({ site: holder, name, receipt }: NamedErasure): ShownErasure {
  if (receipt === undefined) return { site: holder, name };
  const { count, bytes, hash, erasedMs, entry, certificate } = receipt;
  const inBase64 = (value: Uint8Array): string => Buffer.from(value).toString("base64");
  const signed = { entry: inBase64(entry), certificate: inBase64(certificate) };
  return { site: holder, name, receipt: { count, bytes, hash, erasedMs, ...signed } };
}

type FederationCall = keyof typeof federationSchemas;
interface FederationContext {
  readonly federation: FederationControl | undefined;
  readonly signal: AbortSignal;
  onProgress(progress: unknown): void;
}

type Handlers = {
  [Name in FederationCall]: (
    args: v.InferOutput<(typeof federationSchemas)[Name]>,
    context: FederationContext,
  ) => Promise<FederationResults[Name]>;
};

/** Throws `site-unreachable` while the site does not run. */
const running = ({ federation }: FederationContext): FederationControl => runningPart(federation);

export const federationHandlers: Handlers = {
  federationCreate: async ({ name }, context) => running(context).create(name),
  federationInvite: async ({ name, lifeMs }, context) => ({ name, ...(await running(context).invite(name, lifeMs)) }),
  federationJoin: async ({ invitation }, context) =>
    running(context).join(invitation, { signal: context.signal, onWords: context.onProgress }),
  federationNewcomers: async (_, context) => ({ newcomers: running(context).newcomers() }),
  federationConfirm: async ({ site: text, words }, context) => ({ site: await running(context).confirm(text, words) }),
  federationRefuse: async ({ site: text }, context) => ({ site: await running(context).refuse(text) }),
  federationMembers: async (_, context) => ({ members: running(context).members() }),
  federationAdmit: async ({ site: text }, context) => ({
    site: (await running(context).wish("admit", text)).site,
  }),
  federationExpel: async ({ site: text }, context) => running(context).wish("remove", text),
  federationLeave: async ({ how, order }, context) => running(context).leave(how, order),
  federationErasures: async (_, context) => ({ erasures: (await running(context).erasures()).map(shownErasure) }),
  federationStatus: async (_, context) => running(context).status(),
  federationSend: async (_, context) => {
    running(context).send();
    return { asked: true };
  },
  federationAudit: async (_, context) => ({ holders: await running(context).audit(context.signal) }),
  federationCheckpoint: async ({ wait }, context) =>
    running(context).checkpoint({ wait, signal: context.signal, onProgress: context.onProgress }),
  federationWhatIf: async ({ sites }, context) => running(context).whatIf(sites),
  federationRestores: async (_, context) => ({ restores: running(context).helpedRestores.list() }),
  federationRestoresKnown: async ({ tickets }, context) => ({
    known: await running(context).helpedRestores.settle(tickets),
  }),
  federationKits: async (_, context) => ({ kits: running(context).kits.list() }),
  federationApproveKit: async ({ site: text, words }, context) => running(context).kits.approve(text, words),
  federationDisapproveKit: async ({ site: text }, context) => running(context).kits.disapprove(text),
  federationKitLogs: async (_, context) => ({ logs: await running(context).kits.logs() }),
  federationAskKit: async (_, context) => running(context).kits.ask(),
  federationCancelKit: async (_, context) => {
    await running(context).kits.cancel();
    return { cancelled: true };
  },
  federationObjectKit: async ({ site: asking, ...objection }, context) =>
    running(context).kits.object(asking, objection),
  federationSettings: async ({ change }, context) => running(context).settings(change ?? {}),
};
