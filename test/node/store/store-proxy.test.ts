import { StoreProxy } from "#node/store/store-proxy.ts";
import { testCollectedPrimes } from "#test/conformance/collected-primes.ts";
import { testKeptPrimes } from "#test/conformance/kept-primes.ts";
import { testPrimeStore } from "#test/conformance/prime-store.ts";
import { suite } from "#test/support/suite.ts";

const test = suite("store behind its worker thread");
testPrimeStore(test, (directory) => StoreProxy.open({ directory }));
testKeptPrimes(test, (directory) => StoreProxy.open({ directory }));
testCollectedPrimes(test, (directory) => StoreProxy.open({ directory }));
test.run();
