/**
 * The second person of a site, without whom nothing keeps less: whoever has a code, of which only a salted hash is kept.
 * A code that is lost is waited out by the lock, seen by people, and any of them can take that back. docs/specs/retention.md, "A second person"
 */
import { timingSafeEqual } from "node:crypto";
import * as v from "valibot";
import { LOCK_MS } from "#ledger/drop-plan.ts";
import type { Rng } from "#ledger/rng.ts";
import type { HeldClock } from "#node/replication/held-clock.ts";
import { RecentCount } from "#node/site/recent-count.ts";
import { readFactValue } from "#node/site/site-facts.ts";
import { hashWords } from "#node/site/word-hash.ts";
import type { PrimeStore } from "#node/store/prime-store.ts";
import { encodeCbor } from "#protocol/cbor.ts";
import { CostorError, isCostorError } from "#protocol/errors.ts";
import { readWords, wordsOfBytes } from "#protocol/kit-words.ts";
import { limits } from "#protocol/limits.ts";
import type { PolicyFacts, PolicyScope, PolicyTimes } from "./policy-facts.ts";

const FACT = { kind: "retention", key: "second-person" } as const;
const WRONG = { kind: "retention", key: "wrong-codes" } as const;
const CODE_BYTES = 8;
const SALT_BYTES = 16;
const HASH_BYTES = 32;
/** Of the code. */
export const codeWordsCount = 6;

const bytes = (count: number) => v.custom<Uint8Array>((value) => value instanceof Uint8Array && value.length === count);
const time = v.pipe(v.number(), v.safeInteger());
const personSchema = v.strictObject({
  sinceMs: time,
  salt: bytes(SALT_BYTES),
  hash: bytes(HASH_BYTES),
  /** The code is said to be lost. */
  end: v.optional(v.strictObject({ sinceMs: time, dueHeldMs: time })),
});
const schema = v.strictObject({ person: v.nullable(personSchema) });
const wrongSchema = v.strictObject({ count: v.pipe(v.number(), v.safeInteger()) });
type Person = v.InferOutput<typeof personSchema>;

export interface SecondPersonComponents {
  readonly store: Pick<PrimeStore, "appendFacts">;
  readonly heldClock: Pick<HeldClock, "nowMs">;
  readonly rng: Pick<Rng, "bytes">;
  readonly policies: Pick<PolicyFacts, "approve" | "undoUnapproved">;
  readonly times: () => PolicyTimes;
  /** One decision at a time; others are told of it. */
  readonly deciding: <Done>(decide: () => Promise<Done>) => Promise<Done>;
  /** Tells people one sentence, at once. */
  readonly warn: (sentence: string) => void;
}

/** What people may know of the second person. */
export interface SecondPersonState {
  readonly sinceMs: number;
  /** When there is none any more, by the held clock, because the code is said to be lost. */
  readonly endHeldMs?: number;
}

interface KeptPerson {
  readonly person: Person | null;
  readonly wrongCount: number;
}

export async function readSecondPerson(store: Pick<PrimeStore, "fact">): Promise<KeptPerson> {
  const [value, wrong] = await Promise.all([FACT, WRONG].map(({ kind, key }) => store.fact(kind, key)));
  return {
    person: value === undefined ? null : readFactValue(value, schema, FACT.key).person,
    wrongCount: wrong === undefined ? 0 : readFactValue(wrong, wrongSchema, WRONG.key).count,
  };
}

export class SecondPerson {
  readonly #components: SecondPersonComponents;
  readonly #guesses: RecentCount;
  #person: Person | null;
  #wrongCount: number;

