#!/usr/bin/env bash
# Run a traced program and look at its waves in GTKWave: `make wave`. See --help and docs/waves.md.
set -euo pipefail

kRoot=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
readonly kRoot

usage() {
  cat <<'HELP'
usage: scripts/wave.sh PROGRAM FILE.fst [OPTION...]   run PROGRAM --out FILE.fst OPTION..., then show FILE.fst
       scripts/wave.sh --view FILE.fst [OPTION...]    show a trace that is there
       scripts/wave.sh --check PROGRAM FILE.fst       run the program; check that every signal of the view is in its
                                                      trace, that save file and filters are up to date; no GTKWave

Showing writes FILE.gtkw beside the trace (signals in groups, names for codes, numbers for floats, a marker where an
instruction retires) and opens GTKWave, or where there is no display prints the command that does. OPTIONs of --view
are those of scripts/waves/save_file.py: --from TIME, --to TIME, --open GROUP.
HELP
}

say() { echo "wave.sh: $*" >&2; }
die() { say "$@"; exit 1; }

show() {
  local fst=$1 save=${1%.fst}.gtkw
  shift
  [[ -f $fst ]] || die "$fst: no such file"
  type gtkwave fst2vcd >/dev/null 2>&1 ||
    die "gtkwave is not installed; scripts/setup.sh --no-data wave installs it. The waves are in $fst"
  python3 "$kRoot/scripts/waves/save_file.py" "$fst" --out "$save" "$@"
  local command messages
  command="gtkwave $(printf '%q' "$(realpath "$fst")") $(printf '%q' "$(realpath "$save")")"
  if [[ -z ${DISPLAY:-}${WAYLAND_DISPLAY:-} ]]; then
    echo "no display here; the waves are in $fst. To look at them:"
    echo "  $command"
    return
  fi
  echo "$command"
  # GTKWave exits with 0 where it can't open the display: only its message tells.
  messages=$(gtkwave "$fst" "$save" 2>&1 >/dev/null) || die "gtkwave failed: $messages"
  [[ $messages != *"Could not initialize GTK"* ]] ||
    die "the display ${DISPLAY:-$WAYLAND_DISPLAY} can't be opened; the waves are in $fst"
}

# The program as a path that can be run, wherever it lies.
run() {
  local program=$1 fst=$2
  shift 2
  [[ -x $program && -f $program ]] || die "$program: no program there"
  mkdir -p "$(dirname "$fst")"
  "$(realpath "$program")" --out "$fst" "$@"
}

main() {
  case ${1:-} in
    --help | -h) usage ;;
    --view)
      (($# >= 2)) || { usage >&2; exit 2; }
      shift
      show "$@"
      ;;
    --check)
      (($# == 3)) || { usage >&2; exit 2; }
      run "$2" "$3"
      python3 "$kRoot/scripts/waves/make_filters.py" --check
      python3 "$kRoot/scripts/waves/float_filter.py" --self-test
      command -v fst2vcd >/dev/null || die "fst2vcd (Debian package gtkwave) is not installed"
      python3 "$kRoot/scripts/waves/save_file.py" "$3" --check
      ;;
    -*)
      say "unknown option $1 (--help lists them)"
      exit 2
      ;;
    *)
      (($# >= 2)) || { usage >&2; exit 2; }
      run "$@"
      show "$2"
      ;;
  esac
}

main "$@"
