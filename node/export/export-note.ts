/** The note that a zip carries about what it could not hold as it was; bounded, plain text, names made safe to show. */
import { type ByteString, displayName } from "#protocol/byte-string.ts";
import { limits } from "#protocol/limits.ts";

const HEAD =
  "This archive was made by CoStor. A zip cannot hold everything that a snapshot holds; a tar or a restore can.\n\n";

export class ExportNote {
  private readonly lines: string[] = [];
  private bytes = 0;
  private untoldCount = 0;

  add(path: ByteString, what: string): void {
    const line = `${what}: ${displayName(path)}\n`;
    this.bytes += Buffer.byteLength(line);
    if (this.bytes <= limits.exportNoteBytes) this.lines.push(line);
    else this.untoldCount++;
  }

  /** Undefined when there is nothing to tell. */
  text(): string | undefined {
    if (this.lines.length + this.untoldCount === 0) return undefined;
    const rest = this.untoldCount > 0 ? `… and ${this.untoldCount} more\n` : "";
    return HEAD + this.lines.join("") + rest;
  }
}
