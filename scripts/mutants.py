#!/usr/bin/env python3
"""Mutants of the PE: faults that yosys `mutate` puts into the gates of dot_pe, each of which the test has to notice.

All mutants are in one netlist (D = 4, structural form), chosen by an input, so that one Verilated program runs them
all: tb/proof/mutant_bench.cpp, the PE against sim/model/column_sum.hpp. What no vector kills is compared with the
unchanged PE by ABC (yosys-abc), for all legal operands and without a bound on time. A mutant that neither dies nor is
shown to be equivalent fails the run, as does a comparison that does not find the mutant that died first to be different. Files are left in build/mutants/; the same seed gives the same mutants.
"""
import argparse
import concurrent.futures
import pathlib
import re
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
RTL = ["array_pkg", "dot_pe", "dot_group", "dot_exponent", "exponent_cut", "carry_save_sum", "carry_save_level"]
# Of the mutated PE; tb/proof/mutant_bench.cpp and mutant_miter.sv are written for them, whatever array_pkg has chosen.
SETTINGS = {"D": "4", "SumW": "32", "Cuts": "7'd0", "Pairs": "1'b0"}


def call(command, log):
    with open(log, "w", encoding="utf-8") as out:
        done = subprocess.run(command, stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, check=False)
    if done.returncode:
        print(pathlib.Path(log).read_text(encoding="utf-8", errors="replace")[-2000:], file=sys.stderr)
        raise SystemExit(f"mutants: {command[0]} failed, see {log}")


def yosys(work, name, lines):
    (work / f"{name}.ys").write_text("\n".join(lines) + "\n", encoding="utf-8")
    call(["yosys", "-q", "-s", str(work / f"{name}.ys")], work / f"{name}.log")


def netlist(work, count, seed):
    """Gates of dot_pe, and the same with `count` mutants chosen by the input mutsel; their descriptions."""
    for unit in RTL:
        text = (ROOT / f"rtl/tensor/{unit}.sv").read_text(encoding="utf-8")
        if unit == "dot_pe":  # the top's parameters: hierarchy -chparam would rename it
            for key, value in SETTINGS.items():
                text, found = re.subn(rf"(parameter\s[^=\n]*\b{key}\s*= )[^,\n]+(?=,)", rf"\g<1>{value}", text)
                assert found == 1, key
        (work / f"{unit}.sv").write_text(text, encoding="utf-8")
    files = " ".join(str(work / f"{u}.sv") for u in RTL)
    yosys(work, "gates", [f"read_verilog -sv {files}", "hierarchy -check -top dot_pe", "proc", "flatten",
                          "opt -full", "techmap", "simplemap", "opt", "opt_clean -purge",
                          f"write_ilang {work}/gates.il"])
    width = count.bit_length()
    yosys(work, "list", [f"read_ilang {work}/gates.il",
                         f"mutate -list {count} -seed {seed} -ctrl mutsel {width} 1 -o {work}/mutations.ys"])
    mutations = (work / "mutations.ys").read_text(encoding="utf-8").splitlines()
    yosys(work, "mutate", [f"read_ilang {work}/gates.il", f"script {work}/mutations.ys", "rename dot_pe mutant_pe",
                           "opt_clean", f"write_ilang {work}/mutant_pe.il",
                           # Single wires: a carry chain in one vector looks like a loop to Verilator.
                           "splitnets", "opt_clean -purge",
                           f"write_verilog -noattr {work}/mutant_pe.v"])
    return mutations


def simulate(work, cycles, seed):
    """Builds the program and runs it; {mutant: cycle of its death}, or None for those alive."""
    call(["verilator", "--cc", "--exe", "--build", "-O3", "--x-assign", "fast", "--x-initial", "fast", "-Wno-fatal",
          "-Wno-lint", "-Wno-style", "--prefix", "Vmutant_pe", "--top-module", "mutant_pe", "--Mdir", str(work / "vl"),
          "-CFLAGS", f"-std=c++20 -O2 -I{ROOT}", "-o", "bench", str(work / "mutant_pe.v"),
          str(ROOT / "tb/proof/mutant_bench.cpp")], work / "verilate.log")
    return str(work / "vl/bench")


def run_bench(bench, first, last, cycles, seed):
    out = subprocess.run([bench, str(first), str(last), str(cycles), str(seed)], stdout=subprocess.PIPE, text=True,
                         check=True).stdout
    return {int(m[1]): None if m[2] == "alive" else int(m[2]) for m in re.finditer(r"^(\d+) (\w+)$", out, re.M)}


