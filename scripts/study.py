#!/usr/bin/env python3
"""The study: the same networks trained in five numeric modes on real data, many seeds each.

  run     train what is not trained yet (build/study/results.jsonl grows by a line a run), then report
  cost    cycles and DRAM bytes of a step on the Verilated core (build/study/cost.jsonl)
  batch   the same over batch sizes, stochastic bf16 against mixed precision
  tune    learning rates for fp32, judged by the last fifth of the training rows
  report  tables, curves and pictures in build/study/report (--publish: in docs/ as well)
  status  what is done and what is left

A run that was interrupted goes on from its checkpoint, a finished one is never repeated; Ctrl-C loses nothing.
The trainer is build/host/study_run: every sum and rounding of a training is an instruction of the functional
model. Modes: fp32 (weights and arithmetic), bf16-rne and bf16-sr (weights and state in bf16, nearest even or
stochastic), fp8-sr (forward pass in fp8, weights as bf16-sr), mixed (bf16 arithmetic, fp32 master weights).
Test: scripts/study_test.py
"""
import argparse
import collections
import datetime
import fcntl
import hashlib
import json
import os
import pathlib
import queue
import re
import signal
import subprocess
import sys
import threading
import time

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parent)]
import study_data  # noqa: E402
import study_report  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parent.parent
MODES = ["fp32", "bf16-rne", "bf16-sr", "fp8-sr", "mixed"]
SEEDS = 10

# One network a set, the same for all modes. "tuned": rate and epochs that are good for fp32 (`tune` has shown), the
# rate falling to zero over the run. "low": a constant rate of a tenth of that or less, the same for all modes, as at
# the end of a schedule or when a trained network is trained further.
TUNED = {"optimizer": "sgd", "momentum": 0.9, "schedule": "linear"}
LOW = {"optimizer": "sgd", "momentum": 0.9, "schedule": "constant", "rate": 1e-3}
ADAM = {"optimizer": "adamw", "momentum": 0}
CONFIGS = {
    "digits": {"hidden": "128", "batch": 32, "tuned": {**TUNED, "rate": 0.1, "epochs": 5}, "low": {**LOW, "epochs": 4}},
    "credit": {"hidden": "64-32", "batch": 32, "tuned": {**TUNED, "rate": 0.03, "epochs": 6}, "low": {**LOW, "epochs": 12}},
    "shuttle": {"hidden": "32-32-16", "batch": 64, "tuned": {**TUNED, "rate": 0.03, "epochs": 2},
                "low": {**LOW, "epochs": 2}},
    "ratings": {"hidden": "64-32", "batch": 128, "embedding": 16,
                "tuned": {**TUNED, **ADAM, "rate": 0.003, "epochs": 2},
                "low": {**LOW, **ADAM, "rate": 3e-4, "epochs": 2}},
    "vowel": {"hidden": "64-64-64-64", "batch": 16, "tuned": {**TUNED, "rate": 0.03, "epochs": 25},
              "low": {**LOW, "epochs": 25}},
    "dna": {"hidden": "64-64-32-32-16", "batch": 32, "tuned": {**TUNED, "rate": 0.03, "epochs": 6},
            "low": {**LOW, "epochs": 12}},
    # Further sets, by name only; their rates were not tuned.
    "letters": {"hidden": "64-64", "batch": 32, "tuned": {**TUNED, "rate": 0.03, "epochs": 10},
                "low": {**LOW, "epochs": 10}},
    "spam": {"hidden": "64-32", "batch": 32, "tuned": {**TUNED, "rate": 0.03, "epochs": 10},
             "low": {**LOW, "epochs": 20}},
    "fashion": {"hidden": "128-64", "batch": 64, "tuned": {**TUNED, "rate": 0.05, "epochs": 8},
                "low": {**LOW, "epochs": 8}},
}
OWN = {"hidden": "64-32", "batch": 32, "tuned": {**TUNED, "rate": 0.03, "epochs": 10}, "low": {**LOW, "epochs": 20}}
REGIMES = ["tuned", "low"]
BATCHES = [8, 16, 32, 64, 128, 256, 512]


class StudyError(Exception):
    """Something that the study can't go on with; the text says what and what helps."""


def say(text):
    print(f"study.py: {text}", file=sys.stderr, flush=True)


def build_dir(host=False):
    return pathlib.Path(os.environ.get("STUDY_DIR") or ROOT / f"build/study{'-host' if host else ''}")


