/** Where a site listens, and what agents are told. */
import assert from "node:assert/strict";
import { formatAddress, parseListenAddress, reachableAddresses } from "#node/site/addresses.ts";
import { isCostorError } from "#protocol/errors.ts";
import { formatEnrolToken } from "#protocol/enrol-token.ts";
import { parseSiteId } from "#protocol/ids.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("addresses of a site");
const isUsage = (error: unknown) => isCostorError(error, "bad-usage");

test("a listening address is HOST:PORT, [IPv6]:PORT or PORT, and comes back as it was written", () => {
  for (const text of ["127.0.0.1:8443", "[::1]:8443", "backup.example:1", "localhost:0"]) {
    assert.equal(formatAddress(parseListenAddress(text)), text);
  }
  assert.equal(formatAddress(parseListenAddress("8443")), "0.0.0.0:8443");
  for (const text of ["", "x", "x:", ":1", "a b:1", "::1:5", "1.2.3.4:70000", "h:1:2", "http://h:1"]) {
    assert.throws(() => parseListenAddress(text), isUsage, text);
  }
});

test("agents are told what was asked for, with the site's port where none was", () => {
  const listen = { host: "0.0.0.0", port: 8443 };
  const asked = ["backup.example", "backup.example:443", "10.0.0.1", "::1", "[::1]", "[::1]:443"];
  assert.deepEqual(reachableAddresses(listen, asked).map(formatAddress), [
    "backup.example:8443",
    "backup.example:443",
    "10.0.0.1:8443",
    "[::1]:8443",
    "[::1]:8443",
    "[::1]:443",
  ]);
  for (const text of ["443", "0.0.0.0:443", "h:0", "a b", "h:x"]) {
    assert.throws(() => reachableAddresses(listen, [text]), isUsage, text);
  }
});

test("a site on every address tells addresses that a token can carry", () => {
  for (const host of ["0.0.0.0", "::"]) {
    const addresses = reachableAddresses({ host, port: 8443 }, []).map(formatAddress);
    assert.equal(addresses.includes("0.0.0.0:8443") || addresses.includes("[::]:8443"), false);
    const siteId = parseSiteId("00".repeat(32));
    assert.doesNotThrow(() =>
      formatEnrolToken({ addresses, siteId, caHash: Buffer.alloc(32), secret: Buffer.alloc(16) }),
    );
  }
  assert.deepEqual(reachableAddresses({ host: "10.1.1.1", port: 5 }, []), [{ host: "10.1.1.1", port: 5 }]);
});

test.run();
