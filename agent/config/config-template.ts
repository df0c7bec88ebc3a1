/** Writes a new configuration file: every field with its comment, those that enrolment does not know commented out. */
import { randomUUID } from "node:crypto";
import { link, mkdir, open, unlink } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { type ByteString, byteStringToBytes } from "#protocol/byte-string.ts";
import { CostorError } from "#protocol/errors.ts";
import { formatSiteAddress } from "#agent/site-client/site-address.ts";
import type { AgentConfig } from "./agent-config.ts";
import { type Field, fields } from "./config-fields.ts";
import { formatSecret, identityChecksum } from "./secret-text.ts";

/** What enrolment knows; the rest is for a person to fill in. */
export type NewConfig = Pick<AgentConfig, "site" | "agent" | "databaseDirectory" | "roots"> & {
  readonly siteName: string;
};

const comment = (doc: string, indent: string): string =>
  doc
    .split("\n")
    .map((line) => `${indent}# ${line}\n`)
    .join("");

function entry(field: Field<unknown>, value: string): string {
  const indent = "  ".repeat(field.path.length - 1);
  return `${comment(field.doc, indent)}${indent}${field.path.at(-1)}:${value.startsWith("\n") ? "" : " "}${value}\n`;
}

/** A field that is not set, as a comment that shows how. */
function offered(field: Field<unknown>): string {
  const indent = "  ".repeat(field.path.length - 1);
  const example = field.example.replace(/(?<=["\w]), .*$/, (rest) => (field.example.startsWith("[") ? rest : ""));
  return `${comment(field.doc, indent)}${indent}# ${field.path.at(-1)}: ${example}\n`;
}

const quoted = (text: string): string => JSON.stringify(text);

function path(value: ByteString): string {
  const bytes = byteStringToBytes(value);
  const text = bytes.toString("utf8");
  return Buffer.from(text, "utf8").equals(bytes) ? quoted(text) : `!!binary ${quoted(bytes.toString("base64"))}`;
}

export function formatNewConfig(config: NewConfig): string {
  const { site, agent } = config;
  const checksum = identityChecksum({ siteId: site.siteId, caCertificate: site.caCertificate, agentId: agent.id });
  const certificate = site.caCertificate
    .trim()
    .split(/\r?\n/)
    .map((line) => `\n    ${line.trim()}`)
    .join("");
  const list = (items: readonly string[], indent: string): string =>
    items.length === 0 ? "[]" : items.map((item) => `\n${indent}- ${item}`).join("");
  return [
    `# CoStor: what this machine backs up to the site ${quoted(config.siteName)}. Keep this file secret: it holds keys.\n`,
    "# After a change, `costor agent backup --dry-run --config THIS_FILE` says whether it is right and what would be sent.\n\n",
    entry(
      fields.roots,
      list(
        config.roots.map((root) => path(root)),
        "  ",
      ),
    ),
    "\n",
    entry(fields.exclude, "[]"),
    "\n",
    offered(fields.include),
    "\n",
    offered(fields.oneFileSystem),
    "\n# When to back up; needs `costor agent run`, started as a service.\nschedule:\n",
    entry(fields.cron, '"30 2 * * *"'),
    offered(fields.timeZone),
    entry(fields.jitter, "10 min"),
    "\n",
    offered(fields.bandwidthLimit),
    "\n",
    offered(fields.workersCount),
    "\n# What the site may restore onto this machine by itself; `costor agent restore` needs none of it.\n",
    "restore:\n",
    entry(fields.allowedDirectories, "[]"),
    offered(fields.allowOverwrite),
    offered(fields.allowSetuid),
    offered(fields.allowDevices),
    "\n",
    offered(fields.job),
    "\n",
    entry(fields.databaseDirectory, quoted(config.databaseDirectory)),
    "\nsite:\n",
    entry(
      fields.addresses,
      list(
        site.addresses.map((address) => quoted(formatSiteAddress(address))),
        "    ",
      ),
    ),
    entry(fields.siteId, quoted(site.siteId)),
    entry(fields.caCertificate, `|${certificate}`),
    "\nagent:\n",
    entry(fields.agentId, quoted(agent.id)),
    entry(fields.token, quoted(formatSecret("token", Buffer.from(agent.token, "utf8")))),
    entry(fields.scopeSecret, quoted(formatSecret("scope", agent.scopeSecret))),
    entry(fields.checksum, quoted(checksum)),
  ].join("");
}

/** A place for a configuration file, taken before the enrolment token is spent. */
export interface ReservedConfig extends AsyncDisposable {
  /** Writes the file, mode 0600, durable, complete or not at all. Throws `bad-config` when it exists by now. */
  write(source: string): Promise<void>;
}

/** Throws `bad-config` when the file exists or its directory cannot be written. */
export async function reserveConfigFile(path: string): Promise<ReservedConfig> {
  const file = resolve(path);
  const directory = dirname(file);
  const temporary = join(directory, `.${randomUUID()}.costor-new`);
  const fail = (error: unknown): never => {
    const code = (error as NodeJS.ErrnoException).code;
    const reason =
      code === "EEXIST"
        ? "exists already, and is not replaced; name another file, or move that one away"
        : (error as Error).message;
    throw new CostorError("bad-config", `${file}: ${reason}`, { cause: error, details: { file } });
  };
  await mkdir(directory, { recursive: true }).catch(fail);
  const present = await open(file, "r").catch((error: NodeJS.ErrnoException) =>
    error.code === "ENOENT" ? undefined : fail(error),
  );
  if (present) {
    await present.close();
    fail(Object.assign(new Error(), { code: "EEXIST" }));
  }
  const handle = await open(temporary, "wx", 0o600).catch(fail);
  return {
    async write(source) {
      await handle.writeFile(source);
      await handle.sync();
      await link(temporary, file).catch(fail);
      await using parent = await open(directory, "r");
      await parent.sync();
    },
    async [Symbol.asyncDispose]() {
      await handle.close();
      await unlink(temporary).catch(() => undefined);
    },
  };
}
