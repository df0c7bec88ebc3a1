/**
 * What entries say, by kind, and about what: of the entries with one subject the newest counts. docs/specs/replication.md,
 * docs/specs/membership.md
 *
 * An entry of an unknown kind, or whose data is not what its kind asks for, says nothing. Fields that a kind does not name are
 * passed over: a later version may add some.
 */
import { createHash } from "node:crypto";
import * as v from "valibot";
import type { CborMap } from "#protocol/cbor.ts";
import { isCostorError } from "#protocol/errors.ts";
import { parseEraseOrder } from "#protocol/erase-order.ts";
import { limits } from "#protocol/limits.ts";
import { parseMajorityLink, parseRecoveryChain } from "#protocol/recovery-chain.ts";
import { type Entry, openLog } from "./entry.ts";
import { RETIRE_KIND, type Retire, readRetire, retireData } from "./retire.ts";
import * as field from "./statement-fields.ts";

interface Kind<Fields> {
  readonly fields: Fields;
  readonly schema: v.GenericSchema<unknown, field.Values<Fields>>;
  readonly subject: (values: field.Values<Fields>) => string;
}

function kind<Fields extends field.Fields>(
  fields: Fields,
  subject: (values: field.Values<Fields>) => string,
): Kind<Fields> {
  const schemas = Object.fromEntries(Object.entries(fields).map(([name, { schema }]) => [name, schema]));
  return { fields, schema: v.object(schemas) as unknown as Kind<Fields>["schema"], subject };
}

const kinds = {
  profile: kind(
    {
      name: field.text,
      addresses: field.addresses,
      domain: field.text,
      offeredBytes: field.natural(),
      keptBytes: field.natural(),
      readKey: field.bytes(32),
      readGeneration: field.natural(1),
    },
    () => "",
  ),
  placement: kind({ slice: field.slice, holders: field.holders }, ({ slice }) => `${slice}`),
  "live-set": kind(
    {
      slice: field.slice,
      generation: field.natural(1),
      count: field.natural(),
      bytes: field.natural(),
      hash: field.hash,
      snapshots: field.natural(),
    },
    ({ slice }) => `${slice}`,
  ),
  receipt: kind(
    {
      owner: field.site,
      slice: field.slice,
      generation: field.natural(1),
      count: field.natural(),
      bytes: field.natural(),
      hash: field.hash,
      snapshots: field.natural(),
    },
    ({ owner, slice }) => `${owner}/${slice}`,
  ),
  loss: kind(
    { owner: field.site, slice: field.slice, count: field.natural() },
    ({ owner, slice }) => `${owner}/${slice}`,
  ),
  audit: kind(
    {
      holder: field.site,
      owner: field.site,
      askedCount: field.natural(),
      rightCount: field.natural(),
      wrongCount: field.natural(),
      silentCount: field.natural(),
      sinceMs: field.natural(),
    },
    ({ holder, owner }) => `${holder}/${owner}`,
  ),
  steward: kind(
    { owner: field.site, slice: field.slice, holders: field.holders },
    ({ owner, slice }) => `${owner}/${slice}`,
  ),
  /** What came of its author's newest restore drill of a kind: docs/specs/site-files.md. */
  drill: kind(
    {
      drill: field.text,
      /** Of a drill across sites, who has gathered: one, otherwise none. */
      gatherers: field.optionalSites,
      filesCount: field.natural(),
      bytes: field.natural(),
      failedCount: field.natural(),
      endedMs: field.natural(),
    },
    ({ drill }) => drill,
  ),
  /** Its author has gathered a sample of the owner's primes from their holders, and the owner has told how many were not as they ought to be. */
  "drill-witness": kind(
    {
      owner: field.site,
      primesCount: field.natural(),
      bytes: field.natural(),
      failedCount: field.natural(),
      endedMs: field.natural(),
    },
    ({ owner }) => owner,
  ),
  /** Its author leaves: what it holds for others is to be placed elsewhere. A guest that is ready is to be let out. */
  leaving: kind({ sinceMs: field.natural(), isReady: field.optionalFlag }, () => ""),
  /** Its author leaves, and whoever holds anything of it is to erase that: docs/specs/replication.md, Erasing. */
  erase: kind({ order: field.bytes() }, () => ""),
  erased: kind(
    { owner: field.site, order: field.bytes(16), count: field.natural(), bytes: field.natural(), hash: field.hash },
    ({ owner }) => owner,
  ),
  /** How fast its author has sent to a site: for forecasts, nothing rests on it. */
  link: kind({ site: field.site, bytesPerSecond: field.natural(1), measuredMs: field.natural() }, ({ site }) => site),
  helped: kind(
    {
      owner: field.site,
      ticket: field.bytes(16),
      readGeneration: field.natural(1),
      sinceMs: field.natural(),
      untilMs: field.natural(),
      primesCount: field.natural(),
      bytes: field.natural(),
    },
    ({ owner, ticket }) => `${owner}/${ticket.toString("hex")}`,
  ),
  /** The certificate is the guest's own, so that whoever knows the entry knows its machine. */
  guest: kind({ site: field.site, name: field.text, certificate: field.bytes() }, ({ site }) => site),
  /** A signature of the body of a next roster. */
  consent: kind({ roster: field.rosterHash, body: field.bytes(), signature: field.bytes(64) }, ({ roster }) => roster),
  agent: kind({ agent: field.agent, sealed: field.bytes() }, ({ agent }) => agent),
  snapshot: kind(
    { agent: field.agent, snapshot: field.snapshot, sealed: field.bytes() },
    ({ agent, snapshot }) => `${agent}/${snapshot}`,
  ),
  /** The links of the site's recovery keys after the first. */
  "recovery-key": kind({ site: field.site, chain: field.chain }, () => ""),
  /** Its author's kit is lost: the link to a new key, on which members are to agree. */
  "kit-request": kind({ link: field.bytes() }, () => ""),
  /** The link by the hash of its body. */
  "kit-approval": kind({ site: field.site, link: field.bytes(32) }, ({ site }) => site),
  /** By the site's recovery key, wherever its kit was at hand. */
  "kit-objection": kind(
    { site: field.site, link: field.bytes(32), key: field.bytes(32), signature: field.bytes(64) },
    ({ site, link }) => `${site}/${link.toString("hex")}`,
  ),
  /** A part of what a new machine of the site needs. */
  state: kind({ part: field.text, sealed: field.bytes() }, ({ part }) => part),
};

