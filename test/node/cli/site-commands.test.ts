/** The commands of a site, beside a running one and without: real processes, real signals. */
import assert from "node:assert/strict";
import { mkdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import type { ScrubStatus } from "#node/site/scrubber.ts";
import { parseEnrolToken } from "#protocol/enrol-token.ts";
import { limits } from "#protocol/limits.ts";
import { scratchDirectory } from "#test/support/scratch.ts";
import { runCommand, startCommand, startSiteProcess } from "#test/support/site-process.ts";
import { suite } from "#test/support/suite.ts";
import { codeOf, withSite } from "./command-site.ts";

const test = suite("site commands", { timeoutMs: 90_000 });

test("a site says where it listens, keeps its name over restarts, and ends well on every signal", async () => {
  const data = join(await scratchDirectory("signals"), "data");
  const ids = new Set<string>();
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    const site = await startSiteProcess(data, ...(ids.size === 0 ? ["--name", "Hill School"] : []));
    assert.equal(site.ready.siteName, "Hill School");
    assert.deepEqual(site.ready.addresses, [`127.0.0.1:${site.ready.listen.port}`]);
    assert.equal(site.stderr().includes("CoStor recovery kit"), ids.size === 0, "the kit is shown once");
    assert.equal(site.ready.kitConfirmed, false);
    ids.add(site.ready.siteId);
    assert.equal(await site.stop(signal), 0);
    await assert.rejects(stat(join(data, "control.sock")));
  }
  assert.equal(ids.size, 1);
});

test("a site says to agents the addresses that it is given, with its own port where they have none", async () => {
  const data = join(await scratchDirectory("addresses"), "data");
  const site = await startSiteProcess(data, "--address", "backup.example", "b.example:9000", "--address", "::1");
  const { port } = site.ready.listen;
  assert.deepEqual(site.ready.addresses, [`backup.example:${port}`, "b.example:9000", `[::1]:${port}`]);
  assert.equal(await site.stop(), 0);
});

test("a token is made beside the running site, and without it", async () => {
  await withSite(async (site, data) => {
    const beside = await runCommand("site", "enrol-token", "--data", data, "--name", "office", "--json");
    assert.equal(beside.code, 0, beside.stderr);
    const token = parseEnrolToken(beside.json<{ token: string }>().token);
    assert.equal(token.siteId, site.ready.siteId);
    assert.deepEqual(token.addresses, site.ready.addresses);
    await site.stop();
    const alone = await runCommand(
      "site",
      "enrol-token",
      "--data",
      data,
      "--name",
      "office",
      "--address",
      "backup.example:443",
      "--json",
    );
    assert.deepEqual(parseEnrolToken(alone.json<{ token: string }>().token).addresses, ["backup.example:443"]);
    const plain = await runCommand("site", "enrol-token", "--data", data, "--name", "office");
    assert.deepEqual(parseEnrolToken(plain.stdout).addresses, site.ready.addresses);
  });
});

test("the scrub tells how far it is, reads all when asked, takes a pace and a pause, beside the running site and without it", async () => {
  await withSite(async (site, data) => {
    const scrub = (...args: string[]) => runCommand("site", "scrub", "--data", data, "--json", ...args);
    const now = (await scrub("--now")).json<ScrubStatus>();
    assert.equal(now.last!.findingsCount, 0);
    assert.ok(now.last!.wasIndexRight && now.last!.readBytes > 0);
    assert.equal((await scrub("--rate", "20MB")).json<ScrubStatus>().rate, 20e6);
    assert.equal((await scrub("--pause", "8")).json<ScrubStatus>().state, "paused");
    await site.stop();
    assert.equal((await scrub("--status")).json<ScrubStatus>().state, "paused");
    assert.equal((await scrub("--resume")).json<ScrubStatus>().state, "waiting");
    const slow = `${limits.leastBytesPerSecond - 1}`;
    for (const wrong of [
      ["--now", "--status"],
      ["--pause", "25"],
      ["--rate", slow],
    ])
      assert.equal(codeOf((await scrub(...wrong)).stderr), "bad-usage", wrong.join(" "));
    const plain = await runCommand("site", "scrub", "--data", data);
    assert.match(plain.stdout, /^Scrub: the next pass begins at .*\nLast full pass: ended .*, no damage$/m);
  });
});

