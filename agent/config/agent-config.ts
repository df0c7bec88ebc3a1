/** What an agent is told by its configuration file, parsed. The file itself: config-file.ts; its fields: config-fields.ts. */
import type { ByteString } from "#protocol/byte-string.ts";
import type { AgentId, SiteId } from "#protocol/ids.ts";
import type { SiteAddress } from "#agent/site-client/site-address.ts";

export interface SiteSettings {
  readonly addresses: readonly SiteAddress[];
  readonly siteId: SiteId;
  /** PEM of the site's own certificate authority, the only one that is trusted. */
  readonly caCertificate: string;
}

export interface AgentIdentity {
  readonly id: AgentId;
  /** The bearer token. */
  readonly token: string;
  /** 32 bytes; protocol/scope.ts derives from it. */
  readonly scopeSecret: Buffer;
}

export interface ScheduleSettings {
  /** Five or six cron fields, already checked. */
  readonly cron: string;
  /** IANA name; the machine's zone when absent. */
  readonly timeZone?: string;
  /** A run starts at a random moment up to this long after its time, so that the machines of a site spread out. */
  readonly jitterMs: number;
}

/** What a restore may do to this machine when the site asks for it; a person at the machine is bound only by rights. */
export interface RestorePolicy {
  readonly allowedDirectories: readonly ByteString[];
  readonly allowOverwrite: boolean;
  readonly allowSetuid: boolean;
  readonly allowDevices: boolean;
}

export interface AgentConfig {
  /** The file that this was read from. */
  readonly file: string;
  readonly site: SiteSettings;
  readonly agent: AgentIdentity;
  /** Name of the series that this configuration's snapshots form. */
  readonly job: string;
  /** Absolute paths, normal form. */
  readonly roots: readonly ByteString[];
  readonly include: readonly string[];
  readonly exclude: readonly string[];
  readonly oneFileSystem: boolean;
  readonly schedule?: ScheduleSettings;
  /** For what a backup sends; without limit when absent. */
  readonly bandwidthLimitBytesPerSecond?: number;
  /** Worker threads that read, cut and seal. */
  readonly workersCount: number;
  /** Absolute path of the directory of the agent's own database, caches and locks. */
  readonly databaseDirectory: string;
  readonly restore: RestorePolicy;
  /** What a person should hear about the file, though it can be used. */
  readonly warnings: readonly string[];
}
