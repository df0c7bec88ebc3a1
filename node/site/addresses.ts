/** Where a site that listens at some address can be reached from other machines. */
import { hostname, networkInterfaces } from "node:os";
import { isIPv6 } from "node:net";
import { CostorError } from "#protocol/errors.ts";
import { limits } from "#protocol/limits.ts";

export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

/** `HOST:PORT`, `[IPv6]:PORT` or `PORT` alone. Throws `bad-usage`. */
export function parseListenAddress(text: string): ListenAddress {
  const parts = /^(?:(?:\[([0-9a-fA-F:.%\w]+)\]|([^:[\]\s]+)):)?(\d{1,5})$/.exec(text);
  const port = Number(parts?.[3]);
  if (!parts || port > 65_535)
    throw new CostorError("bad-usage", `"${text}" is no address; HOST:PORT is expected, such as 0.0.0.0:8443`);
  return { host: parts[1] ?? parts[2] ?? "0.0.0.0", port };
}

/** `host:port`, an IPv6 address in brackets. */
export const formatAddress = ({ host, port }: ListenAddress): string => `${isIPv6(host) ? `[${host}]` : host}:${port}`;

/** `HOST` or `HOST:PORT`. Throws `bad-usage`. */
function parseAskedAddress(text: string, usualPort: number): ListenAddress {
  const host = isIPv6(text) ? text : /^\[([^\]]+)\]$/.exec(text)?.[1];
  if (host !== undefined && isIPv6(host)) return { host, port: usualPort };
  if (!text.includes(":") && !/^\d+$/.test(text)) return parseListenAddress(`${text}:${usualPort}`);
  const address = parseListenAddress(text);
  if (/^\d+$/.test(text) || isWildcard(address.host) || address.port === 0) {
    throw new CostorError("bad-usage", `"${text}" is no address that a machine could connect to`);
  }
  return address;
}

const isWildcard = (host: string): boolean => host === "0.0.0.0" || host === "::";

/**
 * Addresses for agents, best first: those that were asked for; else where the site listens, which for a wildcard means the
 * machine's own addresses, its name, and loopback when there is nothing else.
 */
export function reachableAddresses(listen: ListenAddress, askedFor: readonly string[]): ListenAddress[] {
  if (askedFor.length > 0) return askedFor.map((text) => parseAskedAddress(text, listen.port));
  if (!isWildcard(listen.host)) return [listen];
  const own = Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .filter(
      (address) =>
        !address.internal &&
        !address.address.startsWith("fe80:") &&
        (address.family === "IPv4" || listen.host === "::"),
    )
    .map((address) => address.address);
  const name = hostname();
  const hosts = [...own, ...(/^[A-Za-z0-9._-]+$/.test(name) && name !== "localhost" ? [name] : []), "127.0.0.1"];
  return hosts.slice(0, limits.enrolTokenAddressesCount).map((host) => ({ host, port: listen.port }));
}
