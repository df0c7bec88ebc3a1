/** Where a site listens. */
export interface SiteAddress {
  /** A host name or an IP address, IPv6 without brackets. */
  readonly host: string;
  readonly port: number;
}

const ADDRESS = /^(?:https:\/\/)?(?:\[([0-9A-Fa-f:.]+(?:%[\w.-]+)?)\]|([A-Za-z0-9_.-]+)):(\d{1,5})\/?$/;

/** The address in `host:port`, `[v6]:port`, with or without `https://`; undefined when it is none. */
export function parseSiteAddress(text: string): SiteAddress | undefined {
  const match = ADDRESS.exec(text);
  const port = Number(match?.[3]);
  if (!match || port < 1 || port > 65535) return undefined;
  return { host: (match[1] ?? match[2])!, port };
}

export const formatSiteAddress = (address: SiteAddress): string =>
  `${address.host.includes(":") ? `[${address.host}]` : address.host}:${address.port}`;
