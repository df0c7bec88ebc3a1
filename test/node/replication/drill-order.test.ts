/** Goal: an order is what the specification says, and counts only as it was signed. Method: vectors that something else has made; seeded damage. */
import assert from "node:assert/strict";
import { readDrillOrder, signDrillOrder } from "#node/replication/drill-order.ts";
import { isCostorError } from "#protocol/errors.ts";
import { type SiteId, parsePeerKey, parsePrimeId, parseSiteId } from "#protocol/ids.ts";
import { mutate } from "#test/support/mutation.ts";
import { seededRandom } from "#test/support/recording-disk.ts";
import { suite } from "#test/support/suite.ts";
import { fromHex, readVectors } from "#test/support/vectors.ts";

const test = suite("drill orders");

interface Case {
  readonly comment: string;
  readonly order: string;
  readonly seed: string;
  readonly peer: string;
  readonly owner: string;
  readonly gatherer: string;
  readonly expiresMs: number;
  readonly ids?: readonly string[];
  readonly code?: string;
}
const cases = readVectors<Case>("drill-order");

function read({ peer, owner, gatherer, expiresMs }: Case, order: Uint8Array) {
  const sites = { peerOf: (site: SiteId) => (site === owner ? parsePeerKey(peer) : undefined) };
  return readDrillOrder({ sites, clock: { now: () => expiresMs } }, order, parsePeerKey(gatherer));
}

for (const one of cases)
  test(one.code === undefined ? `read and made: ${one.comment}` : `refused: ${one.comment}`, () => {
    const encoded = fromHex(one.order);
    if (one.ids === undefined)
      return assert.throws(
        () => read(one, encoded),
        (error) => isCostorError(error) && error.code === one.code,
      );
    const order = {
      ...{ owner: parseSiteId(one.owner), gatherer: parsePeerKey(one.gatherer) },
      ...{ ids: one.ids.map((id) => parsePrimeId(id)), expiresMs: one.expiresMs },
    };
    assert.deepEqual(read(one, encoded), order);
    assert.deepEqual(signDrillOrder(order, fromHex(one.seed)), encoded);
  });

test("an order that was changed anywhere is refused", () => {
  const random = seededRandom(1);
  const [one] = cases as [Case];
  const encoded = fromHex(one.order);
  for (let at = 0; at < 2000; at++) {
    const changed = mutate([encoded], random);
    if (encoded.equals(changed)) continue;
    assert.throws(
      () => read(one, changed),
      (error) => isCostorError(error),
      Buffer.from(changed).toString("hex"),
    );
  }
});

test.run();
