/** An HTTPS server with a site's certificates, whose answers a test writes: for what a real site never does on purpose. */
import { X509Certificate } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import type { SiteSettings } from "#agent/config/agent-config.ts";
import { makeCa, makeLeaf } from "#node/site/certificates.ts";
import { certificatePem, keyPem } from "#node/site/pem.ts";
import { parseSiteId, type SiteId } from "#protocol/ids.ts";
import { serverNameOf } from "#protocol/server-name.ts";

export interface AskedOf {
  readonly method: string;
  readonly path: string;
  readonly authorization: string | undefined;
  readonly body: Buffer;
}
export type Answerer = (asked: AskedOf, response: ServerResponse, request: IncomingMessage) => unknown;

export const testSiteId: SiteId = parseSiteId("0123456789abcdef".repeat(4));
const authorities = new Map<string, ReturnType<typeof makeCa>>();

/** The CA called `name`; the same for the whole process. */
function testAuthority(name: string): ReturnType<typeof makeCa> {
  let authority = authorities.get(name);
  if (!authority) authorities.set(name, (authority = makeCa(name, Date.now())));
  return authority;
}

export interface ScriptedSite extends AsyncDisposable {
  readonly settings: SiteSettings;
  readonly caHash: Buffer;
  readonly asked: AskedOf[];
  readonly connectionsCount: () => number;
  /** Application bytes that any client sent. */
  readonly receivedBytes: () => number;
  cutConnections(): void;
}

export async function startScriptedSite(
  answer: Answerer,
  options: { authority?: string; serverName?: string; hasExpired?: boolean; answersUnread?: boolean } = {},
): Promise<ScriptedSite> {
  const ca = await testAuthority(options.authority ?? "Scripted CA");
  const names = { dns: [options.serverName ?? serverNameOf(testSiteId)], ip: [] };
  // A leaf made long ago has expired by now.
  const leaf = await makeLeaf(ca, names, Date.now() - (options.hasExpired ? 400 * 24 * 3_600_000 : 0));
  const asked: AskedOf[] = [];
  let connectionsCount = 0;
  let receivedBytes = 0;
  const server = createServer({
    key: keyPem(leaf.key),
    cert: certificatePem(leaf.certificate) + certificatePem(ca.certificate),
    minVersion: "TLSv1.3",
  });
  server.on("secureConnection", () => connectionsCount++);
  server.on("request", async (request, response) => {
    const pieces: Buffer[] = [];
    receivedBytes++;
    request.on("error", () => undefined);
    try {
      if (!options.answersUnread) for await (const piece of request as AsyncIterable<Buffer>) pieces.push(piece);
    } catch {
      return;
    }
    const body = Buffer.concat(pieces);
    receivedBytes += body.length;
    const one: AskedOf = {
      method: request.method!,
      path: request.url!,
      authorization: request.headers.authorization,
      body,
    };
    asked.push(one);
    await answer(one, response, request);
  });
  server.on("tlsClientError", () => undefined);
  const { promise, resolve } = Promise.withResolvers<void>();
  server.listen(0, "127.0.0.1", resolve);
  await promise;
  const { port } = server.address() as AddressInfo;
  const cutConnections = (): void => server.closeAllConnections();
  return {
    settings: {
      addresses: [{ host: "127.0.0.1", port }],
      siteId: testSiteId,
      caCertificate: certificatePem(ca.certificate),
    },
    caHash: Buffer.from(new X509Certificate(ca.certificate).fingerprint256.replaceAll(":", ""), "hex"),
    asked,
    connectionsCount: () => connectionsCount,
    receivedBytes: () => receivedBytes,
    cutConnections,
    async [Symbol.asyncDispose]() {
      cutConnections();
      await new Promise((done) => server.close(done));
    },
  };
}

export function sendJson(
  response: ServerResponse,
  value: unknown,
  status = 200,
  headers: Record<string, string> = {},
): void {
  const isProblem = status >= 400;
  response.writeHead(status, {
    "content-type": isProblem ? "application/problem+json" : "application/json",
    ...headers,
  });
  response.end(JSON.stringify(value));
}
