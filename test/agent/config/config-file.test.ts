/**
 * Goal: a configuration file is right, or every wrong field is named with its line, the reason and an example.
 * Method: files that enrolment writes, changed in one place each.
 */
import assert from "node:assert/strict";
import { chmod, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { loadAgentConfig, parseAgentConfig } from "#agent/config/config-file.ts";
import { formatNewConfig, reserveConfigFile } from "#agent/config/config-template.ts";
import { byteStringFromBytes } from "#protocol/byte-string.ts";
import { CostorError } from "#protocol/errors.ts";
import { limits } from "#protocol/limits.ts";
import { scratchDirectory } from "#test/support/scratch.ts";
import { suite } from "#test/support/suite.ts";
import { newConfigForTest } from "./identity.ts";

const test = suite("agent configuration");
const FILE = "/etc/costor/agent.yaml";

async function problemOf(
  source: string,
): Promise<{ line: number; field: string; reason: string; example?: string; message: string }> {
  try {
    await parseAgentConfig(FILE, source);
  } catch (error) {
    assert.ok(error instanceof CostorError && error.code === "bad-config", String(error));
    const problems = error.details["problems"] as { line: number; field: string; reason: string }[];
    assert.equal(problems.length, 1, error.message);
    return { ...problems[0]!, message: error.message };
  }
  return assert.fail("the file was taken as right");
}

const good = async (): Promise<string> => formatNewConfig(await newConfigForTest());
const lineOf = (source: string, text: string): number =>
  source.split("\n").findIndex((line) => !line.trimStart().startsWith("#") && `${line}\n`.includes(text)) + 1;

test("a new file reads back as what enrolment knew, with defaults for the rest", async () => {
  const wanted = await newConfigForTest();
  const config = await parseAgentConfig(FILE, formatNewConfig(wanted));
  assert.deepEqual(config.site.addresses, wanted.site.addresses);
  assert.equal(config.site.siteId, wanted.site.siteId);
  assert.equal(config.site.caCertificate.trim(), wanted.site.caCertificate.trim());
  assert.deepEqual(config.agent, wanted.agent);
  assert.deepEqual(config.roots, wanted.roots);
  assert.deepEqual([config.include, config.exclude, config.oneFileSystem], [[], [], false]);
  assert.deepEqual(config.schedule, { cron: "30 2 * * *", timeZone: undefined, jitterMs: 600_000 });
  assert.equal(config.bandwidthLimitBytesPerSecond, undefined);
  assert.ok(config.workersCount >= 1);
  assert.deepEqual(config.restore, {
    allowedDirectories: [],
    allowOverwrite: false,
    allowSetuid: false,
    allowDevices: false,
  });
});

test("every field that a new file offers in a comment is right when the comment sign is taken away", async () => {
  const source = await good();
  for (const name of ["include", "oneFileSystem", "bandwidthLimit", "workersCount", "job", "timeZone", "allowSetuid"]) {
    const offered = new RegExp(`^( *)# (${name}: )`, "m");
    assert.match(source, offered);
    await parseAgentConfig(FILE, source.replace(offered, "$1$2"));
  }
});

const wrong: readonly [name: string, change: (source: string) => string, at: string, reason: RegExp][] = [
  [
    "a rate without a unit of time",
    (s) => `${s}\nbandwidthLimit: 5 MiB\n`,
    "bandwidthLimit: 5",
    /is "5 MiB", which is not a rate/,
  ],
  ["a rate that would never end", (s) => `${s}\nbandwidthLimit: 10 B/s\n`, "bandwidthLimit: 10", /less than 16 KiB/],
  ["no worker", (s) => `${s}\nworkersCount: 0\n`, "workersCount: 0", /whole number from 1 to 64/],
  ["a word for yes", (s) => `${s}\noneFileSystem: "yes"\n`, 'oneFileSystem: "yes"', /true or false/],
  ["an alias of nothing", (s) => s.replace('- "/srv/Schüler"', "- *nothing"), "- *nothing", /no valid YAML/],
  ["a relative root", (s) => s.replace('- "/srv/Schüler"', "- /srv\n  - home"), "- home", /does not start with \//],
  ["a root that climbs", (s) => s.replace('"/srv/Schüler"', "/srv/../etc"), "/srv/../etc", /holds \.\./],
  ["a root that is a number", (s) => s.replace('"/srv/Schüler"', "17"), "- 17", /absolute path/],
  ["roots that are no list", (s) => s.replace(/roots: *\n.*/, "roots: /srv"), "roots: /srv", /a list is expected/],
  [
    "an address without a port",
    (s) => s.replace('"site.test:8443"', "site.test"),
    "- site.test",
    /not a host and a port/,
  ],
  [
    "a port beyond 65535",
    (s) => s.replace("site.test:8443", "site.test:70000"),
    "site.test:70000",
    /not a host and a port/,
  ],
  ["a pattern of two lines", (s) => s.replace("exclude: []", 'exclude: ["a\\nb"]'), "exclude:", /one pattern/],
  ["a schedule with four fields", (s) => s.replace("30 2 * * *", "30 2 * *"), "cron:", /no schedule/],
  ["a schedule for 30 February", (s) => s.replace("30 2 * * *", "0 0 30 2 *"), "cron:", /never comes/],
  [
    "a time zone of nowhere",
    (s) => s.replace("# timeZone: Europe/London", "timeZone: Europe/Nowhere"),
    "Europe/Nowhere",
    /no time zone/,
  ],
  ["a wait without a unit", (s) => s.replace("jitter: 10 min", "jitter: 10"), "jitter: 10", /length of time/],
  ["a field with a slip in its name", (s) => `${s}\nexclud: []\n`, "exclud:", /perhaps exclude was meant/],
  ["a field that does not exist", (s) => `${s}\ncompressionLevel: 3\n`, "compressionLevel:", /no field of this file/],
  [
    "a section with a value",
    (s) => s.replace(/restore:\n(?: {2}.*\n)+/, "restore: true\n"),
    "restore: true",
    /fields are expected below/,
  ],
  [
    "a changed digit of the SiteId",
    (s) => s.replace("0123456789abcdef01", "0123456789abcdef11"),
    "checksum:",
    /one of the four was changed/,
  ],
  [
    "a changed digit of the AgentId",
    (s) => s.replace("01890a5d", "01890a5e"),
    "checksum:",
    /one of the four was changed/,
  ],
  ["a missing token", (s) => s.replace(/^ {2}token: .*\n/m, ""), "agent:\n", /is missing/],
  ["a closing bracket too few", (s) => s.replace("exclude: []", "exclude: ["), "exclude: [", /no valid YAML/],
  ["a key twice", (s) => `${s}\nroots: [/home]\n`, "roots: [/home]", /no valid YAML/],
];
for (const [name, change, at, reason] of wrong) {
  test(`${name} is refused with its line, the reason and an example`, async () => {
    const source = change(await good());
    const problem = await problemOf(source);
    assert.match(problem.reason, reason);
    const expected = lineOf(source, at);
    // The end of what a missing bracket swallowed is where YAML notices; a missing field belongs somewhere in its section.
    if (!/bracket|missing/.test(name)) assert.equal(problem.line, expected);
    assert.ok(problem.message.startsWith(`${FILE}:${problem.line}: `), problem.message);
    if (problem.field !== "" && problem.example !== undefined) assert.match(problem.message, /Right is, for example: /);
  });
}

test("all wrong fields are named at once", async () => {
  const source = `${(await good()).replace("30 2 * * *", "never")}\nworkersCount: many\nbandwidthLimit: fast\n`;
  await assert.rejects(parseAgentConfig(FILE, source), (error: CostorError) => {
    assert.equal((error.details["problems"] as unknown[]).length, 3);
    return true;
  });
});

test("every changed character of the secrets and of the certificate is noticed", async () => {
  const source = await good();
  const secretLines = source
    .split("\n")
    .flatMap((line, index) =>
      /^ {2}(token|scopeSecret|siteId|id|checksum): |^ {4}(-----|[\w+/=]{10})/.test(line) ? [index] : [],
    );
  let changedCount = 0;
  for (const index of secretLines) {
    const lines = source.split("\n");
    const original = lines[index]!;
    const value = original.match(/^ *(?:\w+: )?/)![0].length;
    const step = original.startsWith("    ") ? 7 : 1;
    for (let at = value; at < original.length; at += step) {
      const replacement = original[at] === "A" ? "B" : "A";
      lines[index] = original.slice(0, at) + replacement + original.slice(at + 1);
      await assert.rejects(
        parseAgentConfig(FILE, lines.join("\n")),
        { code: "bad-config" },
        `line ${index + 1}, column ${at}`,
      );
      changedCount++;
    }
  }
  assert.ok(changedCount > 250, String(changedCount));
});

test("a root that is not UTF-8 goes through the file unchanged", async () => {
  const root = byteStringFromBytes(Buffer.from([0x2f, 0xff, 0x41]));
  const config = await parseAgentConfig(FILE, formatNewConfig(await newConfigForTest({ roots: [root] })));
  assert.deepEqual(config.roots, [root]);
});

test("a file beyond the limit is refused unread", async () => {
  const directory = await scratchDirectory("config");
  const file = join(directory, "large.yaml");
  await writeFile(file, `${await good()}\n#${"x".repeat(limits.configFileBytes)}`);
  await assert.rejects(loadAgentConfig(file), { code: "bad-config" });
});

test("a missing file is said to be missing, and who writes it", async () => {
  await assert.rejects(loadAgentConfig("/nonexistent/agent.yaml"), /no such file; `costor agent enrol` writes it/);
});

test("a new file has mode 0600, leaves nothing beside it, and never replaces another", async () => {
  const directory = await scratchDirectory("config");
  const file = join(directory, "new", "agent.yaml");
  {
    await using place = await reserveConfigFile(file);
    await place.write(await good());
  }
  assert.equal((await stat(file)).mode & 0o777, 0o600);
  assert.deepEqual(await readdir(join(directory, "new")), ["agent.yaml"]);
  await assert.rejects(reserveConfigFile(file), /exists already/);
  assert.equal(await readFile(file, "utf8"), await good());
  assert.deepEqual((await loadAgentConfig(file)).warnings, []);
  await chmod(file, 0o644);
  assert.match((await loadAgentConfig(file)).warnings[0]!, /chmod 600/);
});

test("a file that appears between reserving and writing is not replaced", async () => {
  const file = join(await scratchDirectory("config"), "agent.yaml");
  await using place = await reserveConfigFile(file);
  await writeFile(file, "mine");
  await assert.rejects(place.write("other"), { code: "bad-config" });
  assert.equal(await readFile(file, "utf8"), "mine");
});

test.run();
