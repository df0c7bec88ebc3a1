/**
 * Snapshots that no honest agent makes, sealed and committed by one that holds a good token: names that lead elsewhere,
 * links that lead away, sizes that lie, text that commands a terminal. Goal: the commit is refused, or a restore stays
 * below its directory and nothing raw comes to a terminal. The site and the commands are real processes.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { ByteString } from "#protocol/byte-string.ts";
import { encodeCbor } from "#protocol/cbor.ts";
import type { CommitRequest } from "#protocol/http.ts";
import { makeUuidV7, parseSessionId, parseSnapshotId, type SnapshotId } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
import { nodePointerToWire } from "#protocol/node-pointer.ts";
import { encodeLeaf, type NodePointer, type TreeObject } from "#protocol/tree.ts";
import { shellWord } from "#terminal/shell-word.ts";
import { hasCode } from "#test/conformance/prime-store.ts";
import { runtimeFlags } from "#test/support/runtime-flags.ts";
import { scratchDirectory } from "#test/support/scratch.ts";
import { suite } from "#test/support/suite.ts";
import { TreeMaker, whole } from "#test/support/trees.ts";
import { AgentUnderFault } from "./agent-under-fault.ts";
import { runCommand } from "./command.ts";
import { SiteUnderFault } from "./site-under-fault.ts";

const test = suite("hostile trees", { timeoutMs: 600_000 });
const attributes = { mode: 0o644, uid: 0, gid: 0, mtimeNs: 1n };
const site = await SiteUnderFault.make();
let agent: AgentUnderFault;

test.before(async () => {
  await site.start();
  agent = await AgentUnderFault.enrol(site);
});
test.after(async () => {
  agent[Symbol.dispose]();
  await site[Symbol.asyncDispose]();
});

interface Told {
  readonly job?: string;
  readonly root?: string;
}

/** Commits a tree whose root directory holds `/t`, which is the node that `make` gives. */
async function commit(
  make: (maker: TreeMaker) => NodePointer,
  { job = "files", root = "/t" }: Told = {},
): Promise<SnapshotId> {
  const maker = new TreeMaker();
  const tree = maker.inline([maker.directory("t", make(maker))]);
  const client = agent.reading;
  const snapshotId = parseSnapshotId(makeUuidV7(Date.now()));
  const sessionId = parseSessionId((await client.openSession({ job, snapshotId })).sessionId);
  for (let at = 0; at < maker.primes.length; at += limits.batchPrimesCount)
    await client.sendPrimes(sessionId, maker.primes.slice(at, at + limits.batchPrimesCount));
  const request: CommitRequest = {
    snapshotId,
    job,
    roots: [Buffer.from(root).toString("base64")],
    startedMs: Date.now(),
    objectsCount: 1,
    filesCount: 1,
    bytes: 1,
    unreadableCount: 0,
    root: nodePointerToWire(tree),
  };
  await client.commit(sessionId, request);
  return snapshotId;
}

const raw = (text: string): ByteString => Buffer.from(text, "latin1").toString("latin1") as ByteString;
const inline = (...objects: TreeObject[]): NodePointer => ({ inline: encodeLeaf(objects) });
const named = (maker: TreeMaker, name: string): TreeObject => ({ ...maker.file("x"), name: raw(name) });
const link = (name: string, target: string): TreeObject => ({
  ...attributes,
  type: "symlink",
  name: raw(name),
  target: raw(target),
});

const badNames = ["", ".", "..", "/", "a/b", "../x", "/etc/passwd", "a\0b", "x".repeat(256)];

test("names that lead elsewhere, or twice to the same place, are refused at the commit", async () => {
  for (const name of badNames) {
    await assert.rejects(
      commit((maker) => inline(named(maker, name))),
      hasCode("tree-invalid"),
      JSON.stringify(name),
    );
    await assert.rejects(
      commit((maker) => inline(maker.directory("d", inline(named(maker, name))))),
      hasCode("tree-invalid"),
    );
  }
  await assert.rejects(
    commit((maker) => inline(link("d", "/etc"), maker.directory("d", inline()))),
    hasCode("tree-invalid"),
  );
  await assert.rejects(
    commit((maker) => inline(maker.file("b"), maker.file("a"))),
    hasCode("tree-invalid"),
  );
});

