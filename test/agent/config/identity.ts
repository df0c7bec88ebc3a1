/** An agent's identity and configuration for tests; the certificate is a real CA, made once. */
import { makeCa } from "#node/site/certificates.ts";
import { certificatePem } from "#node/site/pem.ts";
import type { NewConfig } from "#agent/config/config-template.ts";
import { byteStringFromText } from "#protocol/byte-string.ts";
import { parseAgentId, parseSiteId } from "#protocol/ids.ts";

let made: Promise<string> | undefined;

const testCaPem = (): Promise<string> =>
  (made ??= makeCa("Test CA", Date.now()).then((ca) => certificatePem(ca.certificate)));

export async function newConfigForTest(changes: Partial<NewConfig> = {}): Promise<NewConfig> {
  return {
    siteName: "Test school",
    site: {
      addresses: [
        { host: "site.test", port: 8443 },
        { host: "::1", port: 8443 },
      ],
      siteId: parseSiteId("0123456789abcdef".repeat(4)),
      caCertificate: await testCaPem(),
    },
    agent: {
      id: parseAgentId("01890a5d-ac96-774b-bcce-b302099a8057"),
      token: "secret token of the agent",
      scopeSecret: Buffer.alloc(32, 7),
    },
    roots: [byteStringFromText("/srv/Schüler")],
    databaseDirectory: "/var/lib/costor/test",
    ...changes,
  };
}
