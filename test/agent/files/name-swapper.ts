/**
 * The attacker of the racing tests: a process that exchanges pairs of names as fast as it can, until its standard input
 * closes. Arguments: pairs of paths. Prints "ready", and at its end how many exchanges it made.
 */
import koffi from "koffi";

const exchange = koffi
  .load("libc.so.6")
  .func("int renameat2(int, const uint8_t *from, int, const uint8_t *to, unsigned int flags)");
const AT_FDCWD = -100;
const RENAME_EXCHANGE = 2;

const paths = process.argv.slice(2).map((path) => Buffer.from(`${path}\0`));
let exchangesCount = 0;
let isStopped = false;
process.stdin.on("end", () => {
  isStopped = true;
});
process.stdin.resume();
process.stdout.write("ready\n");

function run(): void {
  if (isStopped) {
    process.stdout.write(`${exchangesCount}\n`);
    return;
  }
  for (let round = 0; round < 200; round++) {
    for (let pair = 0; pair + 1 < paths.length; pair += 2) {
      if (exchange(AT_FDCWD, paths[pair], AT_FDCWD, paths[pair + 1], RENAME_EXCHANGE) === 0) exchangesCount++;
    }
  }
  setImmediate(run);
}

run();