def equivalent(work, mutant, timeout):
    """What SAT says of mutant against the PE without fault: 'equivalent', 'different' or 'unknown'."""
    base = work / f"miter{mutant}"
    harness = (ROOT / "tb/proof/mutant_miter.sv").read_text(encoding="utf-8")
    base.with_suffix(".sv").write_text(harness.replace("MUTANT_WIDTH", str(WIDTH)).replace("MUTANT", str(mutant)),
                                       encoding="utf-8")
    yosys(work, base.name, [f"read_ilang {work}/mutant_pe.il", f"read_verilog -sv {base}.sv",
                            "hierarchy -check -top mutant_miter", "proc", "memory_map", "flatten", "opt -full",
                            "techmap", "opt", "dfflegalize -cell $_DFF_P_ 0", "setundef -zero", "setundef -init -zero", "aigmap", "opt_clean",
                            f"write_aiger -zinit {base}.aig"])
    # Registers that correspond are found first; a difference is what remains.
    try:
        out = subprocess.run(["yosys-abc", "-c", f"read_aiger {base}.aig; strash; scorr; dc2; scorr; print_stats; "
                              f"dprove -r; print_status"],
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=timeout,
                             check=False).stdout
    except subprocess.TimeoutExpired:
        return "unknown"
    base.with_suffix(".out").write_text(out, encoding="utf-8")
    # Status 1: proved; 0: there is an input that tells them apart.
    status = re.findall(r"Status = +(-?\d+)", out)
    return {"1": "equivalent", "0": "different"}.get(status[-1] if status else "", "unknown")


WIDTH = 0


def main():
    global WIDTH
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=500, help="mutants (default 500)")
    parser.add_argument("--seed", type=int, default=1, help="of the choice of mutants and of the vectors")
    parser.add_argument("--cycles", type=int, default=50000, help="vectors for a mutant, one a cycle")
    parser.add_argument("--timeout", type=int, default=900, help="seconds of SAT for a survivor")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--work", type=pathlib.Path, default=ROOT / "build/mutants")
    args = parser.parse_args()
    start = time.monotonic()
    args.work.mkdir(parents=True, exist_ok=True)
    work = args.work.resolve()
    WIDTH = args.count.bit_length()
    mutations = netlist(work, args.count, args.seed)
    count = len(mutations)
    print(f"mutants: {count} in the netlist ({time.monotonic() - start:.0f} s)", flush=True)
    bench = simulate(work, args.cycles, args.seed)
    if run_bench(bench, 0, 0, args.cycles, args.seed)[0] is not None:
        raise SystemExit("mutants: the PE without a fault differs from the model")
    print(f"mutants: {args.cycles} vectors agree without a fault ({time.monotonic() - start:.0f} s)", flush=True)
    died = run_bench(bench, 1, count, args.cycles, args.seed)
    alive = [k for k, cycle in died.items() if cycle is None]
    deaths = sorted(c for c in died.values() if c is not None)
    print(f"mutants: {len(deaths)} killed" + (f", half of them in {deaths[len(deaths) // 2]} vectors, the last after "
          f"{deaths[-1]}" if deaths else "") + f"; {len(alive)} alive ({time.monotonic() - start:.0f} s)", flush=True)
    if deaths:
        # A miter that can't tell a dead mutant from the PE would call every survivor equivalent.
        first = min((k for k, cycle in died.items() if cycle is not None), key=lambda k: (died[k], k))
        verdict = equivalent(work, first, args.timeout)
        print(f"mutants: the miter calls killed mutant {first} {verdict} ({time.monotonic() - start:.0f} s)", flush=True)
        if verdict != "different":
            raise SystemExit(f"mutants: the miter does not see killed mutant {first}: its verdicts are worth nothing")
    elif alive:
        raise SystemExit("mutants: none was killed, so nothing shows that the miter can tell mutants from the PE")
    verdicts = {}
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        for k, verdict in zip(alive, pool.map(lambda k: equivalent(work, k, args.timeout), alive)):
            verdicts[k] = verdict
            print(f"  {k}: {verdict}: {mutations[k - 1].split(' -src')[0]}", flush=True)
    same = sum(v == "equivalent" for v in verdicts.values())
    print("| mutants | killed | equivalent | survived |\n|---:|---:|---:|---:|")
    print(f"| {count} | {len(deaths)} | {same} | {len(alive) - same} |")
    print(f"mutants: {len(alive) - same} survived ({time.monotonic() - start:.0f} s)")
    return 1 if len(alive) != same or len(died) != count else 0


if __name__ == "__main__":
    sys.exit(main())
