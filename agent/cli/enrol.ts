/** `costor agent enrol`: makes this machine an agent of the site that made the token. */
import { hostname } from "node:os";
import { basename, dirname, extname, join, resolve } from "node:path";
import { formatNewConfig, reserveConfigFile } from "#agent/config/config-template.ts";
import { loadAgentConfig } from "#agent/config/config-file.ts";
import { meetSite } from "#agent/site-client/first-contact.ts";
import { SiteClient } from "#agent/site-client/site-client.ts";
import type { ByteString } from "#protocol/byte-string.ts";
import { parseEnrolToken } from "#protocol/enrol-token.ts";
import { CostorError } from "#protocol/errors.ts";
import { parseAgentId } from "#protocol/ids.ts";
import { printJson, printLine } from "#terminal/output.ts";
import { shellWord } from "#terminal/shell-word.ts";

export interface EnrolInit {
  readonly token: string;
  readonly configFile: string;
  /** What the site calls this machine; its host name when absent. */
  readonly name?: string;
  readonly roots: readonly ByteString[];
  readonly databaseDirectory?: string;
  readonly json: boolean;
  readonly signal: AbortSignal;
}

/** Throws `bad-token`, `bad-config`, `site-identity-changed`, `site-unreachable`, `enrolment-refused`. */
export async function enrol(init: EnrolInit): Promise<void> {
  const token = parseEnrolToken(init.token);
  // The token works once: everything that can fail without it comes first.
  await using place = await reserveConfigFile(init.configFile);
  const site = await meetSite(token, init.signal);
  using client = new SiteClient({ site, socketsCount: 1 });
  const request = {
    secret: Buffer.from(token.secret).toString("base64url"),
    hostName: (init.name ?? hostname()).slice(0, 200),
  };
  const enrolled = await client.enrol(request, init.signal);
  if (enrolled.siteId !== token.siteId) {
    throw new CostorError("site-identity-changed", "the site that answered is not the one that the token names");
  }
  const agentId = parseAgentId(enrolled.agentId);
  await place.write(
    formatNewConfig({
      siteName: enrolled.siteName,
      site,
      agent: { id: agentId, token: enrolled.token, scopeSecret: Buffer.from(enrolled.scopeSecret, "base64") },
      roots: init.roots,
      databaseDirectory: resolve(init.databaseDirectory ?? defaultDatabaseDirectory(init.configFile, agentId)),
    }),
  );
  const config = await loadAgentConfig(init.configFile);
  if (init.json) return printJson({ agentId, siteId: site.siteId, siteName: enrolled.siteName, config: config.file });
  printLine(`This machine now belongs to the site ${JSON.stringify(enrolled.siteName)}, as agent ${agentId}.`);
  if (config.roots.length === 0) printLine(`Name what to back up under roots in ${config.file}, then run`);
  else printLine("Next, run");
  printLine(`  costor agent backup --config ${shellWord(config.file)}`);
}

/** Beside the configuration; for one in the system's own place, in the system's place for such data. */
function defaultDatabaseDirectory(configFile: string, agentId: string): string {
  const file = resolve(configFile);
  if (file.startsWith("/etc/")) return `/var/lib/costor/agents/${agentId}`;
  return join(dirname(file), `${basename(file, extname(file))}.state`);
}