test("after kill -9 the next start takes over the lock and the socket", async () => {
  await withSite(async (site, data) => {
    await site.stop("SIGKILL");
    const next = await startSiteProcess(data);
    assert.equal(next.ready.siteId, site.ready.siteId);
    assert.equal((await runCommand("site", "stats", "--data", data, "--json")).code, 0);
    assert.equal(await next.stop(), 0);
  });
});

test("a second site on the same data directory is refused, and the first goes on", async () => {
  await withSite(async (site, data) => {
    const second = await runCommand("site", "start", "--data", data, "--listen", "127.0.0.1:0", "--json");
    assert.equal(second.code, 1);
    assert.equal(codeOf(second.stderr), "store-locked");
    assert.equal(
      (await runCommand("site", "stats", "--data", data, "--json")).json<{ siteId: string }>().siteId,
      site.ready.siteId,
    );
  });
});

test("two first starts at once make one site", async () => {
  const data = join(await scratchDirectory("race"), "data");
  const started = await Promise.allSettled([startSiteProcess(data), startSiteProcess(data)]);
  const running = started.filter((result) => result.status === "fulfilled").map((result) => result.value);
  assert.equal(running.length, 1);
  await running[0]!.stop();
});

test("check, stats, agents and rebuild-index answer beside a running site and without", async () => {
  await withSite(async (site, data) => {
    const ask = async (...words: string[]) => {
      const result = await runCommand("site", ...words, "--data", data, "--json");
      assert.equal(result.code, 0, `${words.join(" ")}: ${result.stderr}`);
      return result.json<Record<string, unknown>>();
    };
    for (const isRunning of [true, false]) {
      if (!isRunning) await site.stop();
      assert.deepEqual((await ask("check", "--read-data"))["findings"], []);
      assert.equal((await ask("stats"))["agentsCount"], 0);
      assert.deepEqual(await ask("agents", "list"), []);
      assert.deepEqual(await ask("rebuild-index"), { rebuilt: true });
    }
    const unknown = await runCommand(
      "site",
      "agents",
      "revoke",
      "01890a5d-ac96-774b-bcce-b302099a8057",
      "--data",
      data,
      "--json",
    );
    assert.equal(codeOf(unknown.stderr), "not-found");
  });
});

test("what is wrong on the command line, at the port or in the directory has a code and an exit code", async () => {
  const empty = await scratchDirectory("empty");
  const taken = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => taken.once("listening", resolve));
  const port = (taken.address() as { port: number }).port;
  const cases: [string[], string, number][] = [
    [["stats", "--data", empty], "site-not-made", 1],
    [["stats"], "bad-usage", 2],
    [["start", "--data", empty, "--listen", "nowhere"], "bad-usage", 2],
    [["start", "--data", empty, "--listen", "127.0.0.1:99999"], "bad-usage", 2],
    [["start", "--data", empty, "--log-level", "loud"], "bad-usage", 2],
    [["start", "--data", empty, "--listen", `127.0.0.1:${port}`], "listen-failed", 1],
    [["enrol-token", "--data", empty, "--name", "\u001b[31mred"], "bad-usage", 2],
  ];
  for (const [words, code, exitCode] of cases) {
    const result = await runCommand("site", ...words, "--json");
    assert.deepEqual([codeOf(result.stderr), result.code], [code, exitCode], words.join(" "));
  }
  taken.close();
});

test("a taken port for other sites ends the start of a site in a federation with that alone", async () => {
  const data = join(await scratchDirectory("peer-port"), "data");
  const listenAt = (port: number): string[] => ["--peer-listen", `127.0.0.1:${port}`, "--peer-websocket", "off"];
  const site = await startSiteProcess(data, ...listenAt(0), "--no-lan-discovery");
  const made = await runCommand("federation", "create", "--data", data, "--name", "Hill schools", "--json");
  assert.equal(made.code, 0, made.stderr);
  await site.stop();
  const taken = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => taken.once("listening", resolve));
  const { port } = taken.address() as { port: number };
  const start = ["site", "start", "--data", data, "--listen", "127.0.0.1:0", "--log-level", "warn", "--json"];
  const result = await runCommand(...start, ...listenAt(port));
  taken.close();
  assert.deepEqual([result.code, codeOf(result.stderr)], [1, "listen-failed"]);
  assert.equal(result.stderr.trim().split("\n").length, 1, result.stderr);
  assert.ok(result.stderr.includes(`port ${port} (listen EADDRINUSE`), result.stderr);
});

