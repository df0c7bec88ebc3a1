/** restic with its REST server over TLS on loopback. */
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { Contender, RunningContender } from "./contender.ts";
import { run, type Command } from "./measure.ts";
import { freePort, startServer } from "./server-process.ts";

const project = join(import.meta.dirname, "../..");

/** Uses the binaries in peers/, and fetches them when they are not there. */
export function resticContender(): Contender {
  const binaries = join(project, "peers/bin");
  if (!existsSync(join(binaries, "restic"))) {
    execFileSync(join(import.meta.dirname, "install-peers.sh"), { stdio: ["ignore", "ignore", "inherit"] });
  }
  return { name: "restic", start: (folder) => start(binaries, folder) };
}

async function start(binaries: string, folder: string): Promise<RunningContender> {
  const storeFolder = join(folder, "repository");
  const key = join(folder, "key.pem");
  const certificate = join(folder, "certificate.pem");
  await mkdir(storeFolder, { recursive: true });
  execFileSync(
    "openssl",
    ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"].concat([
      "-subj",
      "/CN=localhost",
      "-addext",
      "subjectAltName=IP:127.0.0.1",
      "-keyout",
      key,
      "-out",
      certificate,
    ]),
    { stdio: "ignore" },
  );
  const port = await freePort();
  const server = await startServer(
    {
      program: join(binaries, "restic-rest-server"),
      arguments: ["--path", storeFolder, "--listen", `127.0.0.1:${port}`, "--no-auth"].concat([
        "--tls",
        "--tls-cert",
        certificate,
        "--tls-key",
        key,
      ]),
    },
    port,
    join(folder, "server.log"),
  );
  const restic = (machine: string, words: readonly string[]): Command => ({
    program: join(binaries, "restic"),
    arguments: words,
    environment: {
      RESTIC_REPOSITORY: `rest:https://127.0.0.1:${port}/`,
      RESTIC_PASSWORD: "bench",
      RESTIC_CACERT: certificate,
      RESTIC_CACHE_DIR: join(folder, `cache-${machine}`),
    },
  });
  let isInitialised = false;
  return {
    serverPid: server.pid,
    storeFolder,
    prepare: async (machine) => {
      if (isInitialised) return;
      const { exitCode, output } = await run(restic(machine, ["init"]));
      if (exitCode !== 0) throw new Error(`restic init failed: ${output}`);
      isInitialised = true;
    },
    backup: (machine, paths) => restic(machine, ["backup", "--host", machine, "--", ...paths]),
    restore: async (machine, target) => restic(machine, ["restore", "latest", "--host", machine, "--target", target]),
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}
