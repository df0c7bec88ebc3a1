/** A remote restore at a site that runs, as a command beside it sees it: the control socket (node/control/restore-calls.ts). */
import type { Socket } from "node:net";
import { callControl, connectControl, readRestoredPrimes } from "#node/control/client.ts";
import type { CallArguments, CallName, CallResults } from "#node/control/calls.ts";
import { grantToWire, restorePrimesCount } from "#node/control/restore-calls.ts";
import type { StoredPrime } from "#protocol/batch.ts";
import { CostorError } from "#protocol/errors.ts";
import type { AgentId, PrimeId, SnapshotId } from "#protocol/ids.ts";
import type { HolderFailure } from "./remote-restore.ts";
import type { RescuedSite } from "./rescued-site.ts";

export interface ControlledRestoreInit {
  readonly dataDirectory: string;
  readonly ticket: Uint8Array;
  readonly readKeys: readonly Uint8Array[];
  readonly signal: AbortSignal;
}

export class ControlledRestore implements RescuedSite {
  /** By the site beside it: node/rescue/prime-gathering.ts. */
  readonly isVerified = true;
  readonly #dataDirectory: string;
  readonly #name: string;
  readonly #signal: AbortSignal;
  readonly #end: AbortController;
  readonly #ended: Promise<void>;

  private constructor(
    { dataDirectory, signal }: ControlledRestoreInit,
    name: string,
    end: AbortController,
    ended: Promise<void>,
  ) {
    this.#dataDirectory = dataDirectory;
    this.#signal = signal;
    this.#name = name;
    this.#end = end;
    this.#ended = ended;
  }

  /** Throws what the site throws, `site-unreachable` when none runs. */
  static async open(init: ControlledRestoreInit): Promise<ControlledRestore> {
    const end = new AbortController();
    const opened = Promise.withResolvers<string>();
    const socket = await connect(init.dataDirectory);
    const args = grantToWire(init);
    const signal = AbortSignal.any([end.signal, init.signal]);
    const onProgress = (progress: unknown): void => opened.resolve((progress as { restore: string }).restore);
    const ended = callControl(socket, "restoreOpen", args, { signal, onProgress }).then(
      () => opened.reject(new CostorError("not-found", "the remote restore has ended")),
      (error: unknown) => opened.reject(error),
    );
    return new ControlledRestore(init, await opened.promise, end, ended);
  }

  async agents(): ReturnType<RescuedSite["agents"]> {
    return (await this.#call("restoreAgents", { restore: this.#name })).agents;
  }

  async snapshots(agent: AgentId): ReturnType<RescuedSite["snapshots"]> {
    return (await this.#call("restoreSnapshots", { restore: this.#name, agent })).snapshots;
  }

  async wholeUntilMs(): Promise<number> {
    return (await this.#call("restoreWholeUntil", { restore: this.#name })).wholeUntilMs;
  }

  snapshot(agent: AgentId, snapshot: SnapshotId): ReturnType<RescuedSite["snapshot"]> {
    return this.#call("restoreSnapshot", { restore: this.#name, agent, snapshot });
  }

  async *readPrimes(ids: readonly PrimeId[], signal?: AbortSignal): AsyncGenerator<StoredPrime> {
    for (let at = 0; at < ids.length; at += restorePrimesCount) {
      const part = ids.slice(at, at + restorePrimesCount);
      const next = part.values();
      const socket = await connect(this.#dataDirectory);
      for await (const stored of readRestoredPrimes(socket, { restore: this.#name, ids: part }, signal ?? this.#signal))
        yield { id: next.next().value!, stored };
    }
  }

  /** Of the holders that did not do their part, the newest each. */
  async failures(): Promise<HolderFailure[]> {
    return (await this.#call("restoreFailures", { restore: this.#name })).failures;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#end.abort();
    await this.#ended;
  }

  async #call<Name extends CallName>(name: Name, args: CallArguments<Name>): Promise<CallResults[Name]> {
    return callControl(await connect(this.#dataDirectory), name, args, { signal: this.#signal });
  }
}

async function connect(dataDirectory: string): Promise<Socket> {
  const socket = await connectControl(dataDirectory);
  if (socket !== undefined) return socket;
  throw new CostorError("site-unreachable", "this site does not run; start it, then give the command again");
}
