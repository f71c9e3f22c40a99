#!/usr/bin/env python3
"""Run test programs and checks, show what fails, end with one line `N passed, N failed`.

Each PROGRAM is a Catch2 test program; every test case in it counts. Each --check NAME=COMMAND is a shell
command that counts as one test and passes when it exits with 0. Whatever hangs longer than --timeout fails.
"""
import argparse
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys
import time


def tail(text, lines):
    rows = text.rstrip().splitlines()
    return "\n".join("    " + r for r in rows[-lines:])


def run(command, timeout, shell):
    start = time.monotonic()
    try:
        p = subprocess.run(command, shell=shell, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                           timeout=timeout, text=True, errors="replace", stdin=subprocess.DEVNULL)
        return p.returncode, p.stdout, time.monotonic() - start
    except subprocess.TimeoutExpired as e:
        out = e.stdout or b""
        out = out.decode(errors="replace") if isinstance(out, bytes) else out
        return -1, out + f"\n(stopped after {timeout} s)", time.monotonic() - start


def run_program(path, extra, timeout):
    """(name, passed, failed, seconds, text to show)"""
    # The console reporter: the XML ones keep every assertion in memory, which makes large tests crawl.
    code, out, took = run([path] + extra, timeout, False)
    passed = failed = 0
    text = ""
    if m := re.search(r"^All tests passed \(\d+ assertions? in (\d+) test cases?\)", out, re.M):
        passed = int(m[1])
    elif m := re.search(r"^test cases: +\d+ \|(?: +(\d+) passed)?(?: \|)?(?: +(\d+) failed)?", out, re.M):
        passed, failed = int(m[1] or 0), int(m[2] or 0)
        if re.search(r"^assertions: - none -", out, re.M):
            failed, text = max(failed, 1), "  checked nothing"
    if code != 0 or failed:
        failed = max(failed, 1)
        text += f"\n  exit code {code}\n" + tail(out, 60)
    if extra and "No tests ran" in out:
        return path, 0, 0, took, ""
    if passed + failed == 0:
        failed, text = 1, "  ran no test\n" + tail(out, 25)
    return path, passed, failed, took, text.strip("\n")


def run_check(spec, timeout):
    name, command = spec.split("=", 1)
    code, out, took = run(command, timeout, True)
    return name, int(code == 0), int(code != 0), took, "" if code == 0 else f"  {command}: exit code {code}\n" + tail(out, 40)


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("programs", nargs="*", metavar="PROGRAM")
    ap.add_argument("--check", action="append", default=[], metavar="NAME=COMMAND")
    ap.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    ap.add_argument("--timeout", type=int, default=1500, help="seconds for one program or check")
    ap.add_argument("--filter", default="", help="Catch2 test specification passed to every program")
    args = ap.parse_args()
    extra = [args.filter] if args.filter else []
    passed = failed = 0
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        jobs = [pool.submit(run_program, p, extra, args.timeout) for p in args.programs]
        jobs += [pool.submit(run_check, c, args.timeout) for c in args.check]
        for job in concurrent.futures.as_completed(jobs):
            name, p, f, took, text = job.result()
            passed += p
            failed += f
            short = str(pathlib.Path(name))
            print(f"{'FAIL' if f else 'ok  '} {short}: {p} passed, {f} failed ({took:.1f} s)", flush=True)
            if text:
                print(text, flush=True)
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
