"""Statistics, tables and pictures of the study: what scripts/study.py has measured, for docs/study.md.

Every figure is made of the records in build/study/*.jsonl, of equal weight, final epoch: no best epoch, no run left
out. A run that diverged counts by its number, not as an accuracy. Differences to fp32 are taken seed by seed (same
weights at the start, same order of examples); their standard error is that of the differences' mean.
Test: scripts/study_test.py
"""
import collections
import json
import math
import pathlib
import re
import shutil
import subprocess
import sys

REFERENCE, RIVAL, OURS = "fp32", "mixed", "bf16-sr"
FEW = 5  # seeds: a standard error of fewer decides nothing
TARGET = 0.1  # percentage points that stochastic bf16 may lose
COLOURS = {"fp32": "#000000", "bf16-rne": "#d62728", "bf16-sr": "#1f77b4", "fp8-sr": "#2ca02c", "mixed": "#ff7f0e"}


class ReportError(Exception):
    """What keeps a report from being made."""


# -------------------------------------------------------------------------------------- statistics
def mean_error(values):
    """Mean and its standard error; None where they don't exist."""
    if not values:
        return None, None
    mean = math.fsum(values) / len(values)
    if len(values) < 2:
        return mean, None
    return mean, math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (len(values) - 1) / len(values))


def plus_minus(mean, error, sign=False):
    if mean is None:
        return "-"
    text = f"{mean:+.2f}" if sign else f"{mean:.2f}"
    return text if error is None else f"{text} ± {error:.2f}"


def mean_curve(curves):
    """Mean by epoch of curves of one length."""
    return [math.fsum(values) / len(values) for values in zip(*curves)]


def mode_of(records, reference):
    """What is reported of one mode; reference: {seed: accuracy} of fp32."""
    done = [r for r in records if r["state"] == "done"]
    accuracy = {r["config"]["seed"]: 100 * r["correct"][-1] / r["held_out"] for r in done}
    pairs = sorted(set(accuracy) & set(reference))
    mean, error = mean_error([accuracy[s] for s in sorted(accuracy)])
    difference, difference_error = mean_error([accuracy[s] - reference[s] for s in pairs])
    return {"correct": {str(s): r["correct"][-1] for s, r in sorted((r["config"]["seed"], r) for r in done)},
            "diverged": sorted(r["config"]["seed"] for r in records if r["state"] != "done"),
            "mean": mean, "error": error, "difference": difference, "difference_error": difference_error,
            "pairs": len(pairs), "loss": mean_curve([r["loss"] for r in done]),
            "accuracy": mean_curve([[100 * c / r["held_out"] for c in r["correct"]] for r in done]),
            "seconds": mean_error([r["seconds"] for r in records])[0],
            "traffic": next((traffic_of(r) for r in done if "dram_read" in r), None)}


def verdict(mode):
    """Of stochastic bf16 against fp32, by the mean; and whether the seeds are enough to say so."""
    if mode is None or mode["difference"] is None:
        return "-"
    met = mode["difference"] >= -TARGET
    text = "yes" if met else "no"
    error = mode["difference_error"]
    if error is None or mode["pairs"] < FEW or abs(mode["difference"] + TARGET) < 2 * error:
        text += ", not resolved"
    return text


def summary(records, costs, wanted, modes):
    """docs/study.json; wanted: {key of a configuration without mode and seed: (set, regime)}."""
    groups = collections.defaultdict(lambda: collections.defaultdict(dict))
    for record in records:
        base = {k: v for k, v in record["config"].items() if k not in ("mode", "seed")}
        key = json.dumps(base, sort_keys=True)
        if key in wanted:
            groups[key][record["config"]["mode"]][record["config"]["seed"]] = record
    out, used = [], []
    for key, (name, regime) in wanted.items():
        if key not in groups:
            continue
        group = {mode: list(groups[key][mode].values()) for mode in modes if mode in groups[key]}
        used += [r for mode in group.values() for r in mode]
        reference = {r["config"]["seed"]: 100 * r["correct"][-1] / r["held_out"]
                     for r in group.get(REFERENCE, []) if r["state"] == "done"}
        first = next(iter(group.values()))[0]
        out.append({"set": name, "regime": regime, "config": json.loads(key), "model": first["model"],
                    "train": first["train"], "held_out": first["held_out"],
                    "modes": {mode: mode_of(mine, reference) for mode, mine in group.items()}})
    latest = {}
    for cost in costs:  # a later measurement of the same replaces the earlier one
        latest[cost["core"], cost["config"]["set"], cost["config"]["mode"], cost["batch"]] = cost
    return {"runs": out,
            "cost": [latest[key] for key in sorted(latest)],
            "trainings": len(used), "seconds": round(math.fsum(r["seconds"] for r in used), 1),
            "revisions": sorted({r["revision"] for r in used})}