/** One attempt each: what is wrong, and the node that says it. */
const lies: readonly (readonly [string, (maker: TreeMaker) => NodePointer])[] = [
  ["a link without a target", () => inline(link("l", ""))],
  ["a target with NUL", () => inline(link("l", "a\0b"))],
  ["a target longer than any path", () => inline(link("l", "x".repeat(4097)))],
  ["a file longer than its content", (maker) => inline({ ...maker.file("f"), sizeBytes: 1000 } as TreeObject)],
  [
    "a slice beyond its prime",
    (maker) => {
      const prime = maker.seal(Buffer.from("short"), "content");
      const slices = [{ prime, offsetBytes: 2, lengthBytes: 100 }];
      return inline({ ...attributes, type: "file", name: raw("f"), sizeBytes: 100, content: { slices } });
    },
  ],
  [
    "extents that overlap",
    (maker) => {
      const content = { slices: [whole(maker.seal(Buffer.alloc(20, 1), "content"))] };
      const extents = [
        { offsetBytes: 10, lengthBytes: 10 },
        { offsetBytes: 15, lengthBytes: 10 },
      ];
      return inline({ ...attributes, type: "file", name: raw("f"), sizeBytes: 100, content, extents });
    },
  ],
  ["a mode with more than permissions", (maker) => inline({ ...maker.file("f"), mode: 0o100644 } as TreeObject)],
  [
    "an attribute without a name",
    (maker) => inline({ ...maker.file("f"), xattrs: [{ name: raw(""), value: Buffer.alloc(1) }] } as TreeObject),
  ],
  [
    "attributes past all measure",
    (maker) => {
      const xattrs = Array.from({ length: 20 }, (_, at) => ({ name: raw(`user.${at}`), value: Buffer.alloc(60_000) }));
      return maker.node([{ ...maker.file("f"), xattrs } as TreeObject]);
    },
  ],
  ["a tree prime that is a file's", (maker) => ({ slice: whole(maker.seal(Buffer.from("no tree"), "content")) })],
  ["a node of other CBOR", (maker) => ({ slice: whole(maker.seal(encodeCbor({ e: 1, o: [], p: [] }), "tree")) })],
  [
    "CBOR nested without end",
    (maker) => ({ slice: whole(maker.seal(Buffer.concat([Buffer.alloc(100_000, 0x81), Buffer.from([0])]), "tree")) }),
  ],
];

test("trees that lie about sizes, kinds and limits are refused at the commit", async () => {
  for (const [what, make] of lies) {
    await assert.rejects(
      commit(make),
      (error: { code: string }) => {
        assert.ok(
          ["tree-invalid", "bad-encoding", "prime-corrupt", "bad-request"].includes(error.code),
          `${what}: ${String(error)}`,
        );
        return true;
      },
      what,
    );
  }
  // The site serves on.
  await agent.reading.checkIn();
});

test("directories nested deep, each in its own prime or all in one, come to an end", async () => {
  const primes = await commit((maker) => {
    let node = inline(maker.file("deepest"));
    for (let depth = 0; depth < 300; depth++) node = maker.node([maker.directory("d", node)]);
    return node;
  });
  const inlined = await commit((maker) => {
    let node = inline(maker.file("deepest"));
    for (let depth = 0; depth < 1_000; depth++) node = inline(maker.directory("d", node));
    return maker.node([maker.directory("d", node)]);
  });
  for (const snapshot of [primes, inlined]) {
    const end = await agent.restore(snapshot, await scratchDirectory("to"));
    assert.equal(end.code, 0, end.stderr);
  }
});

test("a link of one snapshot leads no restore of another one away", async () => {
  const outside = await scratchDirectory("outside");
  const to = await scratchDirectory("to");
  writeFileSync(join(outside, "kept"), "kept");
  const links = await commit(() =>
    inline(link("d", outside), link("f", join(outside, "kept")), link("up", "../../../../../..")),
  );
  const files = await commit((maker) =>
    inline(
      maker.directory("d", inline(maker.file("evil"))),
      maker.file("f"),
      maker.directory("up", inline(maker.file("evil"))),
    ),
  );
  assert.equal((await agent.restore(links, to)).code, 0);
  for (const overwrite of ["never", "if-changed", "if-newer", "always"]) {
    const end = await agent.restore(files, to, ["--overwrite", overwrite, "--delete"]);
    assert.ok(end.code === 0 || end.code === 3, end.stderr);
    assert.deepEqual(readdirSync(outside), ["kept"]);
    assert.equal(readFileSync(join(outside, "kept"), "utf8"), "kept");
  }
  assert.ok(!existsSync("/evil"));
});

test("a link group over a symlink and files reaches nothing outside", async () => {
  const outside = await scratchDirectory("outside");
  writeFileSync(join(outside, "kept"), "kept");
  const linkGroup = Buffer.alloc(8, 7);
  const snapshot = await commit((maker) => {
    const group = { linkGroup, linkCount: 3 };
    return inline(
      { ...link("a", join(outside, "kept")), ...group } as TreeObject,
      { ...maker.file("b"), ...group } as TreeObject,
      { ...maker.file("c"), ...group } as TreeObject,
    );
  }).catch((error: { code: string }) => {
    assert.equal(error.code, "tree-invalid");
    return undefined;
  });
  if (snapshot === undefined) return;
  const to = await scratchDirectory("to");
  const end = await agent.restore(snapshot, to);
  assert.ok(end.code === 0 || end.code === 3, end.stderr);
  assert.equal(readFileSync(join(outside, "kept"), "utf8"), "kept");
  assert.equal(lstatSync(join(outside, "kept")).nlink, 1);
});

