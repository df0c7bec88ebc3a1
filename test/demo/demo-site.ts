/** One site of the demo with its agent: a process on a disk of its own, and the commands that its people give. */
import { randomInt } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { callControl, connectControl } from "#node/control/client.ts";
import type { CallArguments, CallName, CallResults } from "#node/control/calls.ts";
import { openSiteStore } from "#node/site/site-store.ts";
import type { PrimeStore } from "#node/store/prime-store.ts";
import { CostorError } from "#protocol/errors.ts";
import { removeTrees } from "#test/support/scratch.ts";
import { type RunningSite, runCostorJson, startSite } from "../../scripts/costor-process.ts";

export interface DemoSiteInit {
  readonly name: string;
  /** For all that it keeps. */
  readonly directory: string;
  readonly signal: AbortSignal;
  readonly onLog?: (line: string) => void;
  /** Further ones of `costor site start`. */
  readonly parameters?: readonly string[];
}

export class DemoSite implements AsyncDisposable {
  readonly name: string;
  readonly data: string;
  readonly #init: DemoSiteInit;
  readonly #config: string;
  #running: RunningSite | undefined;
  /** That run now. */
  readonly #commands = new Set<Promise<unknown>>();
  /** Where its agents find it. */
  agentPort: number | undefined;
  /** Where it listens for other sites; another one from the next start on. */
  peerPort: number | undefined;

  constructor(init: DemoSiteInit) {
    this.#init = init;
    this.name = init.name;
    this.data = join(init.directory, "site");
    this.#config = join(init.directory, "agent", "agent.yaml");
  }

  get pid(): number | undefined {
    return this.#running?.pid;
  }

  get isRunning(): boolean {
    return this.#running !== undefined;
  }

  #listening(): string[] {
    return [
      "--peer-listen",
      `127.0.0.1:${this.peerPort}`,
      "--peer-websocket",
      "off",
      "--no-lan-discovery",
      ...(this.#init.parameters ?? []),
    ];
  }

  /** Resolves when it is ready. The agent finds it where it was before. */
  async start(environment?: Record<string, string>): Promise<void> {
    const { name, directory, signal, onLog } = this.#init;
    await mkdir(join(directory, "agent"), { recursive: true });
    this.agentPort ??= await freePort();
    this.peerPort ??= await freePort();
    const isFirst = !existsSync(this.data);
    const parameters = this.#listening();
    this.#running = await startSite(
      {
        ...{ data: this.data, listen: `127.0.0.1:${this.agentPort}`, name, parameters, onLog, environment },
        ...(isFirst ? { kit: this.kit } : {}),
      },
      signal,
    );
  }

  /** As its people would on a new machine: the kit, and what is left of it in another place. */
  async recover(kit: string, members: readonly string[] = [], environment?: Record<string, string>): Promise<void> {
    const { directory, signal, onLog } = this.#init;
    await mkdir(directory, { recursive: true });
    const where = members.flatMap((member) => ["--member", member]);
    this.#running = await startSite(
      {
        ...{ data: this.data, listen: `127.0.0.1:${this.agentPort}`, recovers: true, kit, onLog, environment },
        parameters: [...this.#listening(), ...where],
      },
      signal,
    );
  }

  /** Throws why it has ended by itself. */
  async ended(): Promise<never> {
    if (this.#running === undefined) throw new CostorError("site-unreachable", `${this.name} does not run`);
    return this.#running.ended();
  }

  async stop(): Promise<void> {
    const running = this.#running;
    this.#running = undefined;
    await running?.[Symbol.asyncDispose]();
  }

  /** The file that its first start wrote. */
  get kit(): string {
    return join(this.#init.directory, "kit.txt");
  }

  /** As by a power cut. */
  async kill(): Promise<void> {
    const running = this.#running;
    this.#running = undefined;
    await running?.kill();
  }

  wipe(): void {
    removeTrees([this.#init.directory]);
  }

  /** A command of `costor site` or `costor federation`, as scripts give it. Throws its error, with its code. */
  command<Result = unknown>(words: readonly string[], onProgress?: (value: unknown) => void): Promise<Result> {
    return this.#run<Result>([...words, "--data", this.data], { onProgress });
  }

  /** The same without a process for each: for what is asked every second. */
  async call<Name extends CallName>(name: Name, args: CallArguments<Name>): Promise<CallResults[Name]> {
    const socket = await connectControl(this.data);
    if (socket === undefined) throw new CostorError("site-unreachable", `${this.name} does not run`);
    return callControl(socket, name, args, { signal: this.#init.signal });
  }

  async enrolAgent(): Promise<void> {
    const words = ["site", "enrol-token", "--name", "office", "--address", `127.0.0.1:${this.agentPort}`];
    const { token } = await this.command<{ token: string }>(words);
    await this.#run(["agent", "enrol", token, "--config", this.#config]);
  }

  agentCommand<Result = unknown>(words: readonly string[]): Promise<Result> {
    return this.#run<Result>(["agent", ...words, "--config", this.#config]);
  }

  async backUp(paths: readonly string[], signal?: AbortSignal): Promise<void> {
    await this.#run(["agent", "backup", "--config", this.#config, ...paths], { signal });
  }

  /** Its store, while it does not run. */
  openStore(): Promise<PrimeStore> {
    return openSiteStore(this.data);
  }

  #run<Result>(
    words: readonly string[],
    init: {
      readonly signal?: AbortSignal | undefined;
      readonly onProgress?: ((value: unknown) => void) | undefined;
    } = {},
  ): Promise<Result> {
    const running = runCostorJson<Result>(words, init.signal ?? this.#init.signal, init.onProgress);
    this.#commands.add(running);
    running.finally(() => this.#commands.delete(running)).catch(() => undefined);
    return running;
  }

  /** Nothing writes to its disk any more when it resolves; commands end by themselves, or by the signal. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    await Promise.allSettled(this.#commands);
  }
}

/**
 * A port that nobody listens at now, below those that Linux gives to connections: a site listens for other sites only once it is in a
 * federation, and the port must be free until then.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(15_000, 32_000);
    const server = createServer();
    const isFree = await new Promise<boolean>((resolve) => {
      server.once("error", () => resolve(false));
      server.listen(port, "127.0.0.1", () => resolve(true));
    });
    await new Promise((resolve) => server.close(resolve));
    if (isFree) return port;
  }
}
