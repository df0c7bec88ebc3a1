# Installs the dependencies into the clone in the current directory. To be sourced; POSIX sh.
#
# npm works in a directory beside, and a finished `node_modules` moves into place by one rename: a half-installed one is
# never seen, whatever kills the installation. The lockfile's hashes decide what is installed, so npm's cache may serve.

# npm writes its copy of the lockfile last, so that it tells when the installation ended.
is_installed() {
  [ node_modules/.package-lock.json -nt package-lock.json ]
}

install_if_needed() {
  if is_installed; then return; fi
  mkdir -p .costor
  # The lock goes with its process. Where there is no flock (a Mac), two at once both install, and the first one stays.
  exec 9>.costor/install.lock
  if command -v flock >/dev/null; then flock 9; fi
  if ! is_installed; then install_now; fi
  exec 9>&-
}

install_now() {
  echo "costor: installing dependencies (once; this takes a moment) …" >&2
  rm -rf .costor/install.*.d
  stage=.costor/install.$$.d
  mkdir "$stage"
  cp package.json package-lock.json .npmrc "$stage/"
  # The npm that runs this script installs too.
  if [ -n "${npm_execpath:-}" ]; then set -- "${npm_node_execpath:-node}" "$npm_execpath"; else set -- npm; fi
  # In the background, so that a signal ends it at once and not after the download.
  (
    cd "$stage"
    # What npm told this script about its directory does not hold for that one.
    unset npm_config_local_prefix npm_config_prefix npm_package_json INIT_CWD
    exec "$@" ci --ignore-scripts --include=dev --include=optional --prefer-offline --no-audit --no-fund --loglevel=error >&2
  ) 9>&- &
  installer=$!
  trap 'kill "$installer" 2>/dev/null; wait "$installer"; rm -rf "$stage"; exit 130' INT TERM HUP
  if ! wait "$installer"; then
    rm -rf "$stage"
    echo "costor: npm could not install the dependencies; it says above why. Check the network and start again." >&2
    exit 1
  fi
  trap - INT TERM HUP
  touch "$stage/node_modules/.package-lock.json"
  if [ -e node_modules ]; then mv node_modules "$stage/old"; fi
  mv "$stage/node_modules" node_modules
  rm -rf "$stage"
}
