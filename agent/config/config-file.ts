/** Reading an agent's configuration file. */
import { availableParallelism } from "node:os";
import { open } from "node:fs/promises";
import { resolve } from "node:path";
import { CostorError } from "#protocol/errors.ts";
import { parseAgentId, parseSiteId } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
import type { AgentConfig, ScheduleSettings } from "./agent-config.ts";
import { type ConfigSource, PlainDocument } from "./config-source.ts";
import { fields } from "./config-fields.ts";
import { parsePlainYaml } from "./plain-yaml.ts";
import { identityChecksum } from "./secret-text.ts";

/** More workers than this gain nothing: the site and the disk are the bounds then. */
const WORKERS_MOST_COUNT = 8;

/** Throws `bad-config`, with file, line, field, reason and an example for everything that is wrong. */
export async function loadAgentConfig(path: string): Promise<AgentConfig> {
  const file = resolve(path);
  const { source, mode } = await readSource(file);
  const warnings =
    (mode & 0o077) === 0 ? [] : [`${file} holds secrets and others can read or change it: chmod 600 ${file}`];
  return parseAgentConfig(file, source, warnings);
}

async function readSource(file: string): Promise<{ source: string; mode: number }> {
  try {
    await using handle = await open(file, "r");
    const { size, mode } = await handle.stat();
    if (size > limits.configFileBytes) {
      throw new CostorError("bad-config", `${file}: larger than ${limits.configFileBytes} bytes`);
    }
    return { source: await handle.readFile("utf8"), mode };
  } catch (error) {
    if (error instanceof CostorError) throw error;
    const code = (error as NodeJS.ErrnoException).code;
    const reason =
      code === "ENOENT" ? "there is no such file; `costor agent enrol` writes it" : (error as Error).message;
    throw new CostorError("bad-config", `${file}: ${reason}`, { cause: error, details: { file } });
  }
}

/** Like {@link loadAgentConfig}, from text. */
export async function parseAgentConfig(
  file: string,
  source: string,
  warnings: readonly string[] = [],
): Promise<AgentConfig> {
  const plain = parsePlainYaml(source);
  if (plain) {
    const config = await readConfig(file, new PlainDocument(plain), warnings);
    if (config) return config;
  }
  // Not plain, or wrong: the library tells what stands where.
  const { ConfigDocument } = await import("./config-document.ts");
  const document = new ConfigDocument(file, source);
  const config = await readConfig(file, document, warnings);
  if (!config) throw document.failure();
  return config;
}

/** The configuration, or undefined when `document` noted a problem. */
async function readConfig(
  file: string,
  document: ConfigSource,
  warnings: readonly string[],
): Promise<AgentConfig | undefined> {
  document.noteUnknown(Object.values(fields));
  const siteId = document.read(fields.siteId);
  const caCertificate = document.read(fields.caCertificate);
  const agentId = document.read(fields.agentId);
  const checksum = document.read(fields.checksum);
  if (
    siteId &&
    caCertificate &&
    agentId &&
    checksum &&
    identityChecksum({ siteId, caCertificate, agentId }) !== checksum
  ) {
    const reason =
      "does not fit site.siteId, site.caCertificate and agent.id: one of the four was changed since enrolment";
    document.note(fields.checksum, reason);
  }
  const addresses = document.read(fields.addresses);
  const token = document.read(fields.token);
  const scopeSecret = document.read(fields.scopeSecret);
  const databaseDirectory = document.read(fields.databaseDirectory);
  const config: Omit<AgentConfig, "site" | "agent" | "databaseDirectory"> = {
    file,
    job: document.read(fields.job)!,
    roots: document.read(fields.roots)!,
    include: document.read(fields.include)!,
    exclude: document.read(fields.exclude)!,
    oneFileSystem: document.read(fields.oneFileSystem)!,
    schedule: await readSchedule(document),
    bandwidthLimitBytesPerSecond: document.read(fields.bandwidthLimit),
    workersCount: document.read(fields.workersCount) ?? Math.min(availableParallelism(), WORKERS_MOST_COUNT),
    restore: {
      allowedDirectories: document.read(fields.allowedDirectories)!,
      allowOverwrite: document.read(fields.allowOverwrite)!,
      allowSetuid: document.read(fields.allowSetuid)!,
      allowDevices: document.read(fields.allowDevices)!,
    },
    warnings,
  };
  if (document.hasProblems) return undefined;
  return {
    ...config,
    site: { addresses: addresses!, siteId: parseSiteId(siteId), caCertificate: caCertificate! },
    agent: { id: parseAgentId(agentId), token: token!.toString("utf8"), scopeSecret: scopeSecret! },
    databaseDirectory: databaseDirectory!,
  };
}

async function readSchedule(document: ConfigSource): Promise<ScheduleSettings | undefined> {
  const cron = document.read(fields.cron);
  const timeZone = document.read(fields.timeZone);
  const jitterMs = document.read(fields.jitter);
  if (cron === undefined) {
    if (timeZone !== undefined && !document.has(fields.cron))
      document.note(fields.cron, "is missing, while schedule.timeZone is set");
    return undefined;
  }
  const { Cron } = await import("croner");
  try {
    if (timeZone !== undefined) new Intl.DateTimeFormat("en", { timeZone });
  } catch {
    document.note(fields.timeZone, `is ${JSON.stringify(timeZone)}, which is no time zone that this machine knows`);
    return undefined;
  }
  try {
    const next = new Cron(cron, { timezone: timeZone }).nextRun();
    if (next === null) document.note(fields.cron, `is ${JSON.stringify(cron)}, which never comes`);
  } catch (error) {
    document.note(fields.cron, `is ${JSON.stringify(cron)}, which is no schedule: ${(error as Error).message}`);
  }
  return { cron, timeZone, jitterMs: jitterMs! };
}
