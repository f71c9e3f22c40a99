#!/usr/bin/env python3
"""Hold docs/verification.md against the tests: every test case that its tables name has to exist in the named
file, and every test file has to be named.

A row counts if its last cell is a path below tb/ in backticks; the names in backticks of the cell before are
its test cases. Prints what is wrong and one line at the end; exit code 1 if anything is.
"""
import argparse
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
STRING = r'"(?:[^"\\]|\\.)*"'
CASE = re.compile(r'\bTEST_CASE\(\s*(' + STRING + r'(?:\s*' + STRING + r')*)')


def cases(path):
    """Names of the test cases of a C++ file; neighbouring literals are one name."""
    names = set()
    for match in CASE.finditer(path.read_text(encoding="utf-8")):
        literals = re.findall(STRING, match.group(1))
        names.add("".join(s[1:-1] for s in literals).replace('\\"', '"').replace("\\\\", "\\"))
    return names


def rows(page):
    """(line number, names, file) of every row that names a test file."""
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        cells = [c.strip() for c in line.split("|")[1:-1]]
        file = re.fullmatch(r"`(tb/[^`]+)`", cells[-1]) if len(cells) >= 2 else None
        if file:
            yield number, re.findall(r"`([^`]+)`", cells[-2]), file.group(1)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--page", type=pathlib.Path, default=ROOT / "docs/verification.md")
    parser.add_argument("--list", action="store_true", help="print the test cases that no row names, and go on")
    args = parser.parse_args()

    wrong, named, plan = [], {}, list(rows(args.page))
    for number, names, file in plan:
        where = f"{args.page.name}:{number}"
        if not (ROOT / file).is_file():
            wrong.append(f"{where}: no file {file}")
            continue
        named.setdefault(file, set()).update(names)
        known = cases(ROOT / file)
        if not names:
            wrong.append(f"{where}: the row names no test case")
        wrong += [f"{where}: {file} has no test case '{n}'" for n in names if n not in known]
    total = 0
    for path in sorted((ROOT / "tb").rglob("*_test.cpp")):
        file = str(path.relative_to(ROOT))
        total += len(cases(path))
        if file not in named:
            wrong.append(f"{args.page.name}: {file} is in no row")
        if args.list:
            for name in sorted(cases(path) - named.get(file, set())):
                print(f"in no row: {file}: {name}")
    for line in wrong:
        print(line, file=sys.stderr)
    count = sum(len(n) for n in named.values())
    print(f"check_plan: {len(plan)} rows name {count} of {total} test cases, {len(wrong)} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