test("a data directory with a very long path works", async () => {
  const data = join(await scratchDirectory("long"), "a".repeat(120), "data");
  await mkdir(join(data, ".."));
  const site = await startSiteProcess(data);
  assert.equal((await runCommand("site", "stats", "--data", data, "--json")).code, 0);
  assert.equal(await site.stop(), 0);
});

test("damage to the identity stops the start with the file's name", async () => {
  await withSite(async (site, data) => {
    await site.stop();
    const path = join(data, "site", "secrets");
    const bytes = await readFile(path);
    bytes[bytes.length >> 1]! ^= 1;
    await writeFile(path, bytes);
    const result = await runCommand("site", "start", "--data", data, "--listen", "127.0.0.1:0", "--json");
    assert.deepEqual([result.code, codeOf(result.stderr)], [1, "identity-damaged"]);
    assert.ok(result.stderr.includes(path));
    await rm(join(data, "site"), { recursive: true });
    const alone = await runCommand("site", "stats", "--data", data, "--json");
    assert.equal(codeOf(alone.stderr), "site-not-made");
  });
});

test("a damaged kit check stops nothing but the kit's own commands, and is told", async () => {
  await withSite(async (site, data) => {
    await site.stop();
    const path = join(data, "site", "kit-check");
    await writeFile(path, "damaged");
    const again = await startSiteProcess(data);
    assert.equal(again.ready.kitConfirmed, false);
    for (const isRunning of [true, false]) {
      if (!isRunning) assert.equal(await again.stop(), 0);
      assert.equal((await runCommand("site", "check", "--data", data)).code, 0);
      const stats = await runCommand("site", "stats", "--data", data);
      assert.equal(stats.code, 0, stats.stderr);
      assert.ok(stats.stdout.includes(path));
      const all = await runCommand("site", "stats", "--data", data, "--json");
      assert.equal(all.json<{ kitConfirmed: boolean }>().kitConfirmed, false);
      const status = await runCommand("site", "kit", "status", "--data", data, "--json");
      assert.deepEqual([status.code, codeOf(status.stderr)], [1, "identity-damaged"]);
    }
  });
});

test("the control socket is its owner's alone, and nonsense on it harms nothing", async () => {
  await withSite(async (_site, data) => {
    const path = join(data, "control.sock");
    assert.equal((await stat(path)).mode & 0o777, 0o600);
    assert.equal((await stat(data)).mode & 0o777, 0o700);
    const { connect } = await import("node:net");
    const { text } = await import("node:stream/consumers");
    for (const nonsense of [
      "\n",
      "{}\n",
      "null\n",
      "[1]\n",
      '{"call":"constructor"}\n',
      '{"call":"enrolToken","arguments":{"name":7}}\n',
      `${"x".repeat(200_000)}`,
      "",
    ]) {
      const socket = connect(path);
      socket.on("error", () => {});
      socket.end(nonsense);
      const answer = await text(socket).catch(() => "");
      assert.equal(answer.includes("result"), false);
    }
    assert.equal((await runCommand("site", "stats", "--data", data, "--json")).code, 0);
  });
});

test("a second start is small when idle", async () => {
  await withSite(async (site, data) => {
    await site.stop();
    const again = await startSiteProcess(data);
    const status = await readFile(`/proc/${again.pid}/status`, "utf8").catch(() => "");
    const residentBytes = Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1] ?? 0) * 1024;
    await again.stop();
    assert.ok(residentBytes < 200e6, `${residentBytes} bytes`);
  });
});

test("a start for people reminds of the kit, and a closed standard output does not end the site", async () => {
  const scratch = await scratchDirectory("pipe");
  const data = join(scratch, "data");
  const kit = ["--kit", join(scratch, "kit.txt")];
  const child = startCommand(["site", "start", "--data", data, "--listen", "127.0.0.1:0", ...kit]);
  const reminded = new Promise<void>((resolve) =>
    child.stderr!.on("data", (piece: Buffer) => void (piece.includes("not confirmed") && resolve())),
  );
  const ended = new Promise((resolve) => child.once("exit", resolve));
  await reminded;
  child.stdout!.destroy();
  assert.equal((await runCommand("site", "stats", "--data", data, "--json")).code, 0);
  child.kill("SIGTERM");
  assert.equal(await ended, 0);
});

test.run();
