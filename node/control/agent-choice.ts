/** Which machine people mean by an id or a name. */
import type { AgentRecord } from "#node/site/agent-registry.ts";
import { CostorError } from "#protocol/errors.ts";

/** Throws `not-found`, `bad-usage` when several have the name. */
export function chooseAgent(agents: readonly AgentRecord[], text: string): AgentRecord {
  const fitting = agents.filter(({ id, name }) => id === text.toLowerCase() || name === text);
  if (fitting.length === 0) throw new CostorError("not-found", `no agent ${text} was ever enrolled here`);
  if (fitting.length > 1) throw new CostorError("bad-usage", `several agents are called ${text}: give the id`);
  return fitting[0]!;
}
