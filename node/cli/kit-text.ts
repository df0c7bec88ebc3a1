/** What the command line says about the recovery kit. */
import type { KitState } from "#node/control/calls.ts";
import { isCostorError } from "#protocol/errors.ts";
import { shellWord } from "#terminal/shell-word.ts";

/** A reminder until the kit was confirmed; undefined afterwards. */
export function kitReminder(
  dataDirectory: string,
  kit: Pick<KitState, "positions" | "confirmedMs">,
): string | undefined {
  if (kit.confirmedMs !== undefined) return undefined;
  const command = `costor site kit confirm --data ${shellWord(dataDirectory)}`;
  return `The recovery kit is not confirmed yet. Put it away where a fire or a thief does not take it together with this server, then type words ${kit.positions.join(" and ")} of it back: ${command}`;
}

/** The same for a kit check that is yet to be read: when it turns out damaged that is told, and stops nothing. */
export async function kitReminderOnce(
  dataDirectory: string,
  reading: Promise<Pick<KitState, "positions" | "confirmedMs">>,
): Promise<string | undefined> {
  try {
    return kitReminder(dataDirectory, await reading);
  } catch (error) {
    if (!isCostorError(error, "identity-damaged")) throw error;
    return `Whether the recovery kit was put away is not known: ${error.message}. ${error.help}`;
  }
}
