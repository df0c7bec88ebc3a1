/**
 * TCP links between processes that can be cut in groups: each process is reached through a proxy, which finds out who
 * connects by the socket's inode under /proc. Linux only. Cutting ends live links and refuses new ones, as a
 * broken line between two places does.
 */
import { readFile, readdir, readlink } from "node:fs/promises";
import { type AddressInfo, type Server, type Socket, connect, createServer } from "node:net";

export interface LinkedProcess {
  readonly name: string;
  readonly pid: number;
  /** Where it listens on 127.0.0.1. */
  readonly port: number;
}

interface Link {
  readonly from: string;
  readonly to: string;
  readonly sockets: readonly Socket[];
}

export class CuttableLinks implements AsyncDisposable {
  readonly #processes = new Map<string, LinkedProcess>();
  readonly #servers = new Map<string, Server>();
  readonly #links = new Set<Link>();
  #isCut: (from: string, to: string) => boolean = () => false;
  refusedCount = 0;

  /** The port through which others reach the process called `name`; tell who it is by {@link place} before anybody comes. */
  async open(name: string): Promise<number> {
    const server = createServer({ pauseOnConnect: true }, (socket) => void this.#accept(socket, name));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    this.#servers.set(name, server);
    return (server.address() as AddressInfo).port;
  }

  /** Also after a restart, with the new pid and port. */
  place(process: LinkedProcess): void {
    this.#processes.set(process.name, process);
  }

  /** Only processes in one group reach each other; one in no group reaches nobody. */
  partition(...groups: readonly (readonly string[])[]): void {
    this.#isCut = (from, to) => !groups.some((group) => group.includes(from) && group.includes(to));
    for (const link of this.#links)
      if (this.#isCut(link.from, link.to)) for (const socket of link.sockets) socket.destroy();
  }

  heal(): void {
    this.#isCut = () => false;
  }

  async #accept(socket: Socket, to: string): Promise<void> {
    socket.on("error", () => {});
    const from = await this.#nameOfClient(socket);
    const target = this.#processes.get(to);
    if (from === undefined || target === undefined || this.#isCut(from, to)) {
      this.refusedCount++;
      socket.destroy();
      return;
    }
    const onward = connect(target.port, "127.0.0.1");
    onward.on("error", () => {});
    const link: Link = { from, to, sockets: [socket, onward] };
    this.#links.add(link);
    for (const end of link.sockets) {
      end.setNoDelay(true);
      end.once("close", () => {
        this.#links.delete(link);
        for (const other of link.sockets) other.destroy();
      });
    }
    socket.pipe(onward).pipe(socket);
  }

  async #nameOfClient(socket: Socket): Promise<string | undefined> {
    const inode = await inodeOfPort(socket.remotePort!, socket.localPort ?? 0);
    if (inode === undefined) return undefined;
    for (const { name, pid } of this.#processes.values()) if (await holdsSocket(pid, inode)) return name;
    return undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const link of this.#links) for (const socket of link.sockets) socket.destroy();
    await Promise.all([...this.#servers.values()].map((server) => new Promise((resolve) => server.close(resolve))));
  }
}

/** The inode of the socket that is bound to `port` and connected to `toPort`, from proc_net_tcp(5). */
async function inodeOfPort(port: number, toPort: number): Promise<string | undefined> {
  const hex = (value: number): string => value.toString(16).toUpperCase().padStart(4, "0");
  for (const line of (await readFile("/proc/net/tcp", "latin1")).split("\n").slice(1)) {
    const fields = line.trim().split(/\s+/);
    if (fields[1]?.endsWith(`:${hex(port)}`) && fields[2]?.endsWith(`:${hex(toPort)}`)) return fields[9];
  }
  return undefined;
}

async function holdsSocket(pid: number, inode: string): Promise<boolean> {
  const folder = `/proc/${pid}/fd`;
  for (const descriptor of await readdir(folder).catch(() => []))
    if ((await readlink(`${folder}/${descriptor}`).catch(() => "")) === `socket:[${inode}]`) return true;
  return false;
}