def revision():
    done = subprocess.run(["git", "-C", str(ROOT), "describe", "--always", "--dirty=+", "--exclude=*"],
                          capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


# ------------------------------------------------------------------------------------ append-only
class Log:
    """JSON lines, only ever appended to; a line that a crash cut off is passed over."""

    def __init__(self, path):
        self.path = pathlib.Path(path)

    def read(self):
        out = []
        try:
            lines = self.path.read_text(encoding="utf-8").split("\n")
        except FileNotFoundError:
            return out
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
            except ValueError:
                say(f"{self.path}: line {number} is no JSON (cut off by a crash?), passed over")
                continue
            if isinstance(record, dict):
                out.append(record)
        return out

    def append(self, record):
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open(self.path, "a+b") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            end = handle.seek(0, os.SEEK_END)
            if end:
                handle.seek(end - 1)
                if handle.read(1) != b"\n":
                    handle.write(b"\n")
            handle.write(json.dumps(record, sort_keys=True).encode() + b"\n")
            handle.flush()
            os.fsync(handle.fileno())


def key_of(config):
    return json.dumps(config, sort_keys=True)


def name_of(config):
    return f"{config['set']} {config['regime']} {config['mode']} seed {config['seed']}"


# ------------------------------------------------------------------------------------------- plans
def base_config(name, regime, options):
    """All of a run but mode and seed."""
    known = CONFIGS.get(name, OWN)
    config = {"set": name, "regime": regime, "hidden": known["hidden"], "batch": known["batch"],
              "embedding": known.get("embedding", 16), "weight_decay": 0, "limit": options.limit,
              "table": table_checksum(name), **known[regime]}
    for key in ("epochs", "rate", "batch"):
        if getattr(options, key, None) is not None:
            config[key] = getattr(options, key)
    return config


def table_path(name):
    return study_data.table_path(name)


def table_checksum(name):
    """The CRC-32 that the file ends with; other data are other runs."""
    try:
        return table_path(name).read_bytes()[-4:][::-1].hex()
    except OSError as error:
        raise StudyError(f"{error.filename}: {error.strerror}") from None


def plan(names, options):
    """Every run wanted, one seed of everything before the next, so that what is done is always comparable."""
    out = []
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        for regime in options.regimes:
            for name in names:
                base = base_config(name, regime, options)
                out += [{**base, "mode": mode, "seed": seed} for mode in options.modes]
    return out


def flags_of(config):
    out = ["--table", str(table_path(config["set"]))]
    for key in ("mode", "hidden", "embedding", "batch", "optimizer", "rate", "momentum", "weight_decay", "seed"):
        out += ["--" + key.replace("_", "-"), str(config[key])]
    return out


# ------------------------------------------------------------------------------------------ one run
class Run:
    """A training as a process of its own; its epochs are kept as they come."""

    def __init__(self, config, program, folder, resumes=True):
        self.config, self.program, self.resumes = config, program, resumes
        digest = hashlib.sha256(key_of(config).encode()).hexdigest()[:16]
        folder.mkdir(parents=True, exist_ok=True)
        self.log, self.checkpoint = Log(folder / f"{digest}.jsonl"), folder / f"{digest}.ckpt"
        self.process, self.stopped, self.epochs, self.start = None, False, [], {}

    def run(self, progress):
        """The record of a finished run, or an error text, or None when it was stopped."""
        command = [*self.program, *flags_of(self.config), "--epochs", str(self.config["epochs"]), "--schedule",
                   self.config["schedule"], "--limit", str(self.config["limit"])]
        if self.resumes:
            command += ["--checkpoint", str(self.checkpoint)]
        if self.config.get("validate"):
            command.append("--validate")
        before = [line for line in self.log.read() if line.get("event") == "epoch"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                        start_new_session=True)
        if self.stopped:
            self.process.terminate()
        errors = []
        reader = threading.Thread(target=lambda: errors.append(self.process.stderr.read()), daemon=True)
        reader.start()
        end = None
        for text in self.process.stdout:
            try:
                line = json.loads(text)
            except ValueError:
                continue
            if line["event"] == "start":
                # Epochs told before belong to the run as far as its checkpoint reaches.
                self.start, self.epochs = line, [e for e in before if e["epoch"] <= line["epoch"]]
                if len(self.epochs) != line["epoch"]:
                    self.process.kill()
                    self.process.wait()
                    self.forget()
                    return f"{self.log.path} does not fit its checkpoint; both removed: start again"
                self.log.path.unlink(missing_ok=True)
                for epoch in self.epochs:
                    self.log.append(epoch)
            elif line["event"] == "epoch":
                self.epochs.append(line)
                self.log.append(line)
                progress(self, line)
            elif line["event"] in ("done", "diverged"):
                end = line
            elif line["event"] == "restart":
                say(f"{name_of(self.config)}: {line['why']}; from the beginning")
        code = self.process.wait()
        reader.join()
        if code < 0:
            return None if code in (-signal.SIGTERM, -signal.SIGINT) else f"ended by signal {-code}"
        if code or end is None:
            return (errors[0].strip().splitlines() or ["no message"])[-1] if errors else "no message"
        record = {"config": self.config, "revision": revision(), "state": end["event"],
                  "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M"),
                  "model": self.start["model"], "train": self.start["train"], "held_out": self.start["held_out"],
                  "seconds": round(sum(e["seconds"] for e in self.epochs), 3),
                  "train_seconds": round(sum(e["train_seconds"] for e in self.epochs), 3),
                  "loss": [round(e["loss"], 6) for e in self.epochs],
                  "held_out_loss": [round(e["held_out_loss"], 6) for e in self.epochs],
                  "correct": [e["correct"] for e in self.epochs]}
        for field in ("why", "steps", "dram_read", "dram_written", "dram_instructions"):
            if field in end:
                record[field] = end[field]
        return record

    def forget(self):
        self.log.path.unlink(missing_ok=True)
        self.checkpoint.unlink(missing_ok=True)

    def stop(self):
        self.stopped = True
        if self.process and self.process.poll() is None:
            self.process.terminate()


