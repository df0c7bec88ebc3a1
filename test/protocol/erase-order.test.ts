/** Goal: an order to erase is what the recovery key has signed for just this, and nothing else passes for one. Method: vectors of an independent maker. */
import assert from "node:assert/strict";
import { parseEraseOrder, signEraseOrder } from "#protocol/erase-order.ts";
import { type ErrorCode, isCostorError } from "#protocol/errors.ts";
import { parseLogId, parseSiteId } from "#protocol/ids.ts";
import { suite } from "#test/support/suite.ts";
import { fromHex, readVectors } from "#test/support/vectors.ts";

interface Vector {
  readonly comment: string;
  readonly order: string;
  readonly seed: string;
  readonly key: string;
  readonly id: string;
  readonly log: string;
  readonly site: string;
  readonly code?: ErrorCode;
}

const test = suite("erase order");

for (const { comment, code, ...vector } of readVectors<Vector>("erase-order"))
  test(`vector: ${comment}`, () => {
    const read = () => parseEraseOrder(fromHex(vector.order));
    if (code !== undefined) return void assert.throws(read, (error) => isCostorError(error, code));
    const fields = { id: vector.id, siteId: parseSiteId(vector.site), logId: parseLogId(vector.log) };
    assert.deepEqual(read(), { ...fields, recoveryKey: fromHex(vector.key) });
    assert.equal(signEraseOrder(fields, fromHex(vector.seed)).toString("hex"), vector.order);
  });

test.run();