# ------------------------------------------------------------------------------------------ tables
def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "|".join(["---"] + ["---:"] * (len(head) - 1)) + "|"]
    return "\n".join(lines + ["| " + " | ".join(str(c) for c in row) + " |" for row in rows])


def settings(run):
    config = run["config"]
    optimizer = {"sgd": "SGD, momentum {momentum:g}", "adamw": "AdamW"}[config["optimizer"]].format(**config)
    ends = " to 0" if config["schedule"] == "linear" else ", constant"
    return f"{optimizer}, rate {config['rate']:g}{ends}, {config['epochs']} epochs"


def accuracy_text(mode):
    if mode is None:
        return "-"
    text = plus_minus(mode["mean"], mode["error"])
    return text + (f" ({len(mode['diverged'])} diverged)" if mode["diverged"] else "")


def results_table(data, regime, modes):
    rows = []
    for run in data["runs"]:
        if run["regime"] == regime:
            rows.append([f"{run['set']}: {settings(run)}", *[accuracy_text(run["modes"].get(m)) for m in modes]])
    return table(["held-out accuracy in percent", *modes], rows) if rows else "Not measured yet."


def difference_table(data, regime, modes):
    rows = []
    for run in data["runs"]:
        if run["regime"] == regime:
            others = [run["modes"].get(m) for m in modes if m != REFERENCE]
            seeds = [len(m["correct"]) + len(m["diverged"]) for m in run["modes"].values()]
            low, high = min(seeds), max(seeds)
            rows.append([run["set"], low if low == high else f"{low} to {high}",
                         *[plus_minus(m["difference"], m["difference_error"], True) if m else "-" for m in others],
                         verdict(run["modes"].get(OURS))])
    head = ["minus fp32, percentage points", "seeds", *[m for m in modes if m != REFERENCE], f"{OURS} within {TARGET:g}"]
    return table(head, rows) if rows else "Not measured yet."


def sets_table(data):
    seen = {}
    for run in data["runs"]:
        seen.setdefault(run["set"], run)
    return table(["data set", "trained on", "held out", "network", "batch"],
                 [[n, f"{r['train']:,}", f"{r['held_out']:,}", r["model"], r["config"]["batch"]]
                  for n, r in seen.items()]) if seen else "Not measured yet."


def cycles_of(cost):
    return cost["cycles"][-1]


def traffic_of(record):
    """Bytes of a step by its program: read and written by the DMA, instructions fetched."""
    return [record[key] for key in ("dram_read", "dram_written", "dram_instructions")]


def counted_otherwise(cost):
    """What the core's counters say, where that is not what the program says."""
    moved, instructions = cost["counters"]["moved"], 64 * cost["counters"]["instructions"]
    read, written, fetched = traffic_of(cost)
    return None if (moved, instructions) == (read + written, fetched) else f"{moved} moved, {instructions} fetched"


def cost_table(data, modes):
    """Each set at its own batch size: bytes from the programs, cycles where the core has been measured."""
    cycles = collections.defaultdict(dict)
    for cost in data["cost"]:
        if cost["own"]:
            cycles[cost["config"]["set"], cost["batch"]][cost["config"]["mode"]] = cost
    rows = []
    for run in data["runs"]:
        key = run["set"], run["config"]["batch"]
        known = {m: v["traffic"] for m, v in run["modes"].items() if v["traffic"]}
        known.update({m: traffic_of(c) for m, c in cycles.get(key, {}).items()})
        if run["regime"] != "tuned" or not known:
            continue

        def row(what, values):
            gain = f"{100 * (1 - values[OURS] / values[RIVAL]):.1f} %" if OURS in values and RIVAL in values else "-"
            rows.append([f"{key[0]}, batch {key[1]}: {what}",
                         *[f"{values[m]:,}" if m in values else "-" for m in modes], gain])
        if key in cycles:
            cores = sorted({c["core"] for c in cycles[key].values()})
            row(f"cycles on {', '.join(cores)}", {m: cycles_of(c) for m, c in cycles[key].items()})
        row("bytes of data", {m: t[0] + t[1] for m, t in known.items()})
        row("bytes of instructions", {m: t[2] for m, t in known.items()})
    return table(["one training step", *modes, f"{OURS} fewer than {RIVAL}"], rows) if rows else "Not measured yet."