test("a file that claims to be larger than any disk ends in an error that names it", async () => {
  const snapshot = await commit((maker) => {
    const content = { slices: [whole(maker.seal(Buffer.from("data"), "content"))] };
    const extents = [{ offsetBytes: 0, lengthBytes: 4 }];
    const huge = {
      ...attributes,
      type: "file" as const,
      name: raw("huge"),
      sizeBytes: Number.MAX_SAFE_INTEGER,
      content,
      extents,
    };
    return inline(huge, maker.file("small"));
  });
  const to = await scratchDirectory("to");
  const end = await agent.restore(snapshot, to);
  if (end.code === 3) assert.match(end.stdout, /huge/);
  else assert.equal(end.code, 0, end.stderr);
  assert.ok(existsSync(join(to, "t/small")));
});

const commanding = "\x1b]0;owned\x07\x1b[2J\r\nroot: #\x9b31m\u202egpj";

test("no text of a snapshot comes raw to a terminal", async () => {
  const name = Buffer.from(commanding.replaceAll("/", "")).toString("latin1");
  const snapshot = await commit(
    (maker) =>
      inline(
        ...[
          { ...maker.file("x"), name: raw(name), user: commanding, group: commanding } as TreeObject,
          link(`l${name}`, name),
          maker.directory(`d${commanding}`, inline(maker.file(commanding))),
          {
            ...maker.file("clash"),
            xattrs: [{ name: raw(`user.${name}`), value: Buffer.from(name, "latin1") }],
          } as TreeObject,
        ].toSorted((a, b) => (a.name < b.name ? -1 : 1)),
      ),
    { root: `/t${commanding}`, job: "files" },
  );
  const to = await scratchDirectory("to");
  // Something is in the way of each, so that each is named in the output.
  mkdirSync(join(to, "t"), { recursive: true });
  writeFileSync(Buffer.concat([Buffer.from(`${to}/t/`), Buffer.from(`d${commanding}`)]), "in the way");
  const commands = [
    ["agent", "snapshots"],
    ["agent", "ls", snapshot, "/t"],
    ["agent", "ls", snapshot],
    ["agent", "find", "*"],
    ["agent", "diff", snapshot, snapshot],
    ["agent", "versions", `/t/${commanding}`],
    ["agent", "ls", snapshot, `/t/none${commanding}`],
    ["agent", "ls", `${commanding}`],
    ["agent", "restore", snapshot, "--to", to, "--dry-run"],
    ["agent", "restore", snapshot, "--to", to],
    ["agent", "restore", snapshot, `/t/d${commanding}`, "--to", to, "--overwrite", "always"],
    ["agent", "backup", `/none${commanding}`],
  ];
  for (const words of commands) {
    const end = await runCommand([...words, "--config", agent.configFile]);
    assertHarmless(end.stdout, words);
    assertHarmless(end.stderr, words);
    if (words[1] !== "ls" && words[1] !== "restore") continue;
    const onTerminal = spawnSync("script", ["-qec", shellOf([...words, "--config", agent.configFile]), "/dev/null"], {
      encoding: "utf8",
      env: { ...process.env, TERM: "xterm" },
    });
    // A terminal gets CoStor's own colours and progress too, so only the snapshot's own commands are looked for.
    if (onTerminal.error !== undefined) continue;
    for (const piece of ["\x1b]0;owned", "\x1b[2J", "\u009b31m", "\u202e"])
      assert.ok(!onTerminal.stdout.includes(piece), words[1]);
  }
});

const shellOf = (words: readonly string[]): string =>
  [process.execPath, ...runtimeFlags, join(import.meta.dirname, "../../costor.ts"), ...words].map(shellWord).join(" ");

function assertHarmless(text: string, words: readonly string[]): void {
  const what = words.slice(0, 2).join(" ");
  const bad = text.replaceAll(/[\n\t]/g, " ").search(/[\p{Cc}\u202a-\u202e\u2066-\u2069]/u);
  assert.equal(bad, -1, `${what} prints ${JSON.stringify(text.slice(Math.max(0, bad - 60), bad + 60))}`);
  assert.ok(!text.includes("\nroot: #"), `${what} lets a name start a line`);
}

test("a host's name at enrolment comes raw to no terminal of the site", async () => {
  const token = await site.enrolToken(`machine ${commanding}`).catch((error: Error) => {
    assert.match(error.message, /bad-/);
    return site.enrolToken("machine");
  });
  const enrolled = await runCommand([
    "agent",
    "enrol",
    token,
    "--config",
    join(await scratchDirectory("agent"), "a.yaml"),
    "--name",
    commanding,
  ]);
  assertHarmless(enrolled.stderr, ["enrol"]);
  assertHarmless(enrolled.stdout, ["enrol"]);
  const listed = await runCommand(["site", "agents", "list", "--data", site.dataDirectory]);
  assert.equal(listed.code, 0, listed.stderr);
  assertHarmless(listed.stdout, ["site", "agents"]);
});

test.run();
