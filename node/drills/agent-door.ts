/** The site's own API for agents, called by the site itself as an agent calls it: by HTTPS, trusting the site's authority alone. */
import { request as httpsRequest } from "node:https";
import type { SiteIdentity } from "#node/site/identity.ts";
import { certificatePem } from "#node/site/pem.ts";
import { CostorError } from "#protocol/errors.ts";
import { contentTypes } from "#protocol/http.ts";
import { serverNameOf } from "#protocol/server-name.ts";

export interface DoorCall {
  readonly token: string;
  readonly method: "GET" | "POST" | "PUT" | "DELETE";
  readonly path: string;
  readonly json?: unknown;
  readonly octets?: Uint8Array;
}

export interface AgentDoor {
  /** The code of the problem that refused it; undefined when nothing did. Throws `site-unreachable`. */
  call(call: DoorCall): Promise<{ readonly code: string | undefined; readonly json: unknown }>;
}

export interface AgentDoorInit {
  /** Where the site listens; an address that stands for all of them is this machine. */
  readonly host: string;
  readonly port: number;
}

const PATIENCE_MS = 30_000;
const loopbacks: Readonly<Record<string, string>> = { "0.0.0.0": "127.0.0.1", "::": "::1" };

export function openAgentDoor(
  identity: Pick<SiteIdentity, "siteId" | "caCertificate">,
  { host, port }: AgentDoorInit,
): AgentDoor {
  const tls = {
    ...{ host: loopbacks[host] ?? host, port },
    ...{ ca: certificatePem(identity.caCertificate), servername: serverNameOf(identity.siteId) },
  };
  return {
    call: ({ token, method, path, json, octets }) => {
      const body = json === undefined ? octets : Buffer.from(JSON.stringify(json));
      const headers = {
        authorization: `Bearer ${token}`,
        ...(body && {
          "content-type": json === undefined ? contentTypes.octets : contentTypes.json,
          "content-length": body.length,
        }),
      };
      return new Promise((resolve, reject) => {
        const fail = (cause: Error): void =>
          reject(new CostorError("site-unreachable", "this site does not answer itself", { cause }));
        const request = httpsRequest(
          { ...tls, method, path, headers, agent: false, timeout: PATIENCE_MS },
          async (response) => {
            try {
              const pieces: Buffer[] = [];
              for await (const piece of response) pieces.push(piece as Buffer);
              resolve(answerOf(response.statusCode ?? 0, Buffer.concat(pieces)));
            } catch (error) {
              fail(error as Error);
            }
          },
        );
        request.on("timeout", () => request.destroy(new Error("it takes too long")));
        request.on("error", fail);
        request.end(body);
      });
    },
  };
}

function answerOf(status: number, body: Buffer): Awaited<ReturnType<AgentDoor["call"]>> {
  let json: unknown;
  try {
    json = JSON.parse(body.toString());
  } catch {
    // Octets, or nothing.
  }
  if (status < 400) return { code: undefined, json };
  const { code } = (json ?? {}) as { readonly code?: unknown };
  return { code: typeof code === "string" ? code : `${status}`, json };
}
