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

ELSEWHERE="without root or Linux, try the cache itself: rauthy-agent dev --nodes 3"

require_linux_root() {
  if [ "$(uname -s)" != Linux ] || [ "$(id -u)" != 0 ]; then
    die "a real cluster needs Linux and root; $ELSEWHERE"
  fi
}

# Root's PATH often lacks the folders of Go (sudo) and of system programs (su).
find_go() {
  local d
  command -v go >/dev/null && return
  for d in /usr/local/go/bin /usr/lib/go-1.2[4-9]/bin; do
    if [ -x "$d/go" ]; then PATH=$d:$PATH; fi
  done
}
case ":$PATH:" in *:/usr/sbin:*) ;; *) PATH=$PATH:/usr/sbin:/sbin ;; esac
find_go

# The folder of the CNI plugins: Debian's, or the one that all others use.
cni_dir() {
  local d
  for d in /usr/lib/cni /opt/cni/bin; do
    if [ -x "$d/ptp" ] && [ -x "$d/host-local" ] && [ -x "$d/portmap" ]; then
      echo "$d"
      return
    fi
  done
  return 1
}

need_go() {
  go version >/dev/null || die "there is no Go that works; run $CLUSTER_DIR/prereqs"
}

# content_key FOLDER PATTERN...: a hash of what a build's result depends on.
content_key() {
  local dir=$1
  shift
  (
    cd "$dir" || exit
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
