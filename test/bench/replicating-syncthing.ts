/**
 * The scenario `replicate` by Syncthing: two instances on loopback, with a folder that one only sends and the other only receives. The
 * first has scanned it before; the time is from when the second takes part until it has all. It syncs files as it does by default.
 */
import { randomBytes } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { run } from "./measure.ts";
import { waitUntil } from "./patience.ts";
import type { Replicating } from "./replicate.ts";
import { primeContent } from "./replicated-primes.ts";
import { freePort, type ServerProcess, startServer } from "./server-process.ts";

const program = "syncthing";

interface Instance {
  readonly home: string;
  readonly deviceId: string;
  readonly apiPort: number;
  readonly port: number;
  readonly apiKey: string;
}

const fileName = (index: number): string => `${Math.floor(index / 256)}/${index}`;

/** The files that it moves, one a prime. */
export async function writeFiles(folder: string, sizes: readonly number[]): Promise<void> {
  for (const [index, sizeBytes] of sizes.entries()) {
    const path = join(folder, fileName(index));
    if (index % 256 === 0) await mkdir(dirname(path), { recursive: true });
    await writeFile(path, primeContent(index, sizeBytes));
  }
  await mkdir(join(folder, ".stfolder"));
}

export async function startSyncthing(folder: string, files: string, sizes: readonly number[]): Promise<Replicating> {
  const allBytes = sizes.reduce((sum, size) => sum + size, 0);
  const [sender, receiver] = [await makeInstance(join(folder, "a")), await makeInstance(join(folder, "b"))];
  const target = join(folder, "received");
  await mkdir(join(target, ".stfolder"), { recursive: true });
  await configure(sender, receiver, { type: "sendonly", path: files, paused: false });
  await configure(receiver, sender, { type: "receiveonly", path: target, paused: true });
  const servers = [await serve(sender), await serve(receiver)];
  const stop = async (): Promise<void> => void (await Promise.all(servers.map((one) => one[Symbol.asyncDispose]())));
  await waitUntil("Syncthing to scan its files", async () => {
    const { state, localFiles } = (await ask(sender, "db/status?folder=bench")) as Record<string, unknown>;
    return state === "idle" && localFiles === sizes.length;
  });
  await waitUntil("two Syncthings to connect", async () => {
    const { connections } = (await ask(receiver, "system/connections")) as Connections;
    return connections[sender.deviceId]?.connected === true;
  });
  return {
    pids: [servers[0]!.pid, servers[1]!.pid],
    replicate: async () => {
      await ask(receiver, "config/folders/bench", { paused: false });
      await waitUntil("Syncthing to receive all", async () => {
        const { completion, globalBytes } = (await ask(receiver, "db/completion?folder=bench")) as Completion;
        // It counts a little for folders too.
        return globalBytes >= allBytes && completion === 100;
      });
    },
    verify: async () => {
      await stop();
      for (const index of sizes.keys())
        if (!(await readFile(join(target, fileName(index)))).equals(await readFile(join(files, fileName(index)))))
          throw new Error(`Syncthing has other bytes in file ${index}`);
    },
    [Symbol.asyncDispose]: stop,
  };
}

interface Connections {
  readonly connections: Readonly<Record<string, { readonly connected: boolean } | undefined>>;
}

interface Completion {
  readonly completion: number;
  readonly globalBytes: number;
}

async function makeInstance(home: string): Promise<Instance> {
  await mkdir(home, { recursive: true });
  const words = ["generate", "--home", home, "--no-default-folder", "--skip-port-probing"];
  const made = await run({ program, arguments: words });
  const deviceId = /Device ID: ([A-Z2-7-]+)/.exec(made.output)?.[1];
  if (deviceId === undefined) throw new Error(`syncthing made no key:\n${made.output}`);
  return {
    ...{ home, deviceId, apiPort: await freePort(), port: await freePort() },
    apiKey: randomBytes(16).toString("hex"),
  };
}

/** Nobody else is looked for; everything that is not named is as by default, but that it does not give way to others. */
async function configure(
  own: Instance,
  other: Instance,
  folder: { readonly type: string; readonly path: string; readonly paused: boolean },
): Promise<void> {
  const device = ({ deviceId, port }: Instance): string =>
    `<device id="${deviceId}" name="bench"><address>tcp://127.0.0.1:${port}</address></device>`;
  const shared = [own, other].map(({ deviceId }) => `<device id="${deviceId}"/>`).join("");
  await writeFile(
    join(own.home, "config.xml"),
    `<configuration version="36">
<folder id="bench" path="${folder.path}" type="${folder.type}" fsWatcherEnabled="false" rescanIntervalS="0">
${shared}<paused>${folder.paused}</paused></folder>
${device(own)}${device(other)}
<gui enabled="true"><address>127.0.0.1:${own.apiPort}</address><apikey>${own.apiKey}</apikey></gui>
<options><listenAddress>tcp://127.0.0.1:${own.port}</listenAddress>
<globalAnnounceEnabled>false</globalAnnounceEnabled><localAnnounceEnabled>false</localAnnounceEnabled>
<relaysEnabled>false</relaysEnabled><natEnabled>false</natEnabled><stunServer></stunServer>
<reconnectionIntervalS>1</reconnectionIntervalS><startBrowser>false</startBrowser><urAccepted>-1</urAccepted>
<autoUpgradeIntervalH>0</autoUpgradeIntervalH><crashReportingEnabled>false</crashReportingEnabled>
<setLowPriority>false</setLowPriority></options>
</configuration>
`,
  );
}

function serve({ home, apiPort }: Instance): Promise<ServerProcess> {
  const words = ["serve", "--home", home, "--no-browser", "--no-restart", "--no-upgrade"];
  return startServer({ program, arguments: words }, apiPort, join(home, "log.txt"));
}

async function ask({ apiPort, apiKey }: Instance, path: string, change?: object): Promise<unknown> {
  const answer = await fetch(`http://127.0.0.1:${apiPort}/rest/${path}`, {
    method: change === undefined ? "GET" : "PATCH",
    headers: { "X-API-Key": apiKey },
    ...(change === undefined ? {} : { body: JSON.stringify(change) }),
  });
  if (!answer.ok) throw new Error(`Syncthing answers ${answer.status} to ${path}`);
  const text = await answer.text();
  return text === "" ? undefined : JSON.parse(text);
}
