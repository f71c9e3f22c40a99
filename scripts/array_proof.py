#!/usr/bin/env python3
"""Run the formal proofs of tb/proof: yosys makes the circuits, ABC (yosys-abc) answers.

For every case of a proof: all assertions hold for all inputs and all start states within the proof's steps (the units
are pipelines without feedback, so that this is every cycle); every cover statement is reached. For every proof: each
broken copy of the RTL that tb/proof/array.toml describes is refuted. Prints a row a run and one line at the end;
exit code 1 if anything is not as it has to be. Files are left in build/proof-array/.
"""
import argparse
import os
import pathlib
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
import tomllib

ROOT = pathlib.Path(__file__).resolve().parent.parent
PLAN = ROOT / "tb/proof/array.toml"


def cpu_seconds():
    use = resource.getrusage(resource.RUSAGE_CHILDREN)
    return use.ru_utime + use.ru_stime


def call(command, log, timeout):
    """(output, exit code) of a command; the output is kept in the file log."""
    # A session of its own: a stopped yosys-smtbmc must not leave its solver behind.
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
                          stdin=subprocess.DEVNULL, start_new_session=True) as process:
        try:
            out, code = process.communicate(timeout=timeout)[0], process.returncode
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            out, code = process.communicate()[0] + f"\nstopped after {timeout} s\n", -1
    log.write_text(out, encoding="utf-8")
    return out, code


class Case:
    """One set of parameters of one proof, on the copy of the RTL in the folder `work`."""

    def __init__(self, name, plan, rtl, case, work):
        self.plan, self.work = plan, work
        top = f"{plan.get('file', name)}_proof"
        params = {k: v for k, v in case.items() if k != "quick"}
        # Parameters are put into a copy of the harness: hierarchy -chparam of yosys 0.23 trips over one that is handed
        # on through two levels.
        harness = (ROOT / f"tb/proof/{top}.sv").read_text(encoding="utf-8")
        for key, value in params.items():
            harness, found = re.subn(rf"(\bparameter\b[^=\n]*\b{key}\s*=\s*)[^,\n]*?(,?\s*(?://.*)?\n)",
                                     rf"\g<1>{value}\g<2>", harness)
            if found != 1:
                raise SystemExit(f"array_proof: {top} has no parameter {key}")
        (work / f"{top}.sv").write_text(harness, encoding="utf-8")
        script = [f"read_verilog -sv -formal {' '.join(str(work / f'{f}.sv') for f in rtl)} "
                  f"{work}/{top}.sv"]
        script += [f"hierarchy -check -top {top}"]
        script += ["proc", "flatten", f"cd {top}"]
        script += [f"connect -set {probe} {net}" for probe, net in plan.get("probe", [])]
        script += ["cd ..", f"prep -top {top}", "async2sync", "dffunmap", "opt -full"]
        # Registers without a start value get a free one by -zinit.
        gates = ["techmap", "opt", "dfflegalize -cell $_DFF_P_ 01", "opt_clean", "aigmap", "opt_clean"]
        script += ["design -save both", "chformal -cover -remove", *gates, f"write_aiger -zinit {work}/assert.aig",
                   "design -load both", "chformal -assert -remove", f"techmap -map {ROOT}/tb/proof/cover_as_assert.v",
                   *gates, f"write_aiger -zinit {work}/cover.aig"]
        self.script = work / "design.ys"
        self.script.write_text("\n".join(script) + "\n", encoding="utf-8")

    def build(self):
        out, code = call(["yosys", "-q", "-s", str(self.script)], self.work / "yosys.log", 300)
        return "" if code == 0 else "yosys: " + out.strip().splitlines()[-1]

    def abc(self, file, commands, timeout):
        for reduce in "", "dfraig; ":
            out, code = call(["yosys-abc", "-c", f"read_aiger {self.work}/{file}.aig; strash; {reduce}{commands}"],
                             self.work / f"{file}.log", timeout)
            # The ABC of yosys 0.23 crashes in bmc3 on a circuit now and then, and not on an equivalent smaller one.
            if code != -signal.SIGSEGV:
                break
        return out

    def shape(self, file):
        """(latches, properties) of an AIGER file"""
        with open(self.work / f"{file}.aig", "rb") as aig:
            head = aig.readline().decode().split()
        return int(head[3]), sum(int(n) for n in head[4:5] + head[6:7])

    def prove(self, timeout):
        """Empty if all assertions hold, else why not."""
        steps = self.plan["steps"]
        latches, _ = self.shape("assert")
        out = self.abc("assert", f"bmc3 -F {steps}" if latches else "orpos; dsat", timeout)
        if f"No output asserted in {steps} frames" in out or "UNSATISFIABLE" in out:
            return ""
        if re.search(r"Output \d+ .*asserted in frame \d+|^SATISFIABLE", out, re.M):
            return "refuted"
        return "no answer: " + out.strip().splitlines()[-1]

    def cover(self, timeout):
        """(number of covers reached, why not all)"""
        latches, covers = self.shape("cover")
        reached = 0
        if latches:
            out = self.abc("cover", f"bmc3 -a -F {self.plan['steps']}", timeout)
            reached = len(set(re.findall(r"Output +(\d+) .*asserted in frame", out)))
        for k in range(0 if latches else covers):
            out = self.abc("cover", f"cone -O {k}; dsat", timeout)
            reached += bool(re.search(r"^SATISFIABLE", out, re.M))
        return reached, "" if covers and reached == covers else f"{covers - reached} covers are not reached"


