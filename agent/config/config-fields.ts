/** Every field of an agent's configuration file, declared once: meaning, example, default and parser. */
import type { ByteString } from "#protocol/byte-string.ts";
import {
  absolutePath,
  absoluteTextPath,
  authorityCertificate,
  duration,
  listOf,
  matching,
  type ParseValue,
  pattern,
  rate,
  secret,
  siteAddress,
  text,
  wholeNumber,
  yesOrNo,
} from "./config-value.ts";

export interface Field<T> {
  /** Keys from the top of the file. */
  readonly path: readonly string[];
  /** What it means, for a person; lines of the comment in a new file. */
  readonly doc: string;
  /** A right value as it would stand in the file. */
  readonly example: string;
  readonly parse: ParseValue<T>;
  /** Taken when the field is absent. A field without one is required, unless it is optional. */
  readonly fallback?: T;
  readonly isOptional?: boolean;
}

const field = <T>(path: string, spec: Omit<Field<T>, "path">): Field<T> => ({ path: path.split("."), ...spec });

const UUID_V7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const DAY_MS = 24 * 3_600_000;

export const fields = {
  addresses: field("site.addresses", {
    doc: "Where the site listens; each is tried until one answers. Change them freely when the site moves.",
    example: "[backup.school.example:8443, 192.168.1.5:8443]",
    parse: listOf(siteAddress, 1, 32),
  }),
  siteId: field("site.siteId", {
    doc: "Which site this machine belongs to. Written by enrolment.",
    example: "64 digits from 0 to 9 and a to f, as enrolment wrote them",
    parse: matching(/^[0-9a-f]{64}$/, "a SiteId of 64 digits from 0 to 9 and a to f"),
  }),
  caCertificate: field("site.caCertificate", {
    doc: "The certificate that proves that a server is that site. Written by enrolment.",
    example: "|, then the lines from -----BEGIN CERTIFICATE----- to -----END CERTIFICATE-----, as enrolment wrote them",
    parse: authorityCertificate,
  }),
  agentId: field("agent.id", {
    doc: "Who this machine is. Written by enrolment.",
    example: "01890a5d-ac96-774b-bcce-b302099a8057, as enrolment wrote it",
    parse: matching(UUID_V7, "an AgentId (a UUIDv7)"),
  }),
  token: field("agent.token", {
    doc: "Secret: lets this machine send backups and read its own. Written by enrolment.",
    example: "costor-token-…, as enrolment wrote it",
    parse: secret("token"),
  }),
  scopeSecret: field("agent.scopeSecret", {
    doc: "Secret: what this machine encrypts with. Written by enrolment.",
    example: "costor-scope-…, as enrolment wrote it",
    parse: secret("scope", 32),
  }),
  checksum: field("agent.checksum", {
    doc: "A check over siteId, caCertificate and id, so that a slip of the keyboard there is noticed. Written by enrolment.",
    example: "0123456789abcdef, as enrolment wrote it",
    parse: matching(/^[0-9a-f]{16}$/, "16 digits from 0 to 9 and a to f in quotes"),
  }),
  job: field("job", {
    doc: "Name of the series of snapshots that this file makes.",
    example: "files",
    parse: (value) => {
      const name = text(value);
      if (name.length <= 200) return name;
      return matching(/^$/, "at most 200 characters")(value);
    },
    fallback: "files",
  }),
  roots: field<ByteString[]>("roots", {
    doc: "The directories and files to back up, by absolute path. Of a symlink only the symlink is saved.",
    example: "[/home, /etc]",
    parse: listOf(absolutePath, 0, 256),
    fallback: [],
  }),
  include: field<string[]>("include", {
    doc: [
      "Only what matches one of these patterns is backed up; everything, when there are none.",
      "Patterns are those of a .gitignore file that lies in /: *.tmp anywhere, /var/cache/ only there.",
    ].join("\n"),
    example: '["*.pdf", "/home/*/Documents/"]',
    parse: listOf(pattern, 0, 10_000),
    fallback: [],
  }),
  exclude: field<string[]>("exclude", {
    doc: "What matches one of these patterns is left out; a later ! pattern brings it back.",
    example: '["*.tmp", ".cache/", "/var/cache/"]',
    parse: listOf(pattern, 0, 10_000),
    fallback: [],
  }),
  oneFileSystem: field("oneFileSystem", {
    doc: "true: other file systems mounted below a root are left out. /proc, /sys and their like always are.",
    example: "true",
    parse: yesOrNo,
    fallback: false,
  }),
  cron: field("schedule.cron", {
    doc: "When `costor agent run` backs up: minute, hour, day of month, month, day of week.",
    example: '"30 2 * * *", every night at half past two',
    parse: text,
    isOptional: true,
  }),
  timeZone: field("schedule.timeZone", {
    doc: "The time zone of cron; the machine's own when absent.",
    example: "Europe/London",
    parse: text,
    isOptional: true,
  }),
  jitter: field("schedule.jitter", {
    doc: "Runs start at a random moment up to this long after their time, so that machines do not all start at once.",
    example: "10 min",
    parse: duration(DAY_MS),
    fallback: 0,
  }),
  bandwidthLimit: field("bandwidthLimit", {
    doc: "The most that a backup sends; no limit when absent.",
    example: "5 MiB/s, or 20 Mbit/s",
    parse: rate,
    isOptional: true,
  }),
  workersCount: field("workersCount", {
    doc: "How many processors a backup may use.",
    example: "2",
    parse: wholeNumber(1, 64),
    isOptional: true,
  }),
  databaseDirectory: field("databaseDirectory", {
    doc: "Where the agent remembers the last backup. Never backed up itself; safe to lose, the next backup then takes longer.",
    example: "/var/lib/costor/agent",
    parse: absoluteTextPath,
  }),
  allowedDirectories: field<ByteString[]>("restore.allowedDirectories", {
    doc: "Directories under which the site may restore onto this machine by itself. None: only a person at this machine can.",
    example: "[/home]",
    parse: listOf(absolutePath, 0, 256),
    fallback: [],
  }),
  allowOverwrite: field("restore.allowOverwrite", {
    doc: "true: such a restore may replace files that exist.",
    example: "false",
    parse: yesOrNo,
    fallback: false,
  }),
  allowSetuid: field("restore.allowSetuid", {
    doc: "true: such a restore may make setuid and setgid files.",
    example: "false",
    parse: yesOrNo,
    fallback: false,
  }),
  allowDevices: field("restore.allowDevices", {
    doc: "true: such a restore may make device nodes.",
    example: "false",
    parse: yesOrNo,
    fallback: false,
  }),
} as const;

export const nameOf = (declared: Pick<Field<unknown>, "path">): string => declared.path.join(".");
