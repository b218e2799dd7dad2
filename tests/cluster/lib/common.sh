# Shared by the scripts of this folder: messages, the cache, the tools build.
# shellcheck shell=bash

CLUSTER_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
CACHE=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/rauthy-operator/cluster

say() { printf '[cluster %4ds] %s\n' "$SECONDS" "$*" >&2; }
die() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  exit 1
}
misuse() { # wrong arguments, which is not the same as a failure
  printf '%s: %s (see --help)\n' "${0##*/}" "$*" >&2
  exit 2
}

# Prints the comment at the head of the calling script: its manual.
manual() { sed -n '2,/^[^#]/{/^#/!d;s/^# \{0,1\}//;p;}' "$0"; }

need_go() {
  command -v go >/dev/null || die "Go is missing; run $CLUSTER_DIR/prereqs"
}

# content_key FOLDER PATTERN...: a hash of what a build's result depends on.
content_key() {
  local dir=$1
  shift
  (
    cd "$dir"
    {
      go version
      for f in $(find . -type f -print | LC_ALL=C sort); do
        for p in "$@"; do
          # shellcheck disable=SC2254 # patterns are meant here
          case ${f##*/} in $p) echo "$f" && cat "$f" ;; esac
        done
      done
    } | sha256sum | cut -c1-64
  )
}

# The folder with mkimage and pause, built when it is not there. Renamed into
# place when it is whole, so that nobody meets half of it, two builders included.
tools() {
  need_go
  local dir tmp
  dir=$CACHE/tools-$(content_key "$CLUSTER_DIR/tools" go.mod '*.go')
  if [ ! -x "$dir/mkimage" ]; then
    mkdir -p "$CACHE"
    tmp=$(mktemp -d "$CACHE/.tmp.XXXXXX")
    (
      trap 'rm -rf "$tmp"' EXIT
      cd "$CLUSTER_DIR/tools"
      GOFLAGS='' GOWORK=off CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags '-s -w' -o "$tmp/" ./... >&2
      chmod 755 "$tmp"
      mv -T "$tmp" "$dir" 2>/dev/null || [ -x "$dir/mkimage" ]
    ) || return 1
  fi
  echo "$dir"
}
