#!/usr/bin/env python3
"""Make GTKWave's save file from scripts/waves/view.toml, for the FST file of any core.

  save_file.py FILE.fst --out FILE.gtkw   for this trace: names and widths from it, the time range of its program,
                                          a marker wherever an instruction retires (the first 26)
  save_file.py FILE.fst --commit          rewrite scripts/waves/dither.gtkw (for the nano core, without times)
  save_file.py FILE.fst --check           exit 1 if the view or dither.gtkw names a signal that the trace has not,
                                          or dither.gtkw is out of date
"""
import argparse
import math
import pathlib
import re
import subprocess
import sys
import tomllib

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
HERE = ROOT / "scripts/waves"
COMMITTED = HERE / "dither.gtkw"
NUMBERS = ("fp32", "bf16", "fp16", "fp8e4m3", "fp8e5m2")
COLORS = ["normal", "red", "orange", "yellow", "green", "blue", "indigo", "violet"]
# GTKWave's trace flags
HEX, DECIMAL, BINARY, SIGNED, RIGHT, BLANK = 0x2, 0x4, 0x8, 0x400, 0x20, 0x200
BY_FILE, BY_PROCESS, CLOSED, GROUP, GROUP_END, FOLDED = 0x2000, 0x4000, 0x400000, 0x800000, 0x1000000, 0x401000
RADIX = {"hex": HEX, "dec": DECIMAL, "signed": SIGNED, "bin": BINARY}
SIGNALS_WIDTH, WINDOW = 380, (1600, 1000)


class BadView(Exception):
    """The view and the trace don't fit together."""


