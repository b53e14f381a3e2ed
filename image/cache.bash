# SPDX-License-Identifier: Apache-2.0
#
# The build cache: directories keyed by what they were made from, under ${XDG_CACHE_HOME:-~/.cache}/microvm.
# Sourced by the scripts beside it. Each entry appears complete or not at all, so the cache can be deleted, in
# whole or in part, at any time; the next run makes again what it misses.

shopt -s inherit_errexit
cache_root=${XDG_CACHE_HOME:-$HOME/.cache}/microvm

# What a step says goes to stderr: stdout carries the path that the calling script wants.
say() { printf '%s\n' "$*" >&2; }
die() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  exit 1
}

# cache_key WORD|FILE...: a short name for these contents: a file counts by its bytes, any other word as it is.
cache_key() {
  local item
  for item in "$@"; do
    if [[ -f $item ]]; then sha256sum <"$item"; else printf '%s\n' "$item"; fi
  done | sha256sum | cut -c1-16
}

# cache_entry KIND KEY FUNCTION [ARGUMENT...]: prints the directory of this entry. If there is none, FUNCTION is
# called with an empty directory to fill (and the arguments); two runs never make the same kind at once. The lock
# belongs to an open file, so it goes with the process however that ends. Not to be called where the shell ignores
# failures (in a condition, or before ||): FUNCTION relies on "set -e".
cache_entry() {
  local kind=$1 entry=$cache_root/$1/$2 make=$3 lock
  shift 3
  if [[ ! -d $entry ]]; then
    mkdir -p "$cache_root/$kind"
    exec {lock}>"$cache_root/$kind.lock"
    flock --nonblock "$lock" || {
      say "$kind: another run is making it; waiting"
      flock "$lock"
    }
    [[ -d $entry ]] || make_entry "$kind" "$entry" "$lock" "$make" "$@"
    exec {lock}>&-
  fi
  touch -c "$entry"
  printf '%s\n' "$entry"
}

make_entry() {
  local kind=$1 entry=$2 lock=$3 make=$4 partial status
  shift 4
  rm -rf "$cache_root/$kind"/partial.* # what a run that was killed left; the lock says that it is gone
  partial=$(mktemp -d "$cache_root/$kind/partial.XXXXXX")
  chmod 755 "$partial"
  # Heard when the subshell below has ended: whoever signals this shell signals what it has started, too.
  trap 'rm -rf "$partial"; exit 130' INT
  trap 'rm -rf "$partial"; exit 143' TERM
  set +e
  (
    exec {lock}>&- # nothing that is left behind can hold the lock
    set -e
    "$make" "$partial" "$@"
  ) >&2
  status=$?
  set -e
  trap - INT TERM
  if ((status != 0)); then
    rm -rf "$partial"
    die "$kind: not made (see above)"
  fi
  mv -T "$partial" "$entry" || die "$kind: $partial could not become $entry"
  cache_forget_old "$kind" "$entry"
}

# Keeps the newest entries of a kind; older ones go once they have been left alone for two hours.
cache_forget_old() {
  local kind=$1 newest=$2 old
  while IFS= read -r old; do
    [[ $old == "$newest" ]] || rm -rf "$old"
  done < <(find "$cache_root/$kind" -mindepth 1 -maxdepth 1 -type d -mmin +120 -printf '%T@ %p\n' |
    sort -rn | tail -n +5 | cut -d' ' -f2-)
}

# with_log NAME COMMAND...: runs a command with its output in the cache's log of that name; when it fails, shows
# the end of the log and says where the rest is.
with_log() {
  local log=$cache_root/logs/$1.log
  shift
  mkdir -p "${log%/*}"
  "$@" >"$log" 2>&1 </dev/null || {
    say "--- failed: $*"
    tail -n 25 "$log" >&2
    say "--- the whole log: $log"
    return 1
  }
}

# with_progress WHAT COUNTER COMMAND...: runs a command and says every so often how far it is: COUNTER is a shell
# command that prints the progress. One line, rewritten, on a terminal; otherwise a line every 15 seconds.
with_progress() {
  local what=$1 counter=$2 start=$SECONDS watcher status=0
  shift 2
  say "$what"
  watch_progress "$counter" &
  watcher=$!
  "$@" || status=$?
  kill "$watcher" 2>/dev/null || true
  wait "$watcher" 2>/dev/null || true
  [[ ! -t 2 ]] || printf '\r\033[K' >&2
  ((status != 0)) || say "  done, $((SECONDS - start)) s"
  return "$status"
}

watch_progress() {
  local counter=$1 start=$SECONDS pause=15 sleeper
  [[ ! -t 2 ]] || pause=1
  trap 'kill "$sleeper"; exit 0' TERM
  while kill -0 $$ 2>/dev/null; do
    sleep "$pause" &
    sleeper=$!
    wait "$sleeper"
    if [[ -t 2 ]]; then
      printf '\r  %s, %d s \033[K' "$(eval "$counter")" $((SECONDS - start)) >&2
    else
      say "  $(eval "$counter"), $((SECONDS - start)) s"
    fi
  done
}

# make_unity_relative BUILD: Meson names joined sources by their absolute paths, with which the compiler's cache serves
# no other checkout.
make_unity_relative() {
  local build=$1 file
  with_log "configure-${build##*/}" ninja -C "$build" build.ninja || die "$build cannot be configured again"
  while IFS= read -r -d '' file; do
    sed -i "s|<$build/|<|" "$file"
  done < <(find "$build" -name '*-unity*.cpp' -exec grep -lZF "<$build/" {} +)
}
