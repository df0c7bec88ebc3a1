/** Shows what a site's agents have backed up, or restores it, wherever its snapshots and primes come from. */
import { printListing, printSnapshots } from "#agent/cli/queries.ts";
import { formatTime } from "#agent/cli/presentation.ts";
import { restoreFrom } from "#agent/cli/restore.ts";
import { chooseSnapshot, namesOfPath } from "#agent/query/snapshot-tree.ts";
import { findExportStart } from "#node/export/export-source.ts";
import { OpenedPrimes } from "#node/export/opened-primes.ts";
import { createTarStream } from "#node/export/tar.ts";
import { createZipStream } from "#node/export/zip.ts";
import { ReadAhead } from "#node/rescue/read-ahead.ts";
import type { RescuedAgent, RescuedSite } from "#node/rescue/rescued-site.ts";
import { type ByteString, byteStringFromText, displayName } from "#protocol/byte-string.ts";
import { CostorError } from "#protocol/errors.ts";
import type { SnapshotSummary } from "#protocol/http.ts";
import { type PrimeId, type SnapshotId, parseSnapshotId } from "#protocol/ids.ts";
import { limits } from "#protocol/limits.ts";
import { nodePointerFromWire } from "#protocol/node-pointer.ts";
import type { ContentSlice } from "#protocol/tree.ts";
import { TreeReader } from "#protocol/tree-reader.ts";
import { printJson, printLine, printNote, printTable } from "#terminal/output.ts";
import { createProgress } from "#terminal/progress.ts";
import { formatBytes, formatCount, formatCountOf } from "#terminal/quantities.ts";
import { type WrittenArchive, writeArchive } from "./archive-file.ts";
import type { RescueAction, RescueRequest } from "./rescue-options.ts";

/** Throws `not-found`, `snapshot-unknown`, `path-unknown`, `bad-usage`; files that could not be restored are reported. */
export async function runRescue(site: RescuedSite, request: RescueRequest, signal: AbortSignal): Promise<void> {
  const { action, json, paths } = request;
  const agents = await site.agents();
  if (action.does === "list" && request.agent === undefined && request.snapshot === undefined && paths.length === 0)
    return printAgents(agents, json);
  const agent = chooseAgent(agents, request.agent);
  const summaries = await site.snapshots(agent.id);
  const wholeMs = (await site.wholeUntilMs?.()) ?? Infinity;
  if (action.does === "list" && request.snapshot === undefined && paths.length === 0) {
    printSnapshots(summaries, { json });
    for (const { id } of summaries.filter(({ receivedMs }) => receivedMs > wholeMs))
      printNote(`snapshot ${id} was not all elsewhere yet when this was last heard of`);
    return;
  }
  const id = chooseWhole(request.snapshot ?? "latest", summaries, wholeMs);
  const client = {
    snapshot: () => site.snapshot(agent.id, id),
    readPrimes: (ids: readonly PrimeId[], until?: AbortSignal) => site.readPrimes(ids, until),
    isVerified: site.isVerified,
  };
  if (action.does === "restore") {
    const config = { include: [], exclude: [], databaseDirectory: undefined, workersCount: 0 };
    const { to, overwrite, verify } = action;
    const nothingElse = { deleteExtra: false, deleteFromPartial: false, isDryRun: false };
    return restoreFrom({ config, client }, id, { to, overwrite, verify, paths, json, signal, ...nothingElse });
  }
  const { root: wire, startedMs } = await client.snapshot();
  const root = nodePointerFromWire(wire);
  const reader = new TreeReader({ fetchPrime: (prime) => readOne(site, prime, signal) });
  const path = paths[0] ?? ("/" as ByteString);
  if (action.does === "list") {
    const tree = { id, startedMs, root };
    return printListing(reader, tree, { path, isRecursive: action.isRecursive, json, signal });
  }
  const start = await findExportStart({ tree: reader }, root, namesOfPath(path));
  using ahead = new ReadAhead({ site, tree: reader }, { start, limitBytes: limits.rescueAheadBytes });
  const opened = new OpenedPrimes(ahead, { limitBytes: limits.exportOpenedBytes });
  const source = { tree: reader, openSlice: (slice: ContentSlice) => opened.openSlice(slice) };
  const create = action.format === "tar" ? createTarStream : createZipStream;
  using progress = await createProgress({ title: "Writing", json });
  const stream = create(source, start, { signal });
  const written = await writeArchive(stream, action.file, (doneBytes) => progress.update({ doneBytes }));
  progress.end();
  reportArchive(action, written, json);
}