def batch_rows(data):
    """{(core, set): [(batch, cycles of ours, of the rival)]} where both were measured at two batch sizes or more."""
    group = collections.defaultdict(lambda: collections.defaultdict(dict))
    for cost in data["cost"]:
        group[cost["core"], cost["config"]["set"]][cost["batch"]][cost["config"]["mode"]] = cycles_of(cost)
    out = {}
    for key, batches in group.items():
        rows = [(b, m[OURS], m[RIVAL]) for b, m in sorted(batches.items()) if OURS in m and RIVAL in m]
        if len(rows) > 1:
            out[key] = rows
    return out


def batch_table(data):
    rows = []
    for (core, name), points in batch_rows(data).items():
        rows += [[f"{name} on {core}, batch {b}", f"{ours:,}", f"{rival:,}", f"{100 * (1 - ours / rival):.1f} %"]
                 for b, ours, rival in points]
    return table(["cycles a step", OURS, RIVAL, "fewer"], rows) if rows else "Not measured yet."


def facts(data):
    if not data["trainings"]:
        return "Nothing has been trained yet."
    hours = data["seconds"] / 3600
    return f"{data['trainings']} trainings, {hours:.2f} hours of one core, revision {', '.join(data['revisions'])}."


def parts(data, modes):
    out = {"facts": facts(data), "sets": sets_table(data), "cost": cost_table(data, modes), "batch": batch_table(data)}
    for regime in ("tuned", "low"):
        out[regime] = results_table(data, regime, modes) + "\n\n" + difference_table(data, regime, modes)
    return out


def filled(page, data, modes, host=False):
    """The page with what stands between <!-- begin NAME --> and <!-- end NAME --> made anew. What the host's floating
    point has trained has parts of its own, and costs no cycles."""
    made = parts(data, modes)
    if host:
        made = {f"host-{name}": made[name] for name in ("facts", "tuned", "low")}
    for name, text in made.items():
        pattern = re.compile(rf"(<!-- begin {name} -->\n).*?(<!-- end {name} -->)", re.S)
        if not pattern.search(page):
            raise ReportError(f"the page has no part between <!-- begin {name} --> and <!-- end {name} -->")
        page = pattern.sub(lambda m, text=text: f"{m[1]}{text}\n{m[2]}", page)
    return page


