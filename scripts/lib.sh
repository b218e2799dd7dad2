# Shared by the scripts of this folder: messages with the elapsed time, places,
# and running long steps so that somebody who waits sees them move.
# shellcheck shell=bash disable=SC2034 # for the scripts that read this

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$ROOT" || exit 1
CLUSTER=$ROOT/tests/cluster
CACHE=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/rauthy-operator
STATES=${XDG_STATE_HOME:-${HOME:-/root}/.local/state}/rauthy-operator
LOGS=$ROOT/target/log
NAME=${0##*/}
mkdir -p "$LOGS"

case ":$PATH:" in *:/usr/sbin:*) ;; *) PATH=$PATH:/usr/sbin:/sbin ;; esac
if [ -d "${HOME:-/root}/.cargo/bin" ]; then PATH=$PATH:${HOME:-/root}/.cargo/bin; fi
export PATH

# .cargo/config.toml names x86_64; another machine builds for itself.
TRIPLE=$(uname -m)-unknown-linux-gnu
if [ "$TRIPLE" != x86_64-unknown-linux-gnu ]; then export CARGO_BUILD_TARGET=$TRIPLE; fi
export CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-auto}
PROFILE=${PROFILE:-dev}
case $PROFILE in
  dev) BINARIES=$ROOT/target/$TRIPLE/debug ;;
  release) BINARIES=$ROOT/target/$TRIPLE/release ;;
  *) echo "PROFILE=$PROFILE: dev and release are allowed" >&2 && exit 2 ;;
esac

# What the tests are made of. The bench and the mutation run have a good deal more to compile, and build it when they are called.
OF_TESTS=(--workspace --exclude rauthy-bench --exclude rauthy-mutants)

say() { printf '[%s %4ds] %s\n' "$NAME" "$SECONDS" "$*" >&2; }
die() {
  printf '%s: %s\n' "$NAME" "$*" >&2
  exit 1
}

WITHOUT_KUBERNETES="cargo run -p rauthy-agent -- dev --nodes 3"

# The processes that run in the background, each a session of its own: an
# interruption has to end them with all that they started.
BACKGROUND=()

# background LOG CMD...: sets JOB to the process.
background() {
  local log=$1
  shift
  setsid "$@" </dev/null >"$log" 2>&1 &
  JOB=$!
  BACKGROUND+=("$JOB")
}

end_background() {
  local pid
  for pid in ${BACKGROUND[@]+"${BACKGROUND[@]}"}; do
    kill -TERM -- "-$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  done
  BACKGROUND=()
}

# follow JOB LOG WHAT: waits for a background process, and shows that it is at
# work: on a terminal by one line that is written anew, else by a line now and then.
follow() {
  local pid=$1 log=$2 what=$3 start=$SECONDS last=$SECONDS code=0 line
  while kill -0 "$pid" 2>/dev/null; do
    if [ -t 2 ]; then
      line=$(tail -n 1 "$log" 2>/dev/null | tr -d '\r\033' | cut -c1-60)
      printf '\r\033[K[%s %4ds] %s: %s' "$NAME" "$SECONDS" "$what" "$line" >&2
    elif [ $((SECONDS - last)) -ge 30 ]; then
      last=$SECONDS
      say "still $what, $((SECONDS - start)) s: $(tail -n 1 "$log" 2>/dev/null | cut -c1-80)"
    fi
    sleep 0.3
  done
  [ ! -t 2 ] || printf '\r\033[K' >&2
  wait "$pid" || code=$?
  if [ $code != 0 ]; then
    tail -n 40 "$log" >&2
    say "$what failed (all of it: $log)"
    return 1
  fi
  say "$what: done in $((SECONDS - start)) s"
}

# step LOG-NAME WHAT CMD...
step() {
  local log=$LOGS/$1.log what=$2
  shift 2
  background "$log" "$@"
  follow "$JOB" "$log" "$what"
}

# programs PACKAGE: the package's test programs that scripts/build built, each as
# "FOLDER NAME PROGRAM".
programs() {
  # A package in a folder of its own name has only its version behind the #.
  sed -n 's/.*"package_id":"[^"]*[#\/]'"$1"'[@#].*"manifest_path":"\([^"]*\)\/Cargo.toml".*"name":"\([^"]*\)".*"profile":{[^}]*"test":true}.*"executable":"\([^"]*\)".*/\1 \2 \3/p' \
    "$LOGS/artifacts.json"
}

# run_tests PACKAGE...: all of them, and fails when one did, or a package has none.
# TEST_FLAGS: for each of the programs.
run_tests() {
  local package folder name program code=0
  for package in "$@"; do
    [ -n "$(programs "$package")" ] || { echo "no test program of $package is built" && code=1; }
    while read -r folder name program; do
      echo "--- $package, $name"
      # shellcheck disable=SC2086 # words
      (cd "$folder" && CARGO_MANIFEST_DIR=$folder "$program" ${TEST_FLAGS:-} </dev/null) || code=1
    done < <(programs "$package")
  done
  return $code
}

# The folder with kubectl and helm of the project's own Kubernetes; built if it is not there.
own_tools() {
  local dir
  dir=$("$CLUSTER/build") && echo "$dir/cli"
}

# Debian or Ubuntu, as root; elsewhere the command to type is printed. Nothing is removed.
install_packages() { # WHAT PACKAGE...
  local what=$1 command
  shift
  command="apt-get install --no-install-recommends --no-remove $*"
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then die "$what is missing; to install it: $command"; fi
  say "installing $*"
  for try in 1 2; do
    [ $try = 1 ] || apt-get update -q >&2
    if DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends --no-remove "$@" >&2; then return; fi
  done
  die "that failed; by hand: apt-get update && $command"
}