/** The latest is one that was all elsewhere, where there is one: who restores a site that is gone gets no more of a newer one than parts. */
function chooseWhole(text: string, summaries: readonly SnapshotSummary[], wholeMs: number): SnapshotId {
  const idsOf = (some: readonly SnapshotSummary[]): SnapshotId[] => some.map(({ id }) => parseSnapshotId(id));
  const whole = summaries.filter(({ receivedMs }) => receivedMs <= wholeMs);
  const newest = summaries.at(-1);
  const latest = whole.at(-1);
  if (text !== "latest" || newest === undefined || latest === undefined || latest === newest)
    return chooseSnapshot(text, idsOf(summaries));
  printNote(
    `the newest snapshot, of ${formatTime(newest.receivedMs)}, was not all elsewhere yet when the site was last heard of: ` +
      `this is the one of ${formatTime(latest.receivedMs)}. What there is of the newest: --snapshot ${newest.id}`,
  );
  return parseSnapshotId(latest.id);
}

async function readOne(site: RescuedSite, id: PrimeId, signal: AbortSignal): Promise<Uint8Array> {
  for await (const { stored } of site.readPrimes([id], signal)) return stored;
  throw new CostorError("prime-missing", `prime ${id} is not here`);
}

function chooseAgent(agents: readonly RescuedAgent[], text: string | undefined): RescuedAgent {
  const known = agents.map(({ name, id }) => `${nameOf(name)} (${id.slice(0, 13)})`).join(", ");
  if (text === undefined) {
    if (agents.length === 1) return agents[0]!;
    throw new CostorError("bad-usage", `several machines are here, name one with --agent: ${known}`);
  }
  const exact = agents.filter(({ id, name }) => id === text || name === text);
  const fitting =
    exact.length > 0 ? exact : agents.filter(({ id, hostName }) => id.startsWith(text) || hostName === text);
  if (fitting.length === 1) return fitting[0]!;
  if (fitting.length === 0) throw new CostorError("not-found", `no machine "${text}" is here; there are ${known}`);
  throw new CostorError("bad-usage", `several machines fit "${text}", give the id of one: ${known}`);
}

const nameOf = (name: string): string => displayName(byteStringFromText(name));

function printAgents(agents: readonly RescuedAgent[], json: boolean): void {
  if (json)
    return printJson(agents.map(({ newestMs, ...agent }) => ({ ...agent, newest: new Date(newestMs).toISOString() })));
  printTable(agents, [
    { title: "MACHINE", text: ({ name }) => nameOf(name) },
    { title: "HOST", text: ({ hostName }) => nameOf(hostName) },
    { title: "SNAPSHOTS", align: "right", text: ({ snapshotsCount }) => formatCount(snapshotsCount) },
    { title: "NEWEST", text: ({ newestMs }) => formatTime(newestMs) },
    { title: "ID", text: ({ id }) => id },
  ]);
}

function reportArchive(
  { file }: Extract<RescueAction, { does: "archive" }>,
  written: WrittenArchive,
  json: boolean,
): void {
  // Nothing but the archive goes into the pipe.
  if (file === "-") return;
  if (json) return printJson({ file, ...written });
  printLine(`Wrote ${file}: ${formatCountOf(written.entriesCount, "object")}, ${formatBytes(written.archiveBytes)}.`);
  printLine(`SHA-256 ${written.sha256}`);
}