# ---------------------------------------------------------------------------------------- the runs
class Estimate:
    """Seconds that runs will take, from those that are done: of the same set and mode, else of the same mode
    or of any, in proportion to the work."""

    def __init__(self, records):
        self.same, self.mode, self.any = (collections.defaultdict(list) for _ in range(3))
        for record in records:
            self.add(record["config"], record["seconds"])

    @staticmethod
    def work(config):
        sizes = [int(v) for v in str(config["hidden"]).split("-")]
        weights = 100 * sizes[0] + sum(a * b for a, b in zip(sizes, sizes[1:]))
        return config["epochs"] * table_path(config["set"]).stat().st_size * (1 + weights / 1e4)

    def add(self, config, seconds):
        rate = seconds / self.work(config)
        self.same[config["set"], config["regime"], config["mode"]].append(rate)
        self.mode[config["mode"]].append(rate)
        self.any[""].append(rate)

    def seconds(self, config):
        for known, key in ((self.same, (config["set"], config["regime"], config["mode"])),
                           (self.mode, config["mode"]), (self.any, "")):
            if known[key]:
                return self.work(config) * sum(known[key]) / len(known[key])
        return None


def clock(seconds):
    if seconds is None:
        return "?"
    seconds = int(seconds)
    return f"{seconds // 3600}:{seconds % 3600 // 60:02}:{seconds % 60:02}"


class Progress:
    """One line that is replaced on a terminal; a line for each finished run elsewhere."""

    def __init__(self, total, jobs, estimate):
        self.total, self.jobs, self.estimate = total, jobs, estimate
        self.done, self.begin, self.lock = 0, time.monotonic(), threading.Lock()
        self.left, self.terminal = [], sys.stderr.isatty()

    def remaining(self):
        times = [self.estimate.seconds(config) for config in self.left]
        return None if None in times else sum(times) / self.jobs

    def head(self):
        return f"{self.done:4} of {self.total} runs, {clock(time.monotonic() - self.begin)} gone, " \
               f"about {clock(self.remaining())} left"

    def epoch(self, run, line):
        if self.terminal:
            with self.lock:
                text = f"{self.head()}: {name_of(run.config)} epoch {line['epoch']}/{run.config['epochs']} " \
                       f"loss {line['loss']:.4f} {100 * line['correct'] / line['count']:.2f} %"
                print(f"\r{text[:118]:<118}", end="", file=sys.stderr, flush=True)

    def finished(self, run, record):
        with self.lock:
            self.done += 1
            self.left = [c for c in self.left if c is not run.config]
            if isinstance(record, dict):
                self.estimate.add(run.config, record["seconds"])
                state = "diverged" if record["state"] == "diverged" else \
                    f"{100 * record['correct'][-1] / record['held_out']:.2f} %"
                text = f"{name_of(run.config)}: {state}, {record['seconds']:.1f} s"
            else:
                text = f"{name_of(run.config)}: FAILED: {record}"
            if self.terminal:
                print(f"\r{'':<118}\r", end="", file=sys.stderr)
            print(f"{self.head()}: {text}", file=sys.stderr, flush=True)


