/**
 * The program behind the launcher `./costor`, and its composition root: it alone knows both sides, the agent and the
 * site, and imports only the one that the command line names.
 */
import { runProgram } from "./terminal/program.ts";

await runProgram(process.argv, {
  agent: {
    description: "back up and restore this machine",
    addCommands: async (program) => (await import("./agent/cli/program.ts")).addAgentCommands(program),
  },
  site: {
    description: "run and look after a site",
    addCommands: async (program) => {
      const site = (await import("./node/cli/program.ts")).addSiteCommands(program);
      (await import("./rescue/rescue-commands.ts")).addExtractCommand(site);
    },
  },
  federation: {
    description: "sites that keep each other's backups",
    addCommands: async (program) => {
      const federation = (await import("./node/cli/federation-commands.ts")).addFederationCommands(program);
      (await import("./rescue/rescue-commands.ts")).addRemoteRestoreCommand(federation);
    },
  },
});