def show(name, what, covers, seconds, text):
    print(f"{'FAIL' if text else 'ok  '} {name:<22} {what:<28} {covers:<8} {seconds:7.1f} s  {text}", flush=True)


def copy_rtl(plan, rtl, work, edits):
    """A copy of the RTL with texts replaced; what is wrong with the replacements, or an empty string."""
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    for file in rtl:
        shutil.copy(ROOT / f"rtl/tensor/{file}.sv", work)
    for unit, old, new in plan.get("edit", []) + edits:
        source = (work / f"{unit}.sv").read_text(encoding="utf-8")
        if source.count(old) != 1:
            return f"'{old}' is {source.count(old)} times in {unit}.sv, has to be there once"
        (work / f"{unit}.sv").write_text(source.replace(old, new), encoding="utf-8")
    return ""


def run_case(name, plan, rtl, case, timeout, work):
    start = cpu_seconds()
    what = ", ".join(f"{k} {v}" for k, v in case.items() if k != "quick")
    work, covers = work / re.sub(r"\W+", "_", what), 0
    text = copy_rtl(plan, rtl, work, [])
    if not text:
        unit = Case(name, plan, rtl, case, work)
        text = unit.build() or unit.prove(timeout)
    if not text:
        covers, text = unit.cover(timeout)
    show(name, what, f"{covers} covers", cpu_seconds() - start, text)
    return not text, (name, what, covers, cpu_seconds() - start)


def run_broken(name, plan, rtl, number, timeout, work):
    start = cpu_seconds()
    work = work / f"broken{number + 1}"
    text = copy_rtl(plan, rtl, work, [plan["broken"][number]])
    if not text:
        unit = Case(name, plan, rtl, plan["cases"][0], work)
        text = unit.build()
        if not text:
            answer = unit.prove(timeout)
            text = "" if answer.startswith("refuted") else f"not refuted ({answer or 'holds'})"
    show(name, f"broken copy {number + 1}", "refuted" if not text else "", cpu_seconds() - start, text)
    return not text


def main():
    plans = tomllib.loads(PLAN.read_text(encoding="utf-8"))
    rtl = plans.pop("rtl")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("proofs", nargs="*", metavar="PROOF", help="default: all of " + ", ".join(plans))
    parser.add_argument("--quick", action="store_true",
                        help="cases marked quick only, and the broken copies of proofs whose first case is")
    parser.add_argument("--timeout", type=int, default=3000, help="seconds for one run of the solver")
    parser.add_argument("--table", action="store_true", help="end with the rows of docs/verification.md")
    parser.add_argument("--work", type=pathlib.Path, default=ROOT / "build/proof-array")
    args = parser.parse_args()
    unknown = [p for p in args.proofs if p not in plans]
    if unknown:
        parser.error(f"no proof {', '.join(unknown)}; there are {', '.join(plans)}")

    start, good, bad, rows = time.monotonic(), 0, 0, []
    for name in args.proofs or plans:
        plan, work = plans[name], args.work / name
        for case in plan["cases"]:
            if args.quick and not case.get("quick"):
                continue
            ok, row = run_case(name, plan, rtl, case, args.timeout, work)
            good, bad = good + ok, bad + (not ok)
            rows.append(row)
        if args.quick and not plan["cases"][0].get("quick"):
            continue
        for number in range(len(plan["broken"])):
            ok = run_broken(name, plan, rtl, number, args.timeout, work)
            good, bad = good + ok, bad + (not ok)
    if args.table:
        for name, what, covers, seconds in rows:
            print(f"| `{name}` | {plans[name]['claim']} | {what} | {covers} | {len(plans[name]['broken'])} "
                  f"| {seconds:.1f} |")
    print(f"array_proof: {good} as they have to be, {bad} not ({time.monotonic() - start:.0f} s)")
    return 1 if bad or not good else 0


if __name__ == "__main__":
    sys.exit(main())
