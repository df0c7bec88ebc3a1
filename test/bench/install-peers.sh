#!/usr/bin/env bash
# Fetches the programs that the bench measures CoStor against, restic 0.18 and its REST server, into a folder
# (default: peers/ beside package.json). Nothing is installed on the machine: the packages of Debian 13 are
# downloaded by apt with lists of its own and unpacked. Both are static Go binaries, so an older Debian runs them.
# Prints the folder that holds the two binaries. Usage: test/bench/install-peers.sh [FOLDER]
set -euo pipefail

release=trixie
packages=(restic restic-rest-server)
project=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
folder=${1:-$project/peers}

fail() { echo "install-peers: $1" >&2; exit 1; }

# The mirror that this machine's apt already uses, from one-line or deb822 sources.
configured_mirror() {
  sed -nE 's#^(deb[^h]*|URIs: *)(https?://[^ ]+/debian/?)( .*)?$#\2#p' \
    /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | head -n 1 || true
}

if [[ ! -x $folder/bin/restic || ! -x $folder/bin/restic-rest-server ]]; then
  command -v apt-get >/dev/null || fail "needs apt; elsewhere put restic and restic-rest-server 0.18 into $folder/bin"
  mirror=$(configured_mirror)
  [[ -n $mirror ]] || fail "found no Debian mirror in apt's sources"
  scratch=$(mktemp -d)
  trap 'rm -rf "$scratch"' EXIT
  mkdir -p "$scratch/lists/partial" "$scratch/packages" "$folder/bin"
  echo "deb $mirror $release main" > "$scratch/sources.list"
  apt=(apt-get -qq -o Dir::Etc::sourceparts=/dev/null -o "Dir::Etc::sourcelist=$scratch/sources.list"
    -o "Dir::State::lists=$scratch/lists" -o APT::Sandbox::User=root)
  "${apt[@]}" update
  (cd "$scratch/packages" && "${apt[@]}" download "${packages[@]}")
  for package in "$scratch"/packages/*.deb; do dpkg-deb --extract "$package" "$scratch/unpacked"; done
  for package in "${packages[@]}"; do install -m 0755 "$scratch/unpacked/usr/bin/$package" "$folder/bin/"; done
fi

"$folder/bin/restic" version >&2
echo "$folder/bin"