def run_all(configs, options):
    """Trains what results.jsonl does not have. Returns the texts of what failed and whether it was interrupted."""
    results = Log(build_dir(options.host) / "results.jsonl")
    records = [r for r in results.read() if "config" in r]
    have = {key_of(r["config"]) for r in records}
    todo = [c for c in configs if key_of(c) not in have]
    say(f"{len(configs) - len(todo)} of {len(configs)} runs are done already, {len(todo)} to do, "
        f"{options.jobs} at a time")
    if not todo:
        return [], False
    progress = Progress(len(todo), options.jobs, Estimate([r for r in records if usable(r)]))
    progress.left = list(todo)
    waiting, failed, stop, running = queue.SimpleQueue(), [], threading.Event(), set()
    for config in todo:
        waiting.put(config)
    deadline = time.monotonic() + 60 * options.minutes if options.minutes else None
    lock = threading.Lock()

    def worker():
        while not stop.is_set() and not (deadline and time.monotonic() > deadline):
            try:
                config = waiting.get_nowait()
            except queue.Empty:
                return
            run = Run(config, options.program, build_dir(options.host) / "partial", resumes=not options.host)
            with lock:
                running.add(run)
            try:
                record = run.run(progress.epoch)
            except OSError as error:
                record = str(error)
            with lock:
                running.discard(run)
                if isinstance(record, dict):
                    results.append(record)
                    run.forget()
                elif record is not None:
                    failed.append(f"{name_of(config)}: {record}")
                if record is not None:
                    progress.finished(run, record)

    threads = [threading.Thread(target=worker) for _ in range(options.jobs)]
    interrupted = False
    for thread in threads:
        thread.start()
    try:
        while any(thread.is_alive() for thread in threads):
            for thread in threads:
                thread.join(0.2)
            if deadline and time.monotonic() > deadline and not stop.is_set():
                say("the time is up: stopping; the same command goes on from here")
                raise KeyboardInterrupt
    except KeyboardInterrupt:
        interrupted = True
        stop.set()
        with lock:
            for run in running:
                run.stop()
        for thread in threads:
            thread.join()
    return failed, interrupted


def usable(record):
    return table_path(record["config"]["set"]).exists()


# ---------------------------------------------------------------------------------------- commands
def provide(options):
    """Names of the sets whose tables are there, and texts about those that are not."""
    names = [n for n in options.sets if n in study_data.SETS]
    missing = study_data.fetch(names)
    for name, why in missing.items():
        say(f"{name}: {why}; the other sets go on")
    names = [n for n in names if n not in missing]
    for path in options.data:
        name = "own-" + re.sub(r"[^a-z0-9]+", "-", pathlib.Path(path).stem.lower()).strip("-")
        table_path(name).parent.mkdir(parents=True, exist_ok=True)
        label = ["--label", options.label] if options.label else []
        done = subprocess.run([sys.executable, str(ROOT / "sim/data/to_table.py"), "--own", name, path,
                               str(table_path(name)), *label], capture_output=True, text=True, check=False)
        if done.returncode:
            missing[name] = done.stderr.strip()
            say(missing[name])
        else:
            names.append(name)
    if not names:
        raise StudyError("no data set is there")
    return names, [f"{name}: {why}" for name, why in missing.items()]


def command_run(options):
    names, missing = provide(options)
    failed, interrupted = run_all(plan(names, options), options)
    try:
        report(options)
    except study_report.ReportError as error:
        failed.append(f"report: {error}")
    for text in missing + failed:
        say(f"not done: {text}")
    if interrupted:
        say("interrupted: the same command goes on where this one stopped")
    return 130 if interrupted else 1 if missing or failed else 0


