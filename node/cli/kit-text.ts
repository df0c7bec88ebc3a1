/** What the command line says about the recovery kit. */
import type { KitState } from "#node/control/calls.ts";

/** A reminder until the kit was confirmed; undefined afterwards. */
export function kitReminder(
  dataDirectory: string,
  kit: Pick<KitState, "positions" | "confirmedMs">,
): string | undefined {
  if (kit.confirmedMs !== undefined) return undefined;
  const command = `costor site kit confirm --data ${dataDirectory}`;
  return `The recovery kit is not confirmed yet. Put it away where a fire or a thief does not take it together with this server, then type words ${kit.positions.join(" and ")} of it back: ${command}`;
}
