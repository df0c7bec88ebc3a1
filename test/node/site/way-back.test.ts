/** Where other sites are, beside the store: what is kept is read back, within its bound, and a file that was changed is noticed. */
import assert from "node:assert/strict";
import { mkdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { siteDirectoryOf } from "#node/site/identity.ts";
import { WayBackFile, readWayBack } from "#node/site/way-back.ts";
import { isCostorError } from "#protocol/errors.ts";
import { parseFederationId, parsePeerKey } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
import { scratchDirectory } from "#test/support/scratch.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("way back");

const federationId = parseFederationId("ab".repeat(32));
const membersOf = (count: number) =>
  Array.from({ length: count }, (_, at) => ({
    peer: parsePeerKey(at.toString(16).padStart(64, "0")),
    addresses: [`/ip4/192.0.2.7/tcp/${8444 + at}`],
  }));

async function dataDirectory(): Promise<string> {
  const directory = await scratchDirectory("way-back");
  await mkdir(siteDirectoryOf(directory));
  return directory;
}

test("what is kept is read back, of more sites than the bound the first", async () => {
  const directory = await dataDirectory();
  assert.equal(await readWayBack(directory), undefined);
  const file = new WayBackFile({ dataDirectory: directory });
  const members = membersOf(limits.wayBackMembersCount + 1);
  await Promise.all([file.keep({ federationId, members: [] }), file.keep({ federationId, members })]);
  assert.deepEqual(await readWayBack(directory), {
    federationId,
    members: members.slice(0, limits.wayBackMembersCount),
  });
});

test("nothing is written when nothing is new, and a flipped bit is noticed", async () => {
  const directory = await dataDirectory();
  const path = join(siteDirectoryOf(directory), "federation");
  const file = new WayBackFile({ dataDirectory: directory });
  await file.keep({ federationId, members: membersOf(2) });
  const { ino } = await stat(path);
  await file.keep({ federationId, members: membersOf(2) });
  assert.equal((await stat(path)).ino, ino);
  const bytes = await readFile(path);
  bytes[bytes.length - 3]! ^= 1;
  await writeFile(path, bytes);
  await assert.rejects(readWayBack(directory), (error) => isCostorError(error, "identity-damaged"));
});

test.run();
