/**
 * Forbids real time, real chance and work in the background while a simulation runs: with any of them a seed would not reproduce
 * its run. What is simulated may catch what it throws; so the ban remembers, and the run fails all the same.
 */
import crypto from "node:crypto";
import { syncBuiltinESMExports } from "node:module";
import timers from "node:timers";
import timersPromises from "node:timers/promises";

type Owner = Record<string, unknown>;

const own = (owner: object): Owner => owner as Owner;

const banned: readonly (readonly [Owner, readonly string[]])[] = [
  [own(globalThis), ["setTimeout", "setInterval", "setImmediate"]],
  [own(timers), ["setTimeout", "setInterval", "setImmediate"]],
  [own(timersPromises), ["setTimeout", "setInterval", "setImmediate"]],
  [own(AbortSignal), ["timeout"]],
  [own(Date), ["now"]],
  [own(performance), ["now"]],
  [own(Math), ["random"]],
  [own(crypto), ["randomBytes", "randomFill", "randomFillSync", "randomInt", "randomUUID", "generateKeyPairSync"]],
  [own(crypto.webcrypto), ["getRandomValues", "randomUUID"]],
  // Their results come when another thread has them.
  [own(crypto), ["generateKeyPair", "hkdf", "pbkdf2", "scrypt"]],
  [own(Object.getPrototypeOf(crypto.webcrypto.subtle) as object), ["decrypt", "deriveBits", "digest", "encrypt"]],
  [own(Object.getPrototypeOf(crypto.webcrypto.subtle) as object), ["generateKey", "importKey", "sign", "verify"]],
];

export class AmbientBan implements Disposable {
  readonly #restores: (() => void)[] = [];
  #violation: Error | undefined;

  constructor() {
    for (const [owner, names] of banned) for (const name of names) this.#ban(owner, name);
    this.#banNewDate();
    syncBuiltinESMExports();
  }

  /** Throws what was done against the ban. */
  check(): void {
    if (this.#violation) throw this.#violation;
  }

  [Symbol.dispose](): void {
    for (const restore of this.#restores.reverse()) restore();
    syncBuiltinESMExports();
  }

  #ban(owner: Owner, name: string): void {
    this.#replace(owner, name, () => {
      throw this.#note(`${name} is not simulated`);
    });
  }

  #banNewDate(): void {
    const note = (): Error => this.#note("new Date() is not simulated");
    const BannedDate = class extends Date {
      constructor(...parameters: [number?]) {
        if (parameters.length === 0) throw note();
        super(...(parameters as [number]));
      }
    };
    this.#replace(own(globalThis), "Date", BannedDate);
  }

  #note(message: string): Error {
    return (this.#violation ??= new Error(message));
  }

  #replace(owner: Owner, name: string, value: unknown): void {
    const descriptor = Object.getOwnPropertyDescriptor(owner, name);
    Object.defineProperty(owner, name, { value, configurable: true, writable: true });
    this.#restores.push(() => {
      if (descriptor) Object.defineProperty(owner, name, descriptor);
      else delete owner[name];
    });
  }
}
