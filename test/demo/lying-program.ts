/**
 * Makes a program of a site a liar: loaded before it (`node --import`), it changes two places of its code. It tells nobody what it has
 * lost, and answers audits of that with bytes of its own making.
 */
import assert from "node:assert/strict";
import { registerHooks } from "node:module";

const lies: readonly { readonly file: string; readonly from: RegExp; readonly to: string }[] = [
  {
    file: "/node/replication/audit-service.ts",
    from: /const loss = await components\.sayLost[^;]*;\s*await channel\.send\(encodeMessage\(\{ kind: "answer", answer: null[^;]*;/,
    to: 'await channel.send(encodeMessage({ kind: "answer", answer: new Uint8Array(32) }));',
  },
  {
    file: "/node/replication/losses.ts",
    from: /(export async function reportLosses\([^{]*\{[^{]*\{)/,
    to: "$1 if (self !== undefined) return;",
  },
];

registerHooks({
  load(url, context, nextLoad) {
    const loaded = nextLoad(url, context);
    const lie = lies.find(({ file }) => url.endsWith(file));
    if (lie === undefined) return loaded;
    const honest = String(loaded.source);
    const source = honest.replace(lie.from, lie.to);
    assert.notEqual(source, honest, `${lie.file} is not as it was: the lie does not fit`);
    return { ...loaded, source };
  },
});
