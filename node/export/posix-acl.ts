/**
 * POSIX ACLs: from the value of Linux's `system.posix_acl_access` and `system.posix_acl_default` attributes (version 2,
 * little endian; linux/posix_acl_xattr.h) to the short text form of acl(5) that tar archives carry.
 */
import type { ByteString } from "#protocol/byte-string.ts";

const VERSION = 2;
const HEADER_BYTES = 4;
const ENTRY_BYTES = 8;
const TAGS: Readonly<Record<number, { readonly text: string; readonly hasId: boolean }>> = {
  0x01: { text: "user", hasId: false },
  0x02: { text: "user", hasId: true },
  0x04: { text: "group", hasId: false },
  0x08: { text: "group", hasId: true },
  0x10: { text: "mask", hasId: false },
  0x20: { text: "other", hasId: false },
};

/** The PAX keyword for an attribute that is an ACL. */
export function aclKeywordOf(name: ByteString): string | undefined {
  if (name === "system.posix_acl_access") return "SCHILY.acl.access";
  if (name === "system.posix_acl_default") return "SCHILY.acl.default";
  return undefined;
}

/** Entries such as `user:1000:r-x`, separated by commas, ids as numbers; undefined for a value that is no ACL. */
export function aclTextOf(value: Uint8Array): string | undefined {
  const bytes = Buffer.from(value.buffer, value.byteOffset, value.length);
  if (bytes.length < HEADER_BYTES || (bytes.length - HEADER_BYTES) % ENTRY_BYTES !== 0) return undefined;
  if (bytes.readUInt32LE(0) !== VERSION) return undefined;
  const entries: string[] = [];
  for (let at = HEADER_BYTES; at < bytes.length; at += ENTRY_BYTES) {
    const tag = TAGS[bytes.readUInt16LE(at)];
    const permissions = bytes.readUInt16LE(at + 2);
    if (!tag || permissions > 7) return undefined;
    const id = tag.hasId ? String(bytes.readUInt32LE(at + 4)) : "";
    const letters = `${permissions & 4 ? "r" : "-"}${permissions & 2 ? "w" : "-"}${permissions & 1 ? "x" : "-"}`;
    entries.push(`${tag.text}:${id}:${letters}`);
  }
  return entries.join(",");
}