class Trace:
    """Names in an FST file, and when its program runs. fst2vcd (package gtkwave) reads the file."""

    def __init__(self, path: str):
        self.path = path
        if not pathlib.Path(path).is_file():
            raise BadView(f"{path}: no such file")
        self.ranges: dict[str, tuple[int, int] | None] = {}  # None: a single bit without index
        self.codes: dict[str, str] = {}
        self.vcd = subprocess.Popen(["fst2vcd", path], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        scopes: list[str] = []
        for line in self.vcd.stdout:
            words = line.split()
            if not words:
                continue
            if words[0] == "$scope":
                scopes.append(words[2])
            elif words[0] == "$upscope":
                scopes.pop()
            elif words[0] == "$var":
                name = ".".join(scopes + [words[4]])
                found = re.fullmatch(r"\[(-?\d+)(?::(-?\d+))?\]", words[5])
                self.ranges[name] = (int(found[1]), int(found[2] or found[1])) if found else None
                self.codes[name] = words[3]
            elif words[0] == "$enddefinitions":
                break
        if not self.ranges:
            raise BadView(f"{path}: fst2vcd finds no signals in it")

    def close(self) -> None:
        self.vcd.kill()
        self.vcd.wait()

    def full_name(self, name: str) -> str:
        r = self.ranges[name]
        return name if r is None else f"{name}[{r[0]}:{r[1]}]"

    def program(self, top: str) -> tuple[int, int, list[tuple[int, str]]]:
        """First and last time of the first program, and (time, "queue index") of the first 26 retirements."""
        want = {}
        for key, name in (("clk", "clk_i"), ("state", "u_front_end.state"), ("retire", "retire_valid_o"),
                          ("index", "retire_index_o")):
            if top + name not in self.codes:
                raise BadView(f"{self.path} has no {top}{name}, which the time range is taken from")
            want[self.codes[top + name]] = key
        queues = ["tensor", "vector", "scalar", "dma0", "dma1"]
        now, start, end = 0, None, None
        value = dict.fromkeys(want.values(), 0)
        marks: list[tuple[int, str]] = []
        for line in self.vcd.stdout:
            if line[0] == "#":
                now = int(line[1:])
                continue
            text, code = line[1:].rstrip().split(" ") if line[0] == "b" else (line[0], line[1:].rstrip())
            if code not in want:
                continue
            try:
                number = int(text, 2)
            except ValueError:
                number = 0
            # What is there at a rising edge happens.
            if want[code] == "clk" and number == 1:
                for q, queue in enumerate(queues):
                    if value["retire"] >> q & 1 and start is not None:
                        marks.append((now, f"{queue} {value['index'] >> 32 * q & 0xffffffff}"))
            value[want[code]] = number
            if want[code] == "state":
                if number and start is None:
                    start = now
                elif not number and not marks:  # queues were only reset, no instruction retired
                    start = None
                end = now if not number and marks else None
            if len(marks) >= 26 or (end is not None and now > end + 20):
                break
        if start is None:
            return 0, max(now, 1), []
        return start, end or now, marks[:26]


class View:
    """view.toml, resolved against the names of a trace."""

    def __init__(self, trace: Trace, folder: str, opened: list[str] | None = None):
        with (HERE / "view.toml").open("rb") as f:
            self.view = tomllib.load(f)
        self.top = self.view["top"]
        self.trace = trace
        self.folder = folder  # of this script, as the save file names it
        for name in opened or []:
            if name not in [g["name"] for g in self.view["group"]]:
                raise BadView(f"no group {name}; there are: " + ", ".join(g["name"] for g in self.view["group"]))
        if opened:
            for group in self.view["group"]:
                group["closed"] = group["name"] not in opened
        self.used: dict[str, int] = {}
        self.missing: list[str] = []

    def bits(self, path: str) -> tuple[str, list[int] | None]:
        """Signal and its wanted bit numbers (None: all) of a path."""
        if path in self.trace.ranges:
            return path, None
        found = re.fullmatch(r"(.*)\[(\d+)(?::(\d+))?\]", path)
        if found and found[1] in self.trace.ranges and self.trace.ranges[found[1]] is not None:
            high, low = int(found[2]), int(found[3] or found[2])
            msb, lsb = self.trace.ranges[found[1]]
            if lsb <= low <= high <= msb:
                return found[1], list(range(high, low - 1, -1))
        raise KeyError(path)

    def expression(self, label: str, paths: list[str]) -> str:
        """How the save file names a signal, or bits of several together."""
        parts = [self.bits(p) for p in paths]
        if len(parts) == 1 and parts[0][1] is None:
            return f"+{{{label}}} {self.trace.full_name(parts[0][0])}"
        names = []
        for name, numbers in parts:
            r = self.trace.ranges[name]
            if r is None:
                names.append(name)
            else:
                numbers = numbers or list(range(r[0], r[1] - 1, -1))
                names += [f"({r[0] - n}){self.trace.full_name(name)}" for n in numbers]
        return f"#{{{label}}} {' '.join(names)}"

    def filter_lines(self, how: str, flags: int) -> list[str]:
        """The flags line, and the filter's line if there is one."""
        if how in RADIX:
            return [f"@{RADIX[how] | RIGHT | flags:x}"]
        number = self.used.setdefault(how, len(self.used) + 1)
        if how in NUMBERS:
            return [f"@{HEX | RIGHT | BY_PROCESS | flags:x}", f"^>{number} {self.folder}/float_filter.py {how}"]
        if not (HERE / "filters" / f"{how}.txt").is_file():
            raise BadView(f"view.toml: {how} is neither a radix, a number format nor a file of filters/")
        return [f"@{HEX | RIGHT | BY_FILE | flags:x}", f"^{number} {self.folder}/filters/{how}.txt"]

    def lines(self) -> list[str]:
        out = []
        for group in self.view["group"]:
            closed = group.get("closed", False)
            color = COLORS.index(group.get("color", "normal"))
            out += [f"@{GROUP | BLANK | (CLOSED if closed else 0):x}", f"-{group['name']}"]
            for signal in group["signals"]:
                if isinstance(signal, str):
                    out += [f"@{BLANK:x}", f"-{signal}"]
                    continue
                label, how, *paths = signal
                paths = [self.top + group.get("scope", "") + p for p in paths]
                try:
                    expression = self.expression(label, paths)
                except KeyError as e:
                    self.missing.append(f"{group['name']}, {label}: {e.args[0]}")
                    continue
                out += [f"[color] {color}"] + self.filter_lines(how, 0) + [expression]
            out += [f"@{GROUP_END | BLANK | (FOLDED if closed else 0):x}", f"-{group['name']}"]
        return out


def save_file(trace: Trace, times: bool, first: int | None = None, last: int | None = None,
              opened: list[str] | None = None) -> tuple[str, list[str]]:
    """Text of the save file, and the signals of the view that the trace has not."""
    view = View(trace, str(HERE) if times else "scripts/waves", opened)
    body = view.lines()
    start, end, marks = trace.program(view.top) if times else (0, 2400, [])
    start, end = start if first is None else first, end if last is None else last
    if end <= start:
        raise BadView(f"times {start}..{end} are no range")
    span = (end - start) * 1.06
    # GTKWave's zoom is minus the log2 of the time that 200 pixels show.
    zoom = -math.log2(span * 200 / (WINDOW[0] - SIGNALS_WIDTH - 90))
    head = ["[*] Made by scripts/waves/save_file.py from scripts/waves/view.toml; do not edit."]
    if times:
        head.append(f'[dumpfile] "{pathlib.Path(trace.path).resolve()}"')
    head += [f"[timestart] {int(max(start - span * 0.02, 0))}", f"[size] {WINDOW[0]} {WINDOW[1]}", "[pos] -1 -1",
             f"*{zoom:.6f} {start if times else -1} "
             + " ".join(str(m[0]) for m in marks + [(-1, "")] * (26 - len(marks)))]
    head += [f"[markername] {chr(65 + i)}{text}" for i, (_, text) in enumerate(marks)]
    head += ["[sst_expanded] 0", f"[signals_width] {SIGNALS_WIDTH}"]
    return "\n".join(head + body) + "\n", view.missing


def names_in(text: str) -> set[str]:
    """Signals that a save file names, without the positions of bits."""
    names = set()
    for line in text.splitlines():
        if line.startswith(("+{", "#{")):
            names.update(re.sub(r"^\(\d+\)", "", n) for n in line.split("} ", 1)[1].split())
    return names


def check(trace: Trace) -> int:
    text, missing = save_file(trace, False)
    for m in missing:
        print(f"save_file.py: view.toml, {m} is not in {trace.path}", file=sys.stderr)
    there = COMMITTED.read_text() if COMMITTED.is_file() else ""
    full = {trace.full_name(n) for n in trace.ranges}
    gone = sorted(names_in(there) - full)
    for name in gone:
        print(f"save_file.py: {COMMITTED.relative_to(ROOT)} names {name}, which is not in {trace.path}",
              file=sys.stderr)
    if missing or gone:
        return 1
    if there != text:
        print(f"save_file.py: {COMMITTED.relative_to(ROOT)} is out of date; run save_file.py {trace.path} --commit",
              file=sys.stderr)
        return 1
    print(f"{len(names_in(there))} signals of the view are all in {trace.path}")
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("fst", help="trace of a core")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--out", help="save file to write")
    what.add_argument("--commit", action="store_true", help="rewrite the committed save file")
    what.add_argument("--check", action="store_true", help="compare the committed save file with the trace")
    parser.add_argument("--from", dest="first", type=int, metavar="TIME", help="with --out: first time to show")
    parser.add_argument("--to", dest="last", type=int, metavar="TIME", help="with --out: last time to show")
    parser.add_argument("--open", action="append", metavar="GROUP",
                        help="with --out: unfold this group and fold those not named; may be repeated")
    options = parser.parse_args()
    if not options.out and (options.first is not None or options.last is not None or options.open):
        parser.error("--from, --to and --open need --out")
    try:
        trace = Trace(options.fst)
        try:
            if options.check:
                return check(trace)
            text, missing = save_file(trace, not options.commit, options.first, options.last, options.open)
        finally:
            trace.close()
        if missing and options.commit:
            raise BadView("not in the trace: " + "; ".join(missing))
        for m in missing:  # another configuration may lack one: the rest is still worth seeing
            print(f"save_file.py: left out, not in the trace: {m}", file=sys.stderr)
        (COMMITTED if options.commit else pathlib.Path(options.out)).write_text(text)
    except (BadView, OSError) as e:
        print(f"save_file.py: {e}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
