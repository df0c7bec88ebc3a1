/** A directory whose files come, change and go between backups, by a seed. */
import { createCipheriv } from "node:crypto";
import { mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TreeManifest, treeManifest } from "./tree-manifest.ts";

export interface ChangingTreeInit {
  readonly seed: number;
  readonly smallFilesCount?: number;
  readonly largeFileBytes?: number;
}

export class ChangingTree {
  readonly path: string;
  private readonly init: Required<ChangingTreeInit>;
  private version = 0;

  constructor(path: string, init: ChangingTreeInit) {
    this.path = path;
    this.init = { smallFilesCount: 40, largeFileBytes: 700_000, ...init };
    mkdirSync(join(path, "sub/deeper"), { recursive: true });
    symlinkSync("no such place", join(path, "link"));
    for (let index = 0; index < this.init.smallFilesCount; index++) this.write(index);
    this.writeLarge();
  }

  /** Changes about a fifth of it, and the large file. */
  change(): void {
    this.version++;
    for (let index = this.version % 5; index < this.init.smallFilesCount; index += 5) {
      if ((index + this.version) % 7 === 0) rmSync(this.fileOf(index), { force: true });
      else this.write(index);
    }
    this.writeLarge();
  }

  manifest(): TreeManifest {
    return treeManifest(this.path);
  }

  /** `lengthBytes` of noise that no other call gives. */
  noise(name: string, lengthBytes: number): Buffer {
    const iv = Buffer.alloc(16);
    iv.writeUInt32BE(this.init.seed >>> 0, 0);
    iv.writeUInt32BE(this.version, 4);
    iv.write(name.slice(-6), 8);
    return createCipheriv("aes-128-ctr", Buffer.alloc(16, 9), iv).update(Buffer.alloc(lengthBytes));
  }

  private fileOf(index: number): string {
    return join(this.path, ["", "sub", "sub/deeper"][index % 3]!, `file-${index}`);
  }

  private write(index: number): void {
    writeFileSync(this.fileOf(index), this.noise(`f${index}`, (index * 1237) % 30_000));
  }

  private writeLarge(): void {
    if (this.init.largeFileBytes === 0) return;
    writeFileSync(join(this.path, "large"), this.noise("large", this.init.largeFileBytes));
  }
}
