/**
 * The registry of every error that CoStor reports: a stable code, the HTTP status that carries it,
 * whether trying again can help, and one line of help for a person. `docs/errors.md` is held equal to it by a test.
 */
export interface ErrorSpec {
  /** HTTP status when the facade reports it. */
  readonly status: number;
  /** True when the same call may succeed later without a person's help. */
  readonly retryable: boolean;
  /** The next step, for a person. */
  readonly help: string;
}

const spec = (status: number, retryable: boolean, help: string): ErrorSpec => ({ status, retryable, help });

export const errorRegistry = {
  // Input
  "bad-request": spec(400, false, "Correct the request as the message says and send it again."),
  "bad-usage": spec(400, false, "Run the command with --help to see what it takes."),
  "bad-encoding": spec(
    400,
    false,
    "The bytes are not valid canonical DAG-CBOR; the sender or the medium damaged them.",
  ),
  "bad-id": spec(400, false, "Copy the whole id, without spaces, and try again."),
  "bad-config": spec(400, false, "Correct what the message names in the configuration file."),
  "bad-token": spec(400, false, "Copy the whole enrolment token, without spaces, or make a new one at the site."),
  "limit-exceeded": spec(413, false, "The value is larger than the documented limit; see docs/limits.md."),
  // Primes and trees
  "prime-mismatch": spec(422, false, "The bytes do not have the id they were sent under; the sender sends them again."),
  "prime-corrupt": spec(
    500,
    false,
    "Stored data is damaged; run a check with --read-data, and back up again to heal it.",
  ),
  "prime-missing": spec(404, false, "The data is not held here; back up again or fetch it from another site."),
  "seal-broken": spec(
    500,
    false,
    "The record is damaged or was sealed for another site; run a check, and recover the record from another site.",
  ),
  "tree-invalid": spec(422, false, "The snapshot's tree is not valid; back up again."),
  // Authentication
  unauthorised: spec(401, false, "The agent's token is wrong or was revoked; enrol the machine again."),
  "enrolment-refused": spec(
    401,
    false,
    "Make a new enrolment token at the site with `costor site enrol-token`; each works once and for a day.",
  ),
  forbidden: spec(403, false, "This call is not allowed for this token."),
  "not-found": spec(404, false, "Check the address or the id."),
  "too-many-requests": spec(429, true, "Wait as long as the Retry-After header says."),
  "signature-invalid": spec(422, false, "The record is not from whom it says; get it again from its author."),
  "kit-invalid": spec(
    400,
    false,
    "Correct the kit as the message says; the printed kit has the words by their numbers.",
  ),
  // Site
  "site-unreachable": spec(503, true, "Check that the site is running and that this machine reaches its address."),
  "site-identity-changed": spec(
    502,
    false,
    "The server is not the site that this machine was enrolled at; do not go on before you know why.",
  ),
  "site-answer-invalid": spec(
    502,
    false,
    "The site answers otherwise than agreed; bring site and agent to the same version.",
  ),
  "store-full": spec(
    507,
    true,
    "Free space on the site's disk, as docs/disasters.md tells; reading and restoring go on.",
  ),
  "store-failed": spec(
    503,
    true,
    "The disk refused a write or a sync; see the site's log, check the disk, restart the site.",
  ),
  "store-locked": spec(423, false, "Another process has this data directory open; stop it first."),
  "store-damaged": spec(500, false, "Run `costor site check --read-data` and follow what it prints."),
  "identity-damaged": spec(
    500,
    false,
    "Put the named file back from a copy of the data directory; the recovery kit brings the site back without it.",
  ),
  "kit-file-exists": spec(409, false, "Name another file, or move that one away."),
  "listen-failed": spec(
    500,
    false,
    "Another program may have the port, or the address is not this machine's; name another with --listen for agents, --peer-listen or --peer-websocket for other sites.",
  ),
  "kit-of-another-site": spec(
    422,
    false,
    "Take the kit of this site: `costor site kit status` shows the fingerprint that stands on it.",
  ),
  "kit-agreed": spec(
    409,
    false,
    "Keep the new kit, and restart the site: it goes on by that one. The members' agreement is not taken back.",
  ),
  "kit-wrong-word": spec(422, false, "Read the words from the recovery kit again, by their numbers."),
  "store-missing": spec(
    404,
    false,
    "Give the directory that was the site's --data: at least one whole file of its store/segments has to be in it.",
  ),
  "site-not-made": spec(
    404,
    false,
    "Name the directory of a site with --data, and look whether its disk is mounted; only where there was never a site, `costor site start` makes one.",
  ),
  "wrong-user": spec(403, false, "Give the command as the user that the site runs as, such as with `sudo -u costor`."),
  "site-exists": spec(409, false, "Name an empty directory, or start the site that is there."),
  // Ledger
  "ledger-refused": spec(409, false, "Do as the message says; the alarms of `costor federation status` tell more."),
  "ledger-waiting": spec(
    503,
    true,
    "No other site was reached since the start; what is to be told is written as soon as one is.",
  ),
  "site-superseded": spec(
    421,
    false,
    "Another machine acts as this site now: use that one. If this one shall be the site, stop the other and run `costor site adopt` here with the kit.",
  ),
  // Federation
  "peer-unreachable": spec(503, true, "Check that the other site runs and is reached; it is tried again by itself."),
  "peer-refused": spec(409, false, "The other site refuses; its message says why."),
  "peer-misbehaved": spec(502, false, "The other site sends what no honest one sends; ask its people what it runs."),
  "not-in-federation": spec(
    409,
    false,
    "Make a federation with `costor federation create`, or join one; a site that was taken out is admitted again by its members, with `costor federation admit`.",
  ),
  "federation-exists": spec(
    409,
    false,
    "A site is of one federation for good. Whoever is out is admitted again by its members, with `costor federation admit`; another federation needs another site.",
  ),
  "invitation-invalid": spec(
    400,
    false,
    "Copy the whole line of the invitation, or ask for a new one: each works once, for a limited time.",
  ),
  "roster-invalid": spec(
    409,
    false,
    "The list of members is not one that this federation's members have signed; ask the other site's people where it is from.",
  ),
  "member-unknown": spec(404, false, "List the members with `costor federation members`."),
  "words-differ": spec(
    422,
    false,
    "Read the words to each other again, on a telephone number that you know. If they still differ, somebody may stand between the two sites: refuse, and begin anew.",
  ),
  "quota-exceeded": spec(507, true, "The other site keeps no more for this one; it is placed elsewhere."),
  // Sessions
  "session-unknown": spec(404, false, "Open a new upload session; what was acknowledged is kept."),
  "commit-incomplete": spec(409, false, "Send the primes that the answer lists and commit again."),
  "store-generation-changed": spec(
    409,
    true,
    "The site lost or recovered data; the agent asks again for all it relies on.",
  ),
  "snapshot-exists": spec(409, false, "This snapshot was completed with other contents; start a new backup."),
  // Agent and files
  "file-unreadable": spec(500, false, "Check the file's permissions and the disk."),
  "path-unusable": spec(500, false, "Check that the path is right, that it exists, and that this user may use it."),
  "file-changed": spec(500, false, "The file changed while it was read; it will be tried again at the next backup."),
  "agent-busy": spec(423, false, "Another backup of this agent is running; wait until it ends."),
  "restore-refused": spec(
    409,
    false,
    "Do as the message says, or choose another directory with --to or another --overwrite mode.",
  ),
  "restore-unverified": spec(
    500,
    false,
    "The disk does not give back what the snapshot holds: restore with --overwrite always; if that does not help, check the disk and restore elsewhere.",
  ),
  "drill-differs": spec(
    500,
    false,
    "Run `costor site check --read-data`; if it finds nothing, this is a fault in CoStor: please report it.",
  ),
  "drill-not-refused": spec(
    500,
    false,
    "Something was possible that nobody may do: see what the drill tells, look at the site that it names, and please report it.",
  ),
  "alarm-unknown": spec(404, false, "List the alarms with `costor site alarms list`."),
  "deletion-paused": spec(
    409,
    true,
    "Nothing is taken while the site is in doubt; settle what the message says, such as the machine's clock (docs/disasters.md), and try again.",
  ),
  "second-person-needed": spec(
    403,
    false,
    "The second person gives the six words: typed on a terminal, or with --code FILE (docs/retention.md).",
  ),
  "wrong-code": spec(
    403,
    false,
    "Give the six words as the second person has noted them; if they are lost: `costor site retention second-person end --lost`.",
  ),
  "snapshot-unknown": spec(404, false, "List the snapshots with `costor agent snapshots`, or `costor site snapshots`."),
  "nothing-of-site": spec(
    404,
    false,
    "Take kit and data of one site: the page of the kit names it, and a site that keeps its copies has its data too.",
  ),
  "path-unknown": spec(404, false, "List the snapshot with `costor agent ls`."),
  interrupted: spec(
    499,
    true,
    "Start the command again; it goes on where it stopped. A restore does with `--overwrite if-changed`.",
  ),
  internal: spec(500, false, "This is a fault in CoStor; please report it with the log."),
} as const satisfies Record<string, ErrorSpec>;

export type ErrorCode = keyof typeof errorRegistry;

/** An error that a caller or a person can act on. Branch on `code`, never on the message. */
export class CostorError extends Error {
  readonly code: ErrorCode;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(code: ErrorCode, message: string, init: { cause?: unknown; details?: Record<string, unknown> } = {}) {
    super(message, init.cause === undefined ? undefined : { cause: init.cause });
    this.name = "CostorError";
    this.code = code;
    this.details = init.details ?? {};
  }

  get help(): string {
    return errorRegistry[this.code].help;
  }

  get retryable(): boolean {
    return errorRegistry[this.code].retryable;
  }

  get status(): number {
    return errorRegistry[this.code].status;
  }
}

/** Whether `error` is a CostorError, of `code` when one is given. */
export function isCostorError(error: unknown, code?: ErrorCode): error is CostorError {
  return error instanceof CostorError && (code === undefined || error.code === code);
}

/** Stops the component when an invariant of the program itself is broken: never for bad input. */
export function assertInvariant(holds: boolean, message: string, details: Record<string, unknown> = {}): asserts holds {
  if (!holds) throw new CostorError("internal", `broken invariant: ${message}`, { details });
}
