# SPDX-License-Identifier: Apache-2.0
#
# Debian packages for the build, without a change to the machine's package configuration. Sourced by the scripts
# beside it, after cache.bash.
#
#   install_packages   from the machine's own suites, onto the machine
#   install_backport   from its backports suite, onto the machine
#   unpacked_packages  arm64 packages of its release, unpacked into the cache
#
# The last two read an apt environment of their own in the cache, whose sources are derived from the machine's.

: "${cache_root:?source cache.bash first}"
machine_arch=$(dpkg --print-architecture)

as_root() {
  if ((EUID == 0)); then "$@"; else sudo "$@"; fi
}

# need_root COMMAND...: says what to type when this user cannot become root.
need_root() {
  ((EUID == 0)) || command -v sudo >/dev/null || die "root is needed, and there is no sudo; as root: $*"
}

package_installed() {
  [[ $(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null) == installed ]]
}

# What apt says last.
apt_progress() { tail -n 1 "$cache_root/logs/$1.log" 2>/dev/null | tr -d '\r' | cut -c1-60; }

# alone COMMAND...: one after the other, as apt refuses to be called while another user's call runs.
alone() {
  local lock status=0
  mkdir -p "$cache_root"
  exec {lock}>"$cache_root/apt.lock"
  flock "$lock"
  "$@" {lock}>&- || status=$?
  exec {lock}>&-
  return "$status"
}

# Those of some packages that are not installed, into the array missing.
find_missing() {
  local name
  missing=()
  for name in "$@"; do
    package_installed "$name" || missing+=("$name")
  done
}

