/** The exit codes of every command; documented in docs/commands.md. Scripts may rely on them. */
export const exitCodes = {
  ok: 0,
  failed: 1,
  /** The command line or a configuration file is wrong: nothing was done. */
  usage: 2,
  /** The work was done, but some files could not be read or written. */
  partial: 3,
  /** Ended by Ctrl-C, SIGTERM or a closed terminal before the work was done. */
  interrupted: 130,
} as const;