  constructor(components: SecondPersonComponents, { person, wrongCount }: KeptPerson) {
    this.#components = components;
    this.#person = person;
    this.#wrongCount = wrongCount;
    const clock = { elapsedMs: () => components.heldClock.nowMs() };
    this.#guesses = new RecentCount(
      { clock },
      { mostCount: limits.secondPersonGuessesPerMinuteCount, withinMs: 60_000 },
    );
  }

  /** By what an approval is known to be this person's; undefined when there is none. */
  get approver(): Uint8Array | undefined {
    return this.#person?.salt;
  }

  /** Undefined when there is none. */
  get state(): SecondPersonState | undefined {
    if (this.#person === null) return undefined;
    const { sinceMs, end } = this.#person;
    return { sinceMs, ...(end && { endHeldMs: end.dueHeldMs }) };
  }

  /** Codes that were given since a right one. */
  get wrongCount(): number {
    return this.#wrongCount;
  }

  /** Approves what was decided at `sinceMs`. Throws `not-found`, `wrong-code`, `too-many-requests`. */
  approve(scope: PolicyScope, sinceMs: number, code: string): Promise<void> {
    return this.#components.deciding(async () => {
      const { salt } = await this.#check(code);
      await this.#components.policies.approve(scope, sinceMs, salt);
    });
  }

  /**
   * From now on there is one: the words of the code, which are kept nowhere. In place of another one it takes that one's code. Throws
   * `second-person-needed` without it, `wrong-code`, `too-many-requests`.
   */
  set(code?: string): Promise<readonly string[]> {
    return this.#components.deciding(async () => {
      const { rng, times } = this.#components;
      await this.allow(code);
      const words = wordsOfBytes(rng.bytes(CODE_BYTES));
      const salt = rng.bytes(SALT_BYTES);
      await this.#keep({ sinceMs: times().nowMs, salt, hash: await hashWords(words, salt) });
      await this.#keepWrong(0);
      return words;
    });
  }

  /** With the code at once; without it when the lock is over. Throws `not-found`, `wrong-code`, `too-many-requests`. */
  end(code?: string): Promise<void> {
    return this.#components.deciding(async () => {
      if (code !== undefined) {
        await this.#check(code);
        return this.#end();
      }
      const person = this.#require();
      if (person.end !== undefined) return;
      this.#components.warn("the code of the second person is said to be lost: costor site retention show");
      const { nowMs, heldMs } = this.#components.times();
      await this.#keep({ ...person, end: { sinceMs: nowMs, dueHeldMs: heldMs + LOCK_MS } });
    });
  }

  /** Takes back that the code is lost. Throws `not-found`. */
  undoEnd(): Promise<void> {
    return this.#components.deciding(async () => {
      const { end, ...person } = this.#require();
      if (end === undefined) throw new CostorError("not-found", "the second person's code is not said to be lost");
      await this.#keep(person);
    });
  }

  /** For what keeps less at once: throws `second-person-needed`, `wrong-code` or `too-many-requests` unless there is none, or this is the code. */
  async allow(code: string | undefined): Promise<void> {
    if (this.#person !== null) await this.#check(code);
  }

  /** Ends it when a code that is lost was waited out. Only while nothing else is decided. */
  async look(heldMs: number): Promise<void> {
    const person = this.#person;
    if (!person?.end) return;
    if (person.end.dueHeldMs <= heldMs) await this.#end();
    // By the clock of a machine that is no more: the lock begins anew.
    else if (person.end.dueHeldMs > heldMs + LOCK_MS)
      await this.#keep({ ...person, end: { ...person.end, dueHeldMs: heldMs + LOCK_MS } });
  }

  /** In this order: what is cut short is done again. */
  async #end(): Promise<void> {
    await this.#components.policies.undoUnapproved(this.approver);
    await this.#keep(null);
    await this.#keepWrong(0);
  }

  async #check(code: string | undefined): Promise<Person> {
    const person = this.#require();
    if (code === undefined) throw new CostorError("second-person-needed", "this takes the second person's code");
    const words = readCode(code);
    if (this.#guesses.isFull) throw new CostorError("too-many-requests", "too many wrong codes: wait for a minute");
    if (timingSafeEqual(await hashWords(words, person.salt), person.hash)) {
      await this.#keepWrong(0);
      return person;
    }
    this.#guesses.add();
    if (this.#wrongCount === 0) this.#components.warn("a wrong code of the second person was given");
    await this.#keepWrong(this.#wrongCount + 1);
    throw new CostorError("wrong-code", "these are not the words of this site's second person");
  }

  #require(): Person {
    if (this.#person) return this.#person;
    throw new CostorError("not-found", "this site has no second person");
  }

  async #keep(person: Person | null): Promise<void> {
    await this.#components.store.appendFacts([{ ...FACT, value: encodeCbor({ person }) }]);
    this.#person = person;
  }

  async #keepWrong(count: number): Promise<void> {
    if (count === this.#wrongCount) return;
    await this.#components.store.appendFacts([{ ...WRONG, value: encodeCbor({ count }) }]);
    this.#wrongCount = count;
  }
}

/** Four letters of each word are enough. Throws `wrong-code`. */
function readCode(code: string): string[] {
  let words: string[];
  try {
    words = readWords(code);
  } catch (cause) {
    if (!isCostorError(cause, "kit-invalid")) throw cause;
    throw new CostorError("wrong-code", cause.message, { cause });
  }
  if (words.length === codeWordsCount) return words;
  throw new CostorError("wrong-code", `${codeWordsCount} words are expected, not ${words.length}`);
}
