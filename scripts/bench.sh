#!/usr/bin/env bash
# Measure the figures of docs/results.md for one configuration, and say which moved. See --help.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if [[ ${1:-} == --help || $# -lt 2 ]]; then
  cat <<'HELP'
usage: scripts/bench.sh CONFIG FOLDER     (what `make bench CONFIG=...` runs; FOLDER holds the built programs)

Figures go to build/results.json and are compared with docs/results.json; `scripts/results.py merge` accepts them.
BUILDS=1 also measures build times: the core of CONFIG, `small`, and the full PE array by hierarchical verilation
(several minutes). SYNTH=1 also runs the synthesis of CONFIG.
HELP
  [[ ${1:-} == --help ]]; exit
fi
config=$1
folder=$2
mkdir -p build/results.d
"$folder/bench" --out build/results.d/bench.json
build/tb/pe_array-16/bench --config tiny --out build/results.d/array.json

set=$(scripts/fetch_data.sh --which)
if [[ $config != full ]]; then
  make -s "build/model/$set.dmlp"
  "$folder/digits" --model "build/model/$set.dmlp" --images 2000 --json build/digits.json > build/digits.log
  python3 - "$config" "$set" <<'PY'
import json, subprocess, sys
config, data = sys.argv[1:]
f = json.load(open("build/digits.json"))
for name, value, unit, note in (
        ("digits.accuracy", f["accuracy"], "%", f"{f['images']} held-out pictures of {data}, bf16 on the RTL"),
        ("digits.cycles", f["cycles"], "cycles", f"{f['images']} pictures"),
        ("digits.array_busy", 100 * f["utilisation"], "%", ""),
        ("digits.sim_speed", f["hz"], "cycles/s", "lockstep comparison included")):
    args = ["--note", note] if note else []
    subprocess.run(["scripts/results.py", "add", "--name", name, "--value", str(value), "--unit", unit, "--config", config,
                    "--command", f"make bench CONFIG={config}", *args], check=True)
PY
fi

# Seconds of a command, with an empty compiler cache.
measure() {
  local name=$1 cfg=$2
  shift 2
  local start end
  start=$(date +%s.%N)
  CCACHE_DISABLE=1 "$@" > build/bench-build.log 2>&1 || { tail -20 build/bench-build.log; exit 1; }
  end=$(date +%s.%N)
  scripts/results.py add --name "$name" --value "$(echo "$end - $start" | bc)" --unit s --config "$cfg" \
    --command "make bench BUILDS=1" --note "two cores, no compiler cache"
}
if [[ ${BUILDS:-0} == 1 ]]; then
  for c in "$config" small; do
    rm -rf "build/$c/core"
    measure build.core "$c" make -j2 "build/$c/core/Vdither_core__ALL.a"
  done
  rm -rf build/array-full
  measure build.array_hier full make -j2 build/array-full/Vpe_array__ALL.a
  make -s build/array-full/bench
  build/array-full/bench --config full --out build/results.d/array-full.json
fi
if [[ ${SYNTH:-0} == 1 ]]; then python3 synth/synth.py --config "$config" --jobs 2; fi
scripts/results.py diff