type Kinds = typeof kinds;
type Plain = { [Name in keyof Kinds]: { readonly kind: Name } & field.Values<Kinds[Name]["fields"]> }[keyof Kinds];

/** What an entry says: a union by `kind`. */
export type Statement = Plain | ({ readonly kind: "retire" } & Retire);
export type StatementKind = Statement["kind"];
export type StatementOf<Name extends StatementKind> = Extract<Statement, { readonly kind: Name }>;

const isKind = (name: string): name is keyof Kinds => Object.hasOwn(kinds, name);

/** An entry that says several things at once: what they cost the ledger is mostly the entry. */
export const SEVERAL_KIND = "several";
const severalKinds = ["placement", "live-set", "receipt", "loss", "audit", "steward", "link"] as const;
type SeveralKind = (typeof severalKinds)[number];
/** What may stand with others in one entry. */
export type PlainStatement = StatementOf<SeveralKind>;
const severalSchema = v.object({
  statements: v.pipe(
    v.array(
      v.object({ kind: v.picklist(severalKinds), data: v.custom<CborMap>((value) => typeof value === "object") }),
    ),
    v.maxLength(limits.statementsPerEntryCount),
  ),
});

const read = new WeakMap<Entry, readonly Statement[]>();

/** Empty for an entry that says nothing; what of several cannot be read is passed over. */
export function readStatements(entry: Entry): readonly Statement[] {
  let statements = read.get(entry);
  if (statements === undefined) read.set(entry, (statements = statementsOf(entry)));
  return statements;
}

function statementsOf(entry: Entry): Statement[] {
  if (entry.kind === RETIRE_KIND) {
    const retire = readRetire(entry);
    return retire === undefined ? [] : [{ kind: "retire", ...retire }];
  }
  if (entry.kind !== SEVERAL_KIND) return readPlain(entry.kind, entry.data) ?? [];
  const several = v.safeParse(severalSchema, { ...entry.data });
  return several.success ? several.output.statements.flatMap(({ kind, data }) => readPlain(kind, data) ?? []) : [];
}

function readPlain(name: string, data: CborMap): [Statement] | undefined {
  if (!isKind(name)) return undefined;
  try {
    const parsed = v.safeParse(kinds[name].schema as v.GenericSchema, { ...data });
    if (!parsed.success) return undefined;
    const statement = { kind: name, ...(parsed.output as object) } as Statement;
    return isTrue(statement) ? [statement] : undefined;
  } catch (error) {
    if (isCostorError(error)) return undefined;
    throw error;
  }
}

/** What no schema says of one field alone. Throws `bad-encoding`, `signature-invalid`. */
function isTrue(statement: Statement): boolean {
  if (statement.kind === "consent")
    return createHash("sha256").update(statement.body).digest("hex") === statement.roster;
  if (statement.kind === "recovery-key") return parseRecoveryChain(statement.chain, statement.site).length > 0;
  if (statement.kind === "erase") return parseEraseOrder(statement.order) !== undefined;
  if (statement.kind === "kit-request") return parseMajorityLink(statement.link) !== undefined;
  if (statement.kind !== "guest") return true;
  const { certificate, site } = statement;
  return certificate.length <= limits.epochCertificateBytes && openLog(certificate).certificate.siteId === site;
}

/** The data of an entry that says so. */
const statementData = (statement: Statement): CborMap =>
  statement.kind === "retire" ? retireData(statement) : field.encodeFields(kinds[statement.kind].fields, statement);

/** Kind and data of the entry that says all of it; more than one has to be {@link PlainStatement}s. */
export function entryOf(statements: readonly Statement[]): { readonly kind: string; readonly data: CborMap } {
  const [first, ...others] = statements;
  if (first !== undefined && others.length === 0) return { kind: first.kind, data: statementData(first) };
  return {
    kind: SEVERAL_KIND,
    data: { statements: statements.map((statement) => ({ kind: statement.kind, data: statementData(statement) })) },
  };
}

/** What it is about, within its author and kind. */
export const subjectOf = (statement: HeldStatement): string =>
  statement.kind === "retire" ? statement.logId : kinds[statement.kind].subject(statement as never);

/** The kinds whose `sealed` bytes are left in the store until they are asked for. */
export type SealedKind = "agent" | "snapshot" | "state";

/** A statement as a ledger has it in memory. */
export type HeldStatement =
  | Exclude<Statement, { readonly kind: SealedKind }>
  | { [Name in SealedKind]: Omit<StatementOf<Name>, "sealed"> }[SealedKind];
export type HeldStatementOf<Name extends StatementKind> = Extract<HeldStatement, { readonly kind: Name }>;

export function withoutSealed(statement: Statement): HeldStatement {
  if (!("sealed" in statement)) return statement;
  const { sealed: _, ...held } = statement;
  return held;
}