def command_status(options):
    names = [n for n in options.sets if table_path(n).exists()]
    records = Log(build_dir(options.host) / "results.jsonl").read()
    configs = plan(names, options)
    have = {key_of(r["config"]) for r in records if "config" in r}
    estimate = Estimate([r for r in records if "config" in r and usable(r)])
    total = 0
    for name in names:
        for regime in options.regimes:
            mine = [c for c in configs if (c["set"], c["regime"]) == (name, regime)]
            left = [c for c in mine if key_of(c) not in have]
            times = [estimate.seconds(c) for c in left]
            spent = sum(r["seconds"] for r in records if r.get("config", {}).get("set") == name
                        and r["config"]["regime"] == regime)
            seconds = None if None in times else sum(times)
            total = None if None in (total, seconds) else total + seconds
            print(f"{name:10} {regime:6} {len(mine) - len(left):4} of {len(mine):4} runs, {clock(spent)} spent, "
                  f"about {clock(seconds)} left")
    print(f"on one process about {clock(total)} left")
    return 0


def command_tune(options):
    """fp32 alone, on the training rows alone; seeds from 1001 on, so that the study's are new."""
    names, missing = provide(options)
    configs = [{**base_config(name, "tuned", options), "mode": "fp32", "seed": seed, "rate": rate, "regime": "tune",
                "validate": True}
               for name in names for rate in options.rates for seed in range(1001, 1001 + options.seeds)]
    failed, interrupted = run_all(configs, options)
    records = {key_of(r["config"]): r for r in Log(build_dir(options.host) / "results.jsonl").read() if "config" in r}
    for name in names:
        for rate in options.rates:
            mine = [records[key_of(c)] for c in configs
                    if (c["set"], c["rate"]) == (name, rate) and key_of(c) in records]
            scores = [100 * r["correct"][-1] / r["held_out"] for r in mine if r["state"] == "done"]
            mean, error = study_report.mean_error(scores)
            print(f"{name:10} rate {rate:<8g} {study_report.plus_minus(mean, error)} % of {len(scores)} seeds"
                  f"{f', {len(mine) - len(scores)} diverged' if len(mine) > len(scores) else ''}")
    for text in missing + failed:
        say(f"not done: {text}")
    return 130 if interrupted else 1 if missing or failed else 0


def costs(names, modes, batches, options):
    log = Log(build_dir(options.host) / "cost.jsonl")
    program = options.cost_program or [str(ROOT / f"build/{options.config}/study_cost")]
    now, failed = revision(), []
    for name in names:
        base = {**base_config(name, options.regimes[0], options), "seed": 1}
        for batch in batches or [base["batch"]]:
            for mode in modes:
                config = {**base, "mode": mode, "batch": batch}
                say(f"{name} {mode} batch {batch} on {options.config}")
                done = subprocess.run([*program, *flags_of(config), "--steps", str(options.steps)],
                                      capture_output=True, text=True, check=False)
                if done.returncode:
                    failed.append(f"{name} {mode} batch {batch}: " +
                                  (done.stderr.strip().splitlines() or ["no message"])[-1])
                    say(failed[-1])
                    continue
                measured = json.loads(done.stdout.strip().splitlines()[-1])
                other = study_report.counted_otherwise(measured)
                if other:
                    say(f"{name} {mode} batch {batch}: the core's counters ({other}) are not what the program says: "
                        f"{study_report.traffic_of(measured)} read, written, fetched")
                # The program says "config" of the core.
                log.append({**measured, "config": config, "own": batch == base["batch"], "revision": now,
                            "core": options.config})
    return failed


def command_cost(options):
    names, missing = provide(options)
    failed = costs(names, options.modes, None, options)
    report(options)
    return 1 if missing or failed else 0


def command_batch(options):
    names, missing = provide(options)
    failed = costs(names, [m for m in ("bf16-sr", "mixed") if m in options.modes], options.batches, options)
    report(options)
    return 1 if missing or failed else 0


def report(options):
    # Runs as they are configured, whether of this call's sets or not.
    names = [n for n in dict.fromkeys([*CONFIGS, *options.sets]) if table_path(n).exists()] + \
        sorted(p.stem for p in (study_data.data_dir() / "tables").glob("own-*.dtbl"))
    wanted = {key_of(base_config(n, r, options)): (n, r) for n in names for r in REGIMES}
    results = [r for r in Log(build_dir(options.host) / "results.jsonl").read() if "config" in r]
    measured = [c for c in Log(build_dir(options.host) / "cost.jsonl").read() if "cycles" in c]
    study_report.write(ROOT, results, measured, wanted, MODES, build_dir(options.host) / "report",
                       options.publish, not options.no_pictures, options.host)


