/** The store in memory keeps primes for sites as the real one does: what stands on either is tested with it. */
import { testCollectedPrimes } from "#test/conformance/collected-primes.ts";
import { testKeptPrimes } from "#test/conformance/kept-primes.ts";
import { createMemoryStore } from "./memory-store.ts";
import { suite } from "./suite.ts";

const test = suite("store in memory");
testKeptPrimes(test, async () => createMemoryStore(), { isDurable: false });
testCollectedPrimes(test, async () => createMemoryStore());
test.run();
