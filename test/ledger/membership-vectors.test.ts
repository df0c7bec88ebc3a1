/** Rosters, invitations, words of joining and questions of a synchronisation are as another program makes them. */
import assert from "node:assert/strict";
import { wordlist } from "@scure/bip39/wordlists/english.js";
import { openLog } from "#ledger/entry.ts";
import { formatInvitation, parseInvitation } from "#ledger/invitation.ts";
import { joinWords, kitWords } from "#ledger/join-words.ts";
import { checkedChain } from "#ledger/membership.ts";
import { encodeRoster, encodeRosterBody } from "#ledger/roster.ts";
import { encodeSyncRequest, parseSyncRequest } from "#ledger/sync-messages.ts";
import { isCostorError } from "#protocol/errors.ts";
import { parseFederationId } from "#protocol/ids.ts";
import { isKitObjection } from "#protocol/kit-objection.ts";
import { parseMajorityLink } from "#protocol/recovery-chain.ts";
import { suite } from "#test/support/suite.ts";
import { fromHex, readVectors } from "#test/support/vectors.ts";

type Vector = { readonly comment: string; readonly error?: string } & (
  | { readonly what: "chain"; readonly federation: string; readonly rosters: readonly string[]; readonly hash: string }
  | { readonly what: "invitation"; readonly text: string; readonly fields: Readonly<Record<string, unknown>> }
  | {
      readonly what: "words";
      readonly federation: string;
      readonly inviter: string;
      readonly joiner: string;
      readonly numbers: readonly number[];
    }
  | {
      readonly what: "kit words";
      readonly federation: string;
      readonly link: string;
      readonly numbers: readonly number[];
    }
  | {
      readonly what: "objection";
      readonly key: string;
      readonly link: string;
      readonly signature: string;
      readonly good: boolean;
    }
  | { readonly what: "request"; readonly bytes: string; readonly ask: string }
);

const test = suite("membership vectors");

function check(vector: Vector): void {
  switch (vector.what) {
    case "chain": {
      const chain = checkedChain(vector.rosters.map(fromHex), parseFederationId(vector.federation));
      assert.equal(chain.at(-1)!.hash, vector.hash);
      for (const { bytes, signatures, ...fields } of chain) {
        assert.ok(encodeRosterBody(fields).equals(fields.body));
        assert.ok(encodeRoster(fields.body, signatures).equals(bytes));
      }
      return;
    }
    case "invitation": {
      const invitation = parseInvitation(vector.text);
      const { addresses: a, expiresMs: e, federationId: f, secret, peer: p } = invitation;
      assert.deepEqual({ a, e, f, k: Buffer.from(secret).toString("hex"), p }, vector.fields);
      assert.equal(formatInvitation(invitation), vector.text);
      return;
    }
    case "words": {
      const [inviter, joiner] = [vector.inviter, vector.joiner].map((hex) => openLog(fromHex(hex)));
      const words = joinWords(parseFederationId(vector.federation), inviter!, joiner!);
      assert.deepEqual(
        words,
        vector.numbers.map((number) => wordlist[number]),
      );
      return;
    }
    case "kit words": {
      const words = kitWords(parseFederationId(vector.federation), parseMajorityLink(fromHex(vector.link)));
      assert.deepEqual(
        words,
        vector.numbers.map((number) => wordlist[number]),
      );
      return;
    }
    case "objection": {
      const [key, signature] = [fromHex(vector.key), fromHex(vector.signature)];
      assert.equal(isKitObjection(vector.link, { key, signature }), vector.good);
      return;
    }
    default: {
      const request = parseSyncRequest(fromHex(vector.bytes));
      assert.equal(request.ask, vector.ask);
      assert.equal(encodeSyncRequest(request).toString("hex"), vector.bytes);
    }
  }
}

for (const vector of readVectors<Vector>("membership"))
  test(`${vector.what}: ${vector.comment}`, () => {
    if (vector.error === undefined) return check(vector);
    assert.throws(
      () => check(vector),
      (error) => isCostorError(error, vector.error as never),
    );
  });

test.run();
