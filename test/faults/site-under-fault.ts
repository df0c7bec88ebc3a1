/** A site in a process of its own that may be killed, started again on the same port, and run under another program. */
import { once } from "node:events";
import { createServer } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { scratchDirectory } from "#test/support/scratch.ts";
import { type CommandEnd, type CommandInit, type RunningCommand, runCommand, startCommand } from "./command.ts";

/** Outside of the range that the kernel takes ports for clients from, so that nothing is given this one meanwhile. */
const lowestPort = 20_000;
const portsCount = 12_000;

async function freePort(): Promise<number> {
  for (;;) {
    const port = lowestPort + Math.floor(Math.random() * portsCount);
    const server = createServer();
    const isFree = await new Promise<boolean>((resolve) => {
      server.once("error", () => resolve(false)).listen(port, "127.0.0.1", () => resolve(true));
    });
    if (!isFree) continue;
    server.close();
    await once(server, "close");
    return port;
  }
}

export class SiteUnderFault implements AsyncDisposable {
  readonly dataDirectory: string;
  readonly kitFile: string;
  readonly port: number;
  /** All that the site's processes said on stderr, in order. */
  readonly log: string[] = [];
  private running: RunningCommand | undefined;

  private constructor(directory: string, dataDirectory: string, port: number) {
    this.dataDirectory = dataDirectory;
    this.kitFile = join(directory, "kit");
    this.port = port;
  }

  /** Nothing is started yet. */
  static async make(dataDirectory?: string): Promise<SiteUnderFault> {
    const directory = await scratchDirectory("fault-site");
    return new SiteUnderFault(directory, dataDirectory ?? join(directory, "data"), await freePort());
  }

  get storeDirectory(): string {
    return join(this.dataDirectory, "store");
  }

  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  get pid(): number {
    return this.running!.pid;
  }

  /** Starts the site; the end of its process when that came before it was ready. */
  async tryStart(init: CommandInit = {}): Promise<CommandEnd | undefined> {
    const words = ["--data", this.dataDirectory, "--listen", this.address, "--kit", this.kitFile, "--json"];
    const command = startCommand(["site", "start", ...words, "--log-level", "warn"], init);
    const lines = createInterface({ input: command.child.stdout! });
    const ready = new Promise<undefined>((resolve) => {
      lines.on("line", (line) => {
        if (line.includes('"ready":true')) resolve(undefined);
        else this.log.push(line);
      });
    });
    const ended = command.ended.then((end) => {
      if (this.running === command) this.running = undefined;
      this.log.push(end.stderr);
      return end;
    });
    this.running = command;
    return Promise.race([ready, ended]);
  }

  /** Whether it was killed before it was ready. */
  async diesAtStart(init: CommandInit): Promise<boolean> {
    const end = await this.tryStart(init);
    if (end === undefined || end.code === "SIGKILL") return end !== undefined;
    throw new Error(`the site ended with ${end.code}: ${end.stderr}${this.log.join("\n")}`);
  }

  async start(init: CommandInit = {}): Promise<void> {
    const end = await this.tryStart(init);
    if (end !== undefined) throw new Error(`the site ended with ${end.code}: ${end.stderr}${this.log.join("\n")}`);
  }

  /** The end of the process that runs now. */
  async ended(): Promise<CommandEnd | undefined> {
    return this.running?.ended;
  }

  get isRunning(): boolean {
    return this.running !== undefined;
  }

  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<CommandEnd | undefined> {
    this.running?.kill(signal);
    return this.ended();
  }

  signal(signal: NodeJS.Signals): void {
    this.running!.kill(signal);
  }

  /** A command beside the site, or on its data when it does not run. */
  command(...words: string[]): Promise<CommandEnd> {
    const [name, ...rest] = words;
    return runCommand(["site", name!, "--data", this.dataDirectory, "--json", ...rest]);
  }

  async enrolToken(name: string): Promise<string> {
    const made = await this.command("enrol-token", "--name", name, "--address", this.address);
    if (made.code !== 0) throw new Error(made.stderr);
    return made.json<{ token: string }>().token;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.running === undefined) return;
    this.running.kill("SIGCONT");
    await this.stop("SIGKILL");
  }
}
