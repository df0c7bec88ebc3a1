/**
 * The program behind the launcher `./costor`, and its composition root: it alone knows both sides, the agent and the
 * site, and imports only the one that the command line names.
 */
import { enableCompileCache } from "node:module";
import { homedir } from "node:os";
import { join } from "node:path";

// Only under the user's own home: compiled code from a directory that others may write to would be theirs to choose.
try {
  enableCompileCache(join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "costor"));
} catch {
  // Slower, and nothing else.
}

const { runProgram } = await import("./terminal/program.ts");
await runProgram(process.argv, {
  agent: {
    description: "back up and restore this machine",
    addCommands: async (program) => (await import("./agent/cli/program.ts")).addAgentCommands(program),
  },
  site: {
    description: "run and look after a site",
    addCommands: async (program) => (await import("./node/cli/program.ts")).addSiteCommands(program),
  },
});
