/** What a person can tell a site about how long snapshots are kept. Arguments are checked by `calls.ts`, like all of them. */
import * as v from "valibot";
import { retentionPolicySchema } from "#ledger/retention-policy.ts";
import type { PolicyScope } from "#node/retention/policy-facts.ts";
import type {
  CollectedReport,
  KeptSnapshot,
  Retention,
  RetentionPreview,
  RetentionState,
} from "#node/retention/retention.ts";
import type { AgentRegistry } from "#node/site/agent-registry.ts";
import type { AgentId, SnapshotId } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
import { chooseSnapshotById } from "#protocol/snapshot-choice.ts";
import { chooseAgent } from "./agent-choice.ts";
import { snapshotText } from "./snapshot-text.ts";

/** Snapshots named in one call. */
const NAMED_COUNT = 1000;
const snapshots = v.pipe(v.array(snapshotText), v.minLength(1), v.maxLength(NAMED_COUNT));
const tag = v.pipe(
  v.string(),
  v.trim(),
  v.minLength(1),
  v.maxLength(limits.snapshotTagCharacters),
  v.regex(/^[^\p{C}]*$/u, "a tag holds no control characters"),
);
const scope = { agent: v.optional(v.string()), job: v.optional(v.pipe(v.string(), v.minLength(1), v.maxLength(200))) };
/** Null: as for what is wider. */
const policy = v.nullable(retentionPolicySchema);

/** Six words as a person types them. */
const code = v.pipe(v.string(), v.maxLength(200));

export const retentionSchemas = {
  retention: v.strictObject({}),
  retentionSet: v.strictObject({ ...scope, policy }),
  retentionPreview: v.strictObject({ ...scope, policy }),
  retentionUndo: v.strictObject(scope),
  /** `sinceMs`: when that was decided which is approved. */
  retentionApprove: v.strictObject({ ...scope, sinceMs: v.pipe(v.number(), v.safeInteger()), code }),
  secondPersonSet: v.strictObject({ code: v.optional(code) }),
  secondPersonEnd: v.strictObject({ code: v.optional(code) }),
  secondPersonUndo: v.strictObject({}),
  confirmClock: v.strictObject({}),
  snapshots: v.strictObject({ agent: v.optional(v.string()) }),
  snapshotMark: v.strictObject({
    snapshots,
    isPinned: v.optional(v.boolean()),
    tags: v.optional(v.pipe(v.array(tag), v.maxLength(limits.snapshotTagsCount))),
    heldUntilMs: v.optional(v.nullable(v.pipe(v.number(), v.safeInteger()))),
    code: v.optional(code),
  }),
  snapshotRemove: v.strictObject({ snapshots, code: v.optional(code) }),
  snapshotRestore: v.strictObject({ snapshots }),
  collect: v.strictObject({ isDry: v.boolean() }),
} as const;

export interface RetentionResults {
  retention: RetentionState;
  retentionSet: RetentionState;
  /** Tells how far it is as progress. */
  retentionPreview: RetentionPreview;
  retentionUndo: RetentionState;
  retentionApprove: RetentionState;
  /** The code, shown this once. */
  secondPersonSet: { words: readonly string[] };
  secondPersonEnd: RetentionState;
  secondPersonUndo: RetentionState;
  confirmClock: RetentionState;
  snapshots: { snapshots: readonly KeptSnapshot[] };
  snapshotMark: { changed: readonly string[] };
  snapshotRemove: { removed: readonly string[] };
  snapshotRestore: { restored: readonly string[] };
  /** Tells how far it is as progress. */
  collect: CollectedReport;
}

type RetentionCall = keyof typeof retentionSchemas;
interface RetentionContext {
  readonly site: { readonly agents: Pick<AgentRegistry, "list"> };
  readonly retention: () => Promise<Retention>;
  readonly signal: AbortSignal;
  onProgress(progress: unknown): void;
}

type Handlers = {
  [Name in RetentionCall]: (
    args: v.InferOutput<(typeof retentionSchemas)[Name]>,
    context: RetentionContext,
  ) => Promise<RetentionResults[Name]>;
};

type Site = RetentionContext["site"];

/** Throws as {@link chooseAgent}. */
const agentOf = (text: string, site: Site): AgentId => chooseAgent(site.agents.list(), text).id;

/** Throws as {@link chooseAgent}. */
const scopeOf = (
  { agent, job }: { agent?: string | undefined; job?: string | undefined },
  { site }: { site: Site },
): PolicyScope => ({
  ...(agent === undefined ? {} : { agent: agentOf(agent, site) }),
  ...(job === undefined ? {} : { job }),
});

/** Throws as {@link chooseSnapshotById}. */
async function idsOf(texts: readonly string[], retention: Retention): Promise<SnapshotId[]> {
  const known = (await retention.snapshots()).map(({ id }) => id);
  return texts.map((text) => chooseSnapshotById(text, known));
}

export const retentionHandlers: Handlers = {
  retention: async (_, context) => (await context.retention()).state(),
  retentionSet: async ({ policy: decided, ...of }, context) => {
    const retention = await context.retention();
    await retention.decide(scopeOf(of, context), decided);
    return retention.state();
  },
  retentionPreview: async ({ policy: decided, ...of }, context) =>
    (await context.retention()).preview(scopeOf(of, context), decided, context),
  retentionUndo: async (of, context) => {
    const retention = await context.retention();
    await retention.undo(scopeOf(of, context));
    return retention.state();
  },
  retentionApprove: async ({ sinceMs, code: given, ...of }, context) => {
    const retention = await context.retention();
    await retention.secondPerson.approve(scopeOf(of, context), sinceMs, given);
    return retention.state();
  },
  secondPersonSet: async ({ code: given }, context) => ({
    words: await (await context.retention()).secondPerson.set(given),
  }),
  secondPersonEnd: async ({ code: given }, context) => {
    const retention = await context.retention();
    await retention.secondPerson.end(given);
    return retention.state();
  },
  secondPersonUndo: async (_, context) => {
    const retention = await context.retention();
    await retention.secondPerson.undoEnd();
    return retention.state();
  },
  confirmClock: async (_, context) => {
    const retention = await context.retention();
    await retention.confirmClock();
    return retention.state();
  },
  snapshots: async ({ agent }, context) => ({
    snapshots: await (
      await context.retention()
    ).snapshots(agent === undefined ? undefined : agentOf(agent, context.site)),
  }),
  snapshotMark: async ({ snapshots: texts, code: given, ...change }, context) => {
    const retention = await context.retention();
    const ids = await idsOf(texts, retention);
    await retention.mark(ids, change, given);
    return { changed: ids };
  },
  snapshotRemove: async ({ snapshots: texts, code: given }, context) => {
    const retention = await context.retention();
    const ids = await idsOf(texts, retention);
    await retention.remove(ids, given);
    return { removed: ids };
  },
  snapshotRestore: async ({ snapshots: texts }, context) => {
    const retention = await context.retention();
    const ids = await idsOf(texts, retention);
    await retention.keepRemoved(ids);
    return { restored: ids };
  },
  collect: async ({ isDry }, context) => (await context.retention()).collect({ ...context, isDry }),
};