# ---------------------------------------------------------------------------------------- pictures
def gnuplot(script):
    done = subprocess.run(["gnuplot"], input=script, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ReportError(f"gnuplot: {(done.stderr.strip().splitlines() or ['no message'])[-1]}")


def curves_picture(runs, modes, path):
    """Training loss and held-out accuracy by epoch, a row for each regime."""
    script = [f"set terminal pngcairo size 900,{330 * len(runs) + 20} font 'sans,11'", f"set output '{path}'",
              f"set multiplot layout {len(runs)},2 margins 0.08,0.98,{0.16 / len(runs)},{1 - 0.1 / len(runs)} "
              f"spacing 0.09,{0.3 / len(runs)}",
              "set border 3", "set tics nomirror", "set grid ytics lc rgb '#dddddd'", "set xlabel 'epoch'"]
    for index, run in enumerate(runs):
        known = [m for m in modes if run["modes"].get(m, {}).get("loss")]
        for what, title in (("loss", "training loss"), ("accuracy", "held-out accuracy, %")):
            names = []
            for mode in known:
                name = f"$d{index}_{what}_{modes.index(mode)}"
                names.append(name)
                values = run["modes"][mode][what]
                script += [f"{name} << EOD", *[f"{e} {v:.6g}" for e, v in enumerate(values, 1)], "EOD"]
            script.append("set logscale y" if what == "loss" else "unset logscale y")
            script.append("unset key" if what == "loss" else "set key bottom right")
            script.append(f"set title '{run['set']}, {run['regime']}: {title}'")
            if names:
                script.append("plot " + ", ".join(
                    f"{name} with {'linespoints pt 7 ps 0.4' if len(run['modes'][mode][what]) < 12 else 'lines'} "
                    f"lw 2 lc rgb '{COLOURS[mode]}' title '{mode}'" for name, mode in zip(names, known)))
    gnuplot("\n".join(script + ["unset multiplot"]) + "\n")


def batch_picture(data, path):
    rows = batch_rows(data)
    script = ["set terminal pngcairo size 800,420 font 'sans,11'", f"set output '{path}'", "set border 3",
              "set tics nomirror", "set grid ytics lc rgb '#dddddd'", "set logscale x 2", "set xlabel 'batch size'",
              f"set ylabel 'cycles of a step that {OURS} saves, %'", "set yrange [0:*]", "set key top right"]
    for i, points in enumerate(rows.values()):
        script += [f"$b{i} << EOD", *[f"{b} {100 * (1 - ours / rival):.4f}" for b, ours, rival in points], "EOD"]
    script.append("plot " + ", ".join(f"$b{i} with linespoints pt 7 lw 2 title '{name} on {core}'"
                                      for i, (core, name) in enumerate(rows)) + ", 20 with lines dt 2 lc 'black' notitle")
    gnuplot("\n".join(script) + "\n")


def pictures(data, modes, folder):
    if not shutil.which("gnuplot"):
        print("study.py: no gnuplot here, so no pictures (scripts/setup.sh docs)", file=sys.stderr)
        return
    folder.mkdir(parents=True, exist_ok=True)
    by_set = collections.defaultdict(list)
    for run in data["runs"]:
        by_set[run["set"]].append(run)
    for name, runs in by_set.items():
        curves_picture(runs, modes, folder / f"study_{name}.png")
    if batch_rows(data):
        batch_picture(data, folder / "study_batch.png")


# ------------------------------------------------------------------------------------------- files
def replace(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(path.name + ".new")
    scratch.write_text(text, encoding="utf-8")
    scratch.replace(path)


def compact(data):
    """JSON with a line for each innermost list, so that a change shows in few lines; numbers to six digits."""
    def short(value):
        if isinstance(value, float):
            return float(f"{value:.6g}")
        if isinstance(value, dict):
            return {k: short(v) for k, v in value.items()}
        return [short(v) for v in value] if isinstance(value, list) else value
    text = json.dumps(short(data), indent=1)
    return re.sub(r"\[[^][{}]*\]", lambda m: re.sub(r"\s*\n\s*", " ", m[0]), text) + "\n"


def write(root, results, costs, wanted, modes, where, publish=False, with_pictures=True, host=False):
    """Tables and pictures into the folder `where`; publish: into docs/ as well. Own files stay out of docs/."""
    # As it will be read again, so that the page can be checked against the file to the last digit.
    data = json.loads(compact(summary(results, costs, wanted, modes)))
    if not data["runs"] and not data["cost"]:
        raise ReportError("nothing has been trained or measured yet with these options")
    replace(where / "study.json", compact(data))
    for name, text in parts(data, modes).items():
        if "Not measured yet." not in text:
            print(f"\n{text}")
    if with_pictures:
        pictures(data, modes, where)
    if publish:
        for kind in ("runs", "cost"):
            data[kind] = [r for r in data[kind] if not r.get("set", r["config"]["set"]).startswith("own-")]
        page = root / "docs/study.md"
        replace(root / f"docs/study{'_host' if host else ''}.json", compact(data))
        replace(page, filled(page.read_text(encoding="utf-8"), data, modes, host))
        if with_pictures and not host:
            pictures(data, modes, root / "docs/pictures")


def check_page(root, modes):
    """0 if docs/study.md is what docs/study.json and docs/study_host.json give."""
    docs = pathlib.Path(root) / "docs"
    page = (docs / "study.md").read_text(encoding="utf-8")
    for host in (False, True):
        path = docs / f"study{'_host' if host else ''}.json"
        if not path.exists():
            raise ReportError(f"{path.name}: no such file; study.py report {'--host ' if host else ''}--publish makes it")
        if filled(page, json.loads(path.read_text(encoding="utf-8")), modes, host) != page:
            print(f"study.py: docs/study.md is not what docs/{path.name} gives; study.py report --publish makes both",
                  file=sys.stderr)
            return 1
    return 0
