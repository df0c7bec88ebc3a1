/** Remote restores by the control socket: docs/specs/replication.md, Fetching. Whoever opens one keeps the connection; its end ends the restore. */
import * as v from "valibot";
import type { FederationControl } from "#node/federation/federation-control.ts";
import type { RemoteRestores } from "#node/rescue/remote-restores.ts";
import type { HolderFailure, RemoteRestoreInit } from "#node/rescue/remote-restore.ts";
import type { RescuedAgent } from "#node/rescue/rescued-site.ts";
import { CostorError } from "#protocol/errors.ts";
import type { SnapshotResponse, SnapshotSummary } from "#protocol/http.ts";
import { parseAgentId, parsePrimeId, parseSiteId, parseSnapshotId } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
import { runningPart } from "./running-part.ts";

const text = v.pipe(v.string(), v.maxLength(100));
const base64 = v.pipe(v.string(), v.base64(), v.maxLength(4 * Math.ceil(limits.restoreTicketBytes / 3)));
const restore = text;

/** As `RestoreGrant`, in base64. */
export const grantSchema = v.strictObject({
  ticket: base64,
  readKeys: v.pipe(v.array(base64), v.minLength(1), v.maxLength(limits.readGenerationsCount)),
});
export const readGrant = ({ ticket, readKeys }: v.InferOutput<typeof grantSchema>): RemoteRestoreInit => ({
  ticket: Buffer.from(ticket, "base64"),
  readKeys: readKeys.map((key) => Buffer.from(key, "base64")),
});

export const grantToWire = ({ ticket, readKeys }: RemoteRestoreInit): v.InferInput<typeof grantSchema> => ({
  ticket: Buffer.from(ticket).toString("base64"),
  readKeys: readKeys.map((key) => Buffer.from(key).toString("base64")),
});

export const restoreSchemas = {
  restoreFind: v.strictObject({ owner: text }),
  restoreOpen: grantSchema,
  restoreAgents: v.strictObject({ restore }),
  restoreSnapshots: v.strictObject({ restore, agent: text }),
  restoreWholeUntil: v.strictObject({ restore }),
  restoreSnapshot: v.strictObject({ restore, agent: text, snapshot: text }),
  restoreFailures: v.strictObject({ restore }),
} as const;

export interface RestoreResults {
  /** `helper` is this machine's key, `publicKey` of the newest read key, both in hex; `requestedKeys` as `RestorableSite`, in base64. */
  restoreFind: {
    owner: string;
    name: string;
    helper: string;
    readKey?: { generation: number; publicKey: string };
    requestedKeys?: string;
  };
  /** Tells { restore } as progress once it is open: its name. */
  restoreOpen: { ended: true };
  restoreAgents: { agents: RescuedAgent[] };
  restoreSnapshots: { snapshots: SnapshotSummary[] };
  restoreWholeUntil: { wholeUntilMs: number };
  restoreSnapshot: SnapshotResponse;
  restoreFailures: { failures: HolderFailure[] };
}

type RestoreCall = keyof typeof restoreSchemas;
interface RestoreContext {
  readonly federation: FederationControl | undefined;
  readonly signal: AbortSignal;
  onProgress(progress: unknown): void;
}

type Handlers = {
  [Name in RestoreCall]: (
    args: v.InferOutput<(typeof restoreSchemas)[Name]>,
    context: RestoreContext,
  ) => Promise<RestoreResults[Name]>;
};

const restoresOf = ({ federation }: Pick<RestoreContext, "federation">): RemoteRestores =>
  runningPart(federation).remoteRestores;

export const restoreHandlers: Handlers = {
  restoreFind: async ({ owner }, context) => {
    const { readKey, requestedKeys, ...found } = await restoresOf(context).find(parseSiteId(owner));
    return {
      ...found,
      ...(readKey && { readKey: { ...readKey, publicKey: readKey.publicKey.toString("hex") } }),
      ...(requestedKeys && { requestedKeys: requestedKeys.toString("base64") }),
    };
  },
  restoreOpen: async (grant, context) => {
    const restores = restoresOf(context);
    const opened = await restores.open(readGrant(grant));
    context.onProgress({ restore: opened.name });
    await restores.untilEnd(opened.restore, context.signal);
    return { ended: true };
  },
  restoreAgents: async (args, context) => ({ agents: await restoresOf(context).of(args.restore).agents() }),
  restoreSnapshots: async (args, context) => ({
    snapshots: await restoresOf(context).of(args.restore).snapshots(parseAgentId(args.agent)),
  }),
  restoreWholeUntil: async (args, context) => ({
    wholeUntilMs: restoresOf(context).wholeUntilMs(args.restore),
  }),
  restoreSnapshot: (args, context) =>
    restoresOf(context).of(args.restore).snapshot(parseAgentId(args.agent), parseSnapshotId(args.snapshot)),
  restoreFailures: async (args, context) => ({ failures: restoresOf(context).of(args.restore).failures() }),
};

/** Most ids of one call: a call has at most 64 KiB. */
export const restorePrimesCount = 512;

const primesSchema = v.strictObject({ restore, ids: v.pipe(v.array(text), v.maxLength(restorePrimesCount)) });
export type RestorePrimesArguments = v.InferInput<typeof primesSchema>;

/** The call `restorePrimes`: stored primes in the asked order. Throws as {@link RemoteRestore.readPrimes}, `bad-usage`. */
export async function* restorePrimes(
  args: unknown,
  context: Pick<RestoreContext, "federation" | "signal">,
): AsyncGenerator<Uint8Array> {
  const parsed = v.safeParse(primesSchema, args);
  if (!parsed.success) throw new CostorError("bad-usage", `restorePrimes: ${parsed.issues[0].message}`);
  const ids = parsed.output.ids.map(parsePrimeId);
  for await (const { stored } of restoresOf(context).of(parsed.output.restore).readPrimes(ids, context.signal))
    yield stored;
}
