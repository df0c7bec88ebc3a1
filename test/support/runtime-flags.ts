/** The flags that a process started by the tests runs Node with: those of this process, which the launcher chose. */
export const runtimeFlags: readonly string[] = process.execArgv.filter((flag) => !flag.startsWith("--inspect"));
