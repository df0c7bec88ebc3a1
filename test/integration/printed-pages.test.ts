/**
 * Goal: somebody who has nothing but a printed page brings a site back by its steps. Method: a federation of three sites as processes; the page's own
 * commands on a terminal, and of the page only what is read and typed: words, an address, the site id. A kit first, then the one that replaced it, then
 * shares of that. The tests follow each other.
 */
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DemoSite } from "#test/demo/demo-site.ts";
import { treeDifferences } from "#test/support/compare-trees.ts";
import { type PrintedPage, readPage } from "#test/support/printed-text.ts";
import { scratchDirectory } from "#test/support/scratch.ts";
import { suite } from "#test/support/suite.ts";
import { type TypedCommand, typeCommand } from "#test/support/typed-command.ts";
import { federate, until, untilSafe } from "./federated-sites.ts";

const test = suite("printed pages", { timeoutMs: 400_000 });
const end = new AbortController();
let scratch = "";
let content = "";
let hill: DemoSite;
let lake: DemoSite;
let moor: DemoSite;
let page: PrintedPage;
let shares: PrintedPage[] = [];
let restoresCount = 0;

test.before(async () => {
  scratch = await scratchDirectory("printed");
  content = join(scratch, "content");
  mkdirSync(content);
  for (let file = 0; file < 20; file++)
    writeFileSync(join(content, `${file}.txt`), `words of text ${file}\n`.repeat(999));
  const sites = ["hill", "lake", "moor"].map(
    (name) => new DemoSite({ name, directory: join(scratch, name), signal: end.signal, onLog: () => undefined }),
  ) as [DemoSite, DemoSite, DemoSite];
  [hill, lake, moor] = sites;
  await federate(sites);
  await hill.enrolAgent();
  await hill.backUp([content]);
  await untilSafe(hill);
  page = await print(hill.kit);
  rmSync(hill.kit);
});
test.after(async () => {
  await Promise.all([hill, lake, moor].map((site) => site.stop()));
});

async function print(kit: string): Promise<PrintedPage> {
  const out = `${kit}.html`;
  await hill.command(["site", "kit", "page", "--kit", kit, "--out", out]);
  return readPage(readFileSync(out, "utf8"));
}

/** The page's command that begins so, with the paths of here. */
function commandOf({ commands }: PrintedPage, begins: string, paths: Readonly<Record<string, string>> = {}): string[] {
  const command = commands.find((words) => words.join(" ").startsWith(begins));
  assert.ok(command, `no step has ${begins}`);
  return command.map((word) => ({ "/srv/costor": hill.data, ...paths })[word] ?? word);
}

/** Recovers by what is typed, after a fire. */
async function recover(typed: TypedCommand, words: readonly string[]): Promise<void> {
  for (const each of words) await typed.answer(/word 1: /, each);
  await typed.answer(/Address of another site[^:]*: /, "lake");
  const address = page.addresses.find((text) => text.includes(`/${lake.peerPort}/`));
  assert.ok(address, page.addresses.join(" "));
  await typed.answer(/no address[^]*Address of another site[^:]*: /, address.replace(`/${lake.peerPort}/`, "/9/"));
  await typed.answer(/none of the other sites answers[^]*Address of another site[^:]*: /, address);
  await typed.shown(/This machine is the site now/);
  await typed.shown(/listens on https/);
  typed.interrupt();
  const { code, text } = await typed.ended;
  assert.equal(code, 0, text);
  await hill.start();
  await until("all comes back", async () => {
    const target = join(scratch, `restored-${restoresCount++}`);
    await hill.agentCommand(["restore", "latest", "--to", target]);
    assert.deepEqual(treeDifferences(content, join(target, content)), []);
    return true;
  });
  await untilSafe(hill);
}

async function burn(): Promise<void> {
  await hill.stop();
  renameSync(hill.data, `${hill.data}.${restoresCount}`);
}

/** Where a recovered site listens: the page leaves that to what is usual. */
const listening = (): string[] => [
  ...["--listen", `127.0.0.1:${hill.agentPort}`, "--peer-listen", `127.0.0.1:${hill.peerPort}`],
  ...["--peer-websocket", "off", "--no-lan-discovery", "--log-level", "error"],
];

test("a site that burnt is brought back by the page's words and an address of it, mistyped ones first", async () => {
  await burn();
  await recover(typeCommand([...commandOf(page, "site recover"), ...listening()]), [page.words]);
});

test("the page is replaced as its last step says, and the new page is printed", async () => {
  const kit = join(scratch, "kit.txt");
  await hill.stop();
  const typed = typeCommand(commandOf(page, "site kit replace", { "kit.txt": kit }));
  await typed.answer(/word 1: /, page.words);
  assert.equal((await typed.ended).code, 0);
  await hill.start();
  const out = join(scratch, "kit.html");
  const printing = typeCommand(commandOf(page, "site kit page", { "kit.txt": kit, "kit.html": out }));
  assert.equal((await printing.ended).code, 0);
  page = readPage(readFileSync(out, "utf8"));
  assert.match(page.text, /in place of an earlier one/);
  const holders = ["--shares", "2-of-2", "--holder", "Anna", "Ben"];
  await hill.command(["site", "kit", "split", "--kit", kit, ...holders, "--out", join(scratch, "shares")]);
  shares = [1, 2].map((number) => readPage(readFileSync(join(scratch, `shares/share-${number}-of-2.html`), "utf8")));
  assert.ok(shares.every(({ addresses, siteId }) => addresses.length > 0 && siteId === page.siteId));
  rmSync(kit);
  await until("the others know the new kit", async () =>
    (await lake.call("federationMembers", {})).members.some(
      ({ name, kitNumber }) => name === "hill" && kitNumber === 2,
    ),
  );
  await hill.backUp([content]);
  await untilSafe(hill, 2);
});

test("files are had at another site by the words of the new page and its site id", async () => {
  await burn();
  const stick = join(scratch, "stick");
  const where = commandOf(page, "federation restore", { DIR: lake.data });
  const typed = typeCommand([...where, "--agent", "office", "--target", stick]);
  await typed.answer(/word 1: /, page.words);
  await typed.answer(/site id on the page[^:]*: /, page.siteId);
  const { code, text } = await typed.ended;
  assert.equal(code, 0, text);
  assert.deepEqual(treeDifferences(content, join(stick, content)), []);
});

test("the site comes back by the pages of the new kit's shares", async () => {
  const typed = typeCommand([...commandOf(shares[0]!, "site recover"), ...listening()]);
  await recover(
    typed,
    shares.map(({ words }) => words),
  );
});

test.run();
