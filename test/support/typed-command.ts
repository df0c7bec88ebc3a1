/** `costor …` on a terminal of its own (util-linux `script`), as a person gives it who answers what is asked. */
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { shellWord } from "#terminal/shell-word.ts";

const LAUNCHER = fileURLToPath(new URL("../../costor", import.meta.url));
/** Until a question is there: recovering reaches other machines before it asks again. */
const MOST_MS = 120_000;

export interface TypedCommand {
  /** Waits until it shows that, since the last answer. Throws when it ends before, with what it has shown. */
  shown(pattern: RegExp): Promise<RegExpExecArray>;
  /** Waits for the question, and types a line. */
  answer(question: RegExp, line: string): Promise<void>;
  /** As Ctrl-C; for one that stays. */
  interrupt(): void;
  /** Its exit code and all that it has shown. */
  readonly ended: Promise<{ readonly code: number | null; readonly text: string }>;
}

export function typeCommand(words: readonly string[]): TypedCommand {
  const command = [LAUNCHER, ...words].map(shellWord).join(" ");
  // A shell between would die of the Ctrl-C itself.
  const child = spawn("script", ["--quiet", "--return", "--flush", "--command", `exec ${command}`, "/dev/null"], {
    stdio: ["pipe", "pipe", "inherit"],
    env: { ...process.env, NO_COLOR: "1", TERM: "dumb", SHELL: "/bin/sh" },
  });
  child.stdin.on("error", () => undefined);
  let [text, read] = ["", 0];
  let isEnded = false;
  let onNews = (): void => undefined;
  child.stdout.setEncoding("utf8").on("data", (piece: string) => {
    text += piece;
    onNews();
  });
  const ended = new Promise<{ code: number | null; text: string }>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => {
      isEnded = true;
      onNews();
      resolve({ code, text });
    });
  });
  ended.catch(() => undefined);
  const shown = async (pattern: RegExp): Promise<RegExpExecArray> => {
    const deadline = AbortSignal.timeout(MOST_MS);
    for (;;) {
      const found = pattern.exec(text.slice(read));
      if (found !== null) {
        read += found.index + found[0].length;
        return found;
      }
      if (isEnded || deadline.aborted) throw new Error(`it does not show ${pattern}: ${text}`);
      await new Promise<void>((resolve) => {
        onNews = resolve;
        deadline.addEventListener("abort", () => resolve(), { once: true });
      });
    }
  };
  return {
    shown,
    async answer(question, line) {
      await shown(question);
      child.stdin.write(`${line}\n`);
    },
    interrupt: () => void child.stdin.write("\x03"),
    ended,
  };
}