# install_packages NAME...: those of them that are missing.
install_packages() {
  local missing
  find_missing "$@"
  ((${#missing[@]} > 0)) || return 0
  need_root apt-get install --no-install-recommends "${missing[@]}"
  alone install_missing "$@"
}

install_missing() {
  find_missing "$@" # again: another run may have installed them
  ((${#missing[@]} > 0)) || return 0
  if [[ -z ${machine_lists_updated:-} ]]; then
    with_log apt-update as_root apt-get update || say "  (package lists not updated; using those there are)"
    export machine_lists_updated=1
  fi
  with_progress "Installing ${missing[*]}" "apt_progress apt-install" \
    with_log apt-install as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y --no-install-recommends "${missing[@]}" ||
    die "these packages could not be installed: ${missing[*]}; check the machine's apt sources and network"
}

# The machine's release (VERSION_CODENAME), as Debian and its derivatives state it.
release_codename() { sed -n 's/^VERSION_CODENAME=//p' /etc/os-release; }

# machine_sources SUITE-PATTERN: "URI SUITE SIGNED-BY-OPTION" of each of the machine's sources for Debian's main
# component whose suite matches.
machine_sources() {
  local pattern=$1 suite uri component origin entry key
  apt-get indextargets --format '$(RELEASE)|$(REPO_URI)|$(COMPONENT)|$(ORIGIN)|$(SOURCESENTRY)' \
    'Created-By: Packages' | sort -u | while IFS='|' read -r suite uri component origin entry; do
    # ORIGIN is known once the machine's lists have been fetched; before that the field name stands there.
    [[ $component == main && $origin == @(Debian*|'$(ORIGIN)') && $suite =~ ^($pattern)$ ]] || continue
    key=$(sed -nE 's/^Signed-By: *(\/.*)$/\1/p; s/.*signed-by=([^] ]+).*/\1/p' "${entry%:*}" | head -n 1)
    [[ -n $key ]] || key=/usr/share/keyrings/debian-archive-keyring.gpg
    printf '%s %s %s\n' "$uri" "$suite" "$([[ -e $key ]] && printf 'signed-by=%s' "$key")"
  done | sort -u
}

# write_private_sources ARCH SUITES FILE: SUITES is "release" (with its updates and security fixes), "backports" or
# "unpacked-backports" (those, and the release's backports).
write_private_sources() {
  local arch=$1 suites=$2 file=$3 codename uri suite signed
  codename=$(release_codename)
  machine_sources "($codename|stable|oldstable)(-updates|-security)?" | while read -r uri suite signed; do
    printf 'deb [arch=%s %s] %s %s main\n' "$arch" "$signed" "$uri" "$suite"
    [[ $suites != *backports || $suite == *-* ]] ||
      printf 'deb [arch=%s %s] %s %s-backports main\n' "$arch" "$signed" "$uri" "$codename"
  done | sort -u >"$file"
  [[ -s $file ]] || die "no Debian source for '$codename' in this machine's apt configuration"
}

# apt_environment ARCH SUITES: sets apt_options for a private environment of that architecture, and private_lists to
# its directory; its package lists are fetched when there are none or they are a week old.
apt_environment() {
  local arch=$1 suites=$2 root
  root=$cache_root/apt/$(release_codename)-$suites-$arch
  private_lists=$root/lists
  apt_options=(
    -o Dir::Etc::SourceList="$root/sources.list" -o Dir::Etc::SourceParts=/dev/null
    -o Dir::Etc::Preferences=/dev/null -o Dir::Etc::PreferencesParts=/dev/null
    -o Dir::State::Lists="$root/lists" -o Dir::Cache="$root/cache"
    -o Acquire::Languages=none -o Acquire::GzipIndexes=true -o APT::Sandbox::User="$(id -un)"
  )
  if [[ $suites != backports ]]; then # not for this machine's dpkg: nothing is installed, nothing is foreign
    apt_options+=(-o Dir::State="$root/state" -o Dir::State::Lists="$root/lists"
      -o Dir::State::Status="$root/status" -o APT::Architecture="$arch" -o APT::Architectures="$arch")
  fi
  mkdir -p "$root"/{lists,state,cache}/partial "$root/cache/archives/partial"
  : >>"$root/status"
  has_fresh_lists "$root" || alone fetch_lists "$root" "$arch" "$suites"
}

has_fresh_lists() { [[ -n $(find "$1/fetched" -mtime -7 2>/dev/null) ]]; }

fetch_lists() {
  local root=$1 arch=$2 suites=$3
  ! has_fresh_lists "$root" || return 0 # another run has fetched them
  say "Fetching the package lists of $(release_codename) ($suites, $arch)"
  write_private_sources "$arch" "$suites" "$root/sources.list"
  if with_log apt-lists apt-get "${apt_options[@]}" update; then
    touch "$root/fetched"
  elif [[ -e $root/fetched ]]; then
    say "  (not updated; using those there are)"
  else
    die "the package lists could not be fetched; check the network and the machine's apt sources"
  fi
}

# install_backport NAME: from the backports of the machine's release, for this machine.
install_backport() {
  local apt_options private_lists
  apt_environment "$machine_arch" backports
  need_root apt-get install "$1", from "$(release_codename)-backports"
  with_progress "Installing $1 from $(release_codename)-backports" "apt_progress apt-backport" \
    alone with_log apt-backport as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get "${apt_options[@]}" -o Dir::Cache::archives=/var/cache/apt/archives -o APT::Sandbox::User=root \
    install -y --no-install-recommends -t "$(release_codename)-backports" "$1" ||
    die "$1 could not be installed from $(release_codename)-backports"
}

# unpacked_packages KIND closure|backport|exact NAME...: prints a cache directory with these arm64 packages unpacked in
# it, "closure": with everything they depend on, "backport": so, and from the release's backports where they have it.
# The entry is named by the packages' names and versions.
unpacked_packages() {
  local kind=$1 scope=$2 suites=release apt_options private_lists resolved
  shift 2
  [[ $scope != backport ]] || suites=unpacked-backports
  apt_environment arm64 "$suites"
  [[ $scope != backport ]] || apt_options+=(-t "$(release_codename)-backports")
  resolved=$private_lists/../resolved-$(cache_key "$scope" "$@")
  if [[ ! -s $resolved || $resolved -ot $private_lists/../fetched ]]; then
    package_uris "$scope" "$@" >"$resolved.$BASHPID" || die "packages not found for arm64: $*"
    mv "$resolved.$BASHPID" "$resolved"
  fi
  cache_entry "$kind" "$(cache_key "$(cut -d' ' -f2 "$resolved")")" unpack_packages "$scope" "$@"
}

package_uris() {
  local scope=$1
  shift
  if [[ $scope != exact ]]; then
    apt-get "${apt_options[@]}" install -qq --no-install-recommends --print-uris "$@"
  else
    apt-get "${apt_options[@]}" download -qq --print-uris "$@"
  fi
}

fetch_packages() {
  local debs=$1 scope=$2
  shift 2
  if [[ $scope != exact ]]; then
    apt-get "${apt_options[@]}" -o Dir::Cache::archives="$debs" install -y \
      --no-install-recommends --download-only "$@"
  else
    (cd "$debs" && apt-get "${apt_options[@]}" download "$@")
  fi
}

unpack_packages() {
  local into=$1 scope=$2 debs deb
  shift 2
  debs=$into/.debs
  mkdir -p "$debs/partial"
  with_progress "Fetching and unpacking for arm64: $*" "apt_progress apt-fetch" \
    with_log apt-fetch fetch_packages "$debs" "$scope" "$@"
  for deb in "$debs"/*.deb; do
    dpkg -x "$deb" "$into"
  done
  rm -rf "$debs"
}
