#!/usr/bin/env bash
# Lint: Verilator -Wall on the core of every configuration, yosys reads every RTL file, and the house rules
# that neither tool checks. Prints nothing but failures and one line at the end. See --help.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if [[ ${1:-} == --help ]]; then
  echo "usage: scripts/lint.sh [config...]     (default: nano tiny small full nanopair)"
  echo "Lints the RTL with Verilator (-Wall, waivers in scripts/lint.vlt only) and yosys, and checks house rules."
  exit 0
fi
configs=("$@")
[[ $# -gt 0 ]] || configs=(nano tiny small full nanopair)
declare -A rows=([nano]=8 [tiny]=16 [small]=32 [full]=128 [nanopair]=8) pairs=([nanopair]=1)
packages="rtl/isa/dither_pkg.sv rtl/tensor/array_pkg.sv rtl/fp/fp_pkg.sv rtl/rounder/rounder_pkg.sv rtl/stream/lane_seed_pkg.sv rtl/stream/stream_pkg.sv rtl/vector/vector_pkg.sv rtl/scalar/exp2_pkg.sv rtl/scalar/func_pkg.sv"
dirs=()
for d in rtl/*/; do dirs+=(-y "${d%/}"); done
failed=0
fail() {
  echo "lint: $*" >&2
  failed=1
}

for c in "${configs[@]}"; do
  [[ -n ${rows[$c]:-} ]] || { echo "lint: no configuration '$c': nano tiny small full nanopair" >&2; exit 2; }
  # shellcheck disable=SC2086
  verilator --lint-only -Wall --unroll-count 256 -Irtl/common "${dirs[@]}" scripts/lint.vlt $packages rtl/core/dither_core.sv \
    --top-module dither_core "-GRows=${rows[$c]}" "-GPairs=1'b${pairs[$c]:-0}" || fail "Verilator, configuration $c"
done

# What yosys 0.23 would silently misread (docs/style.md), it must at least not declare by itself.
# shellcheck disable=SC2086
yosys -q -e 'implicitly declared' -p "read_verilog -sv -Irtl/common $packages $(ls rtl/*/*.sv | grep -v _pkg.sv | tr '\n' ' ')" \
  > /dev/null 2> build/lint-yosys.log || { cat build/lint-yosys.log; fail "yosys does not read the RTL"; }

# A dimension on a typedef'd name is dropped by yosys 0.23.
if grep -nP '^\s*(?:input|output)?\s*(?:\w+::)?\w+_t\s+(?:\[[^\]]+\]\s*\w+|\w+(?:\s*,\s*\w+)*\s*\[)' rtl -r; then
  fail "array of a typedef (yosys 0.23 drops the dimension)"
fi
for f in rtl/*/*.sv; do
  grep -q '^`default_nettype none' "$f" || fail "$f: no \`default_nettype none"
  name=$(basename "$f" .sv)
  grep -qE "^(module|package) $name\b" "$f" || fail "$f: no module or package named $name"
  [[ $f == rtl/isa/* ]] || awk 'NR > 1 && length($0) > 120 { print FILENAME ":" FNR ": line longer than 120 columns"; bad = 1 } END { exit bad }' "$f" \
    || fail "long lines"
  if grep -nE 'lint_off' "$f"; then fail "$f: waiver in a source file (they belong in scripts/lint.vlt)"; fi
done
# What a header comment names as its model or test has to be there.
while IFS=: read -r f name; do
  [[ -e $name ]] || fail "$f names $name, which does not exist"
done < <(grep -roE --include='*.sv' --include='*.hpp' --include='*.cpp' '(Test|Model|RTL) +(rtl|sim|tb)/[A-Za-z0-9_/.]+[A-Za-z0-9_/]' rtl sim tb \
  | sed -E 's/:(Test|Model|RTL) +/:/')
if grep -rnE '/work/|\.\./shared' --include='*' rtl tb sim synth scripts docs Makefile README.md .ci 2>/dev/null \
    | grep -v 'scripts/lint.sh'; then
  fail "a path of one machine"
fi
[[ $failed == 0 ]] && echo "lint: clean (${configs[*]})"
exit $failed