def command_report(options):
    if options.check:
        return study_report.check_page(ROOT, MODES)
    report(options)
    return 0


# ------------------------------------------------------------------------------------------ options
def words(choices, empty=False):
    def parse(text):
        out = [w for w in re.split(r"[ ,]+", text) if w]
        if out == ["none"] and empty:
            return []
        for word in out:
            if word not in choices:
                raise argparse.ArgumentTypeError(f"{word} is none of {', '.join(choices)}")
        if not out:
            raise argparse.ArgumentTypeError(f"choose of {', '.join(choices)}")
        return out
    return parse


def numbers(kind):
    def parse(text):
        try:
            return [kind(w) for w in re.split(r"[ ,]+", text) if w]
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r}: numbers, separated by commas") from None
    return parse


def count(low, high):
    def parse(text):
        if not text.isdecimal() or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"{text}: a whole number from {low} to {high}")
        return int(text)
    return parse


def parser():
    out = argparse.ArgumentParser(prog="study.py", description=__doc__,
                                  formatter_class=argparse.RawDescriptionHelpFormatter)
    out.add_argument("verb", choices=["run", "cost", "batch", "tune", "report", "status"])
    known = list(CONFIGS)
    out.add_argument("--sets", type=words(known, True), default=study_data.STANDARD, metavar="LIST",
                     help=f"of {', '.join(known)} (default: {','.join(study_data.STANDARD)}), or none with --data")
    out.add_argument("--data", action="append", default=[], metavar="PATH",
                     help="a file of one's own as a further set: .csv(.gz), .txt, *visits*.csv, .bin with *labels.csv")
    out.add_argument("--label", help="column to predict in --data of kind .csv (default: the last)")
    out.add_argument("--modes", type=words(MODES), default=MODES, metavar="LIST", help=f"of {', '.join(MODES)}")
    out.add_argument("--regimes", type=words(REGIMES), default=REGIMES, metavar="LIST",
                     help="tuned (good for fp32) and low (a small constant rate)")
    out.add_argument("--seeds", type=count(1, 1000), default=SEEDS, help=f"how many (default {SEEDS})")
    out.add_argument("--first-seed", type=count(1, 1000000), default=1)
    out.add_argument("--epochs", type=count(1, 100000), help="instead of each set's own")
    out.add_argument("--batch", type=count(1, 65536), help="instead of each set's own")
    out.add_argument("--rate", type=float, help="instead of each regime's own")
    out.add_argument("--limit", type=count(0, 1 << 26), default=0, help="train on so many rows only (0: on all)")
    out.add_argument("--jobs", type=count(1, 256), default=1, help="processes at a time")
    out.add_argument("--minutes", type=float, help="stop after so long (goes on with the next call)")
    out.add_argument("--rates", type=numbers(float), default=[0.001, 0.003, 0.01, 0.03, 0.1], metavar="LIST",
                     help="tune: learning rates to try")
    out.add_argument("--config", default="tiny", help="cost, batch: the core (default tiny)")
    out.add_argument("--steps", type=count(1, 1000), default=2, help="cost, batch: steps to measure")
    out.add_argument("--batches", type=numbers(int), default=BATCHES, metavar="LIST", help="batch: the sizes")
    out.add_argument("--check", action="store_true", help="report: is docs/study.md what docs/study.json gives?")
    out.add_argument("--publish", action="store_true",
                     help="write docs/study.json, the tables of docs/study.md and docs/pictures/study_*.png")
    out.add_argument("--no-pictures", action="store_true")
    out.add_argument("--host", action="store_true",
                     help="train in the host's floating point instead (build/host/study_host, results in build/study-host): "
                          "not the core's bits, but 5 to 18 times as fast")
    out.add_argument("--program", type=str.split, help=argparse.SUPPRESS)
    out.add_argument("--cost-program", type=str.split, help=argparse.SUPPRESS)
    return out


def main(argv=None):
    options = parser().parse_args(argv)
    options.program = options.program or [str(ROOT / f"build/host/study_{'host' if options.host else 'run'}")]
    try:
        if options.verb in ("run", "tune"):
            os.nice(10)  # hours of work should not be in anybody's way
            signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: no process is left behind
        return globals()["command_" + options.verb](options)
    except (StudyError, study_report.ReportError) as error:
        say(str(error))
        return 1
    except BrokenPipeError:
        return 1


if __name__ == "__main__":
    sys.exit(main())
