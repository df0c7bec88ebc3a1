/** File systems that the kernel makes up: what is in them is its state of the moment, and nobody's data. */
import { allocate, libc } from "./libc.ts";

/** `f_type` of statfs(2), from linux/magic.h and the file systems' own sources. Not tmpfs and devtmpfs: people keep data there. */
const TYPES: ReadonlySet<number> = new Set([
  0x9fa0, // proc
  0x62656572, // sysfs
  0x27e0eb, // cgroup
  0x63677270, // cgroup2
  0x64626720, // debugfs
  0x74726163, // tracefs
  0x73636673, // securityfs
  0x1cd1, // devpts
  0xcafe4a11, // bpf
  0x6165676c, // pstore
  0xde5e81e4, // efivarfs
  0x62656570, // configfs
  0x958458f6, // hugetlbfs
  0x19800202, // mqueue
  0x42494e4d, // binfmt_misc
  0x65735543, // fusectl
  0xf97cff8c, // selinuxfs
  0x67596969, // rpc_pipefs
]);

/** `struct statfs` has 120 bytes on x64 and arm64, and begins with the type. */
const scratch = allocate(256);

/** Whether the open directory lies on one; false where the system does not tell. */
export const isOnVirtualFileSystem = ({ fd }: { readonly fd: number }): boolean =>
  libc.fstatfs(fd, scratch.address) === 0 && TYPES.has(scratch.bytes.readUInt32LE(0));
