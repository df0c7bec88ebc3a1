/** Goal: agents and snapshots that only the ledger knows come back as they were, whatever of it cannot be opened. */
import { deepEqual, equal, rejects } from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { regainFacts } from "#node/federation/regained-facts.ts";
import { type SealedPlace, keyOfPlace, sealedContext } from "#node/federation/sealed-statements.ts";
import { parseEntry } from "#ledger/entry.ts";
import { unreadSnapshots } from "#node/site/unread-snapshots.ts";
import { encodeCbor } from "#protocol/cbor.ts";
import { CostorError } from "#protocol/errors.ts";
import { makeUuidV7, parseAgentId, parseSnapshotId } from "#protocol/ids.ts";
import { publicKeyOf } from "#protocol/raw-keys.ts";
import { openWithReadKey, sealToReadKey } from "#protocol/read-sealing.ts";
import { createMemoryStore } from "#test/support/memory-store.ts";
import { Replica } from "#test/support/replica.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("regained facts");
const readKey = randomBytes(32);
const [agent, other] = [parseAgentId(makeUuidV7(1)), parseAgentId(makeUuidV7(2))];
const snapshot = parseSnapshotId(makeUuidV7(3));
const places: readonly SealedPlace[] = [
  { kind: "snapshot", agent, snapshot },
  { kind: "agent", agent },
  { kind: "agent", agent: other },
  { kind: "state", part: "identity" },
];

async function world() {
  const replica = await Replica.open("site");
  const { own, ledger, siteId } = replica;
  const tell = async (place: SealedPlace, text: string, context = sealedContext(siteId, place)): Promise<void> => {
    const sealed = await sealToReadKey(Buffer.from(text), publicKeyOf("x25519", readKey), context);
    await own.write({ ...place, sealed });
  };
  for (const place of places) await tell(place, `${place.kind} ${keyOfPlace(place)}`);
  const store = createMemoryStore();
  const taken: string[] = [];
  const broken: string[] = [];
  const regain = (key = readKey): Promise<void> =>
    regainFacts(
      {
        ...{ ledger, store },
        open: (sealed, context) => openWithReadKey(sealed, key, context),
        take: async (place, value) => void taken.push(`${place.kind} ${Buffer.from(value).toString()}`),
        onBroken: (place) => void broken.push(keyOfPlace(place)),
      },
      { siteId },
    );
  return { replica, store, taken, broken, tell, regain };
}

test("state comes first, then agents, then snapshots", async () => {
  const { taken, regain } = await world();
  await regain();
  deepEqual(taken, [
    "state state identity",
    `agent agent ${agent}`,
    `agent agent ${other}`,
    `snapshot snapshot ${agent}/${snapshot}`,
  ]);
});

test("a snapshot that is here is left alone; an agent may have been revoked", async () => {
  const { store, taken, regain } = await world();
  await store.appendFacts([
    { kind: "snapshot", key: `${agent}/${snapshot}`, value: encodeCbor({}) },
    { kind: "agent", key: agent, value: encodeCbor({}) },
  ]);
  await regain();
  equal(
    taken.some((text) => text.startsWith("snapshot")),
    false,
  );
  equal(taken.includes(`agent agent ${agent}`), true);
});

test("what is sealed to another key or for another place is passed over and told", async () => {
  const { taken, broken, tell, regain, replica } = await world();
  await tell(places[1]!, "of another", sealedContext(replica.siteId, places[2]!));
  await regain();
  deepEqual(broken, [agent]);
  equal(taken.length, 3);
  await regain(randomBytes(32));
  equal(broken.length, 1 + places.length);
});

test("a snapshot that cannot be read is noted, and no more so once it could be read", async () => {
  const { store, regain } = await world();
  await regain(randomBytes(32));
  deepEqual(await unreadSnapshots(store), [`${agent}/${snapshot}`]);
  await regain();
  deepEqual(await unreadSnapshots(store), []);
});

test("what opens and is no record is passed over, and the rest is taken", async () => {
  const { replica, taken } = await world();
  const { ledger, siteId } = replica;
  for (const code of ["store-damaged", "bad-encoding"] as const) {
    const broken: string[] = [];
    const store = createMemoryStore();
    await regainFacts(
      {
        ...{ ledger, store },
        open: (sealed, context) => openWithReadKey(sealed, readKey, context),
        take: async (place) => {
          if (place.kind === "agent") taken.push(keyOfPlace(place));
          else throw new CostorError(code, "it is none");
        },
        onBroken: (place) => void broken.push(place.kind),
      },
      { siteId },
    );
    deepEqual(
      [taken.splice(0), broken],
      [
        [agent, other],
        ["state", "snapshot"],
      ],
    );
    deepEqual(await unreadSnapshots(store), [`${agent}/${snapshot}`]);
  }
});

test("a store that fails ends it: nothing is taken for read", async () => {
  const { replica } = await world();
  const { ledger, siteId } = replica;
  equal(parseEntry((await ledger.entry(replica.author.log.id, 0))!).kind, "snapshot");
  await rejects(
    regainFacts(
      {
        ...{ ledger, store: createMemoryStore() },
        open: (sealed, context) => openWithReadKey(sealed, readKey, context),
        take: () => Promise.reject(new Error("disk")),
        onBroken: () => undefined,
      },
      { siteId },
    ),
    /disk/,
  );
});

test.run();
