#!/usr/bin/env python3
"""Tests of the study's harness with a trainer that is a few lines of Python: python3 scripts/study_test.py"""
import contextlib
import io
import json
import math
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "scripts")]
import study  # noqa: E402
import study_report  # noqa: E402

# Stands for build/host/study_run: the same lines, numbers out of seed, mode and epoch, a checkpoint after each epoch.
TRAINER = r'''
import json, os, pathlib, sys, time
args = dict(zip(sys.argv[1::2], sys.argv[2::2]))
point = pathlib.Path(args["--checkpoint"])
first = int(point.read_text()) if point.exists() else 0
say = lambda **line: print(json.dumps(line), flush=True)
with open(os.environ["FAKE_CALLS"], "a") as calls:
    calls.write(f"{args['--mode']} {args['--seed']} from {first}\n")
if args["--mode"] == os.environ.get("FAKE_FAIL"):
    sys.exit("study_run: it does not work")
say(event="start", epoch=first, model="9-4-2", train=80, held_out=200, table="00")
for epoch in range(first, int(args["--epochs"])):
    time.sleep(float(os.environ.get("FAKE_SLEEP", "0")))
    if args["--mode"] == os.environ.get("FAKE_DIVERGE") and epoch == 1:
        say(event="diverged", epoch=epoch, why="loss is nan")
        sys.exit(0)
    point.write_text(str(epoch + 1))
    say(event="epoch", epoch=epoch + 1, loss=1 / (epoch + 1), held_out_loss=2 / (epoch + 1),
        correct=100 + 2 * epoch + int(args["--seed"]) + len(args["--mode"]), count=200, train_seconds=1.0, seconds=1.5)
    if os.environ.get("FAKE_KILL") == f"{args['--mode']} {epoch + 1}":
        os.kill(os.getpid(), 9)
say(event="done", steps=10, dram_read=1, dram_written=2, dram_instructions=3)
'''


class StudyTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        saved = dict(os.environ)
        self.addCleanup(lambda: (os.environ.clear(), os.environ.update(saved)))
        os.environ.update(DATA_DIR=str(self.folder / "data"), STUDY_DIR=str(self.folder / "study"),
                          FAKE_CALLS=str(self.folder / "calls"))
        (self.folder / "trainer.py").write_text(TRAINER, encoding="utf-8")
        (self.folder / "data/tables").mkdir(parents=True)
        for name in ("vowel", "dna"):
            (self.folder / f"data/tables/{name}.dtbl").write_bytes(name.encode() * 10)

    def options(self, *words):
        return study.parser().parse_args(["run", "--regimes", "tuned", "--epochs", "3", "--program",
                                          f"{sys.executable} {self.folder / 'trainer.py'}", *words])

    def train(self, options, names=("vowel",)):
        """(failed, interrupted, what was said)."""
        with contextlib.redirect_stderr(io.StringIO()) as said:
            failed, interrupted = study.run_all(study.plan(names, options), options)
        return failed, interrupted, said.getvalue()

    def records(self):
        return study.Log(self.folder / "study/results.jsonl").read()

    def calls(self):
        path = self.folder / "calls"
        return path.read_text().splitlines() if path.exists() else []

    # ------------------------------------------------------------------------------------- running
    def test_each_run_is_made_once_and_one_seed_before_the_next(self):
        options = self.options("--seeds", "2", "--modes", "fp32,mixed")
        self.assertEqual(self.train(options, ("vowel", "dna"))[:2], ([], False))
        self.assertEqual(self.calls(), 2 * ["fp32 1 from 0", "mixed 1 from 0"] + 2 * ["fp32 2 from 0", "mixed 2 from 0"])
        self.assertEqual(len(self.records()), 8)
        self.train(options, ("vowel", "dna"))
        self.assertEqual(len(self.calls()), 8)
        self.train(self.options("--seeds", "3", "--modes", "fp32"))
        self.assertEqual(self.calls()[8:], ["fp32 3 from 0"])

    def test_other_options_or_other_data_are_other_runs(self):
        one = ("--seeds", "1", "--modes", "fp32")
        self.train(self.options(*one))
        for more in (("--epochs", "4"), ("--batch", "7"), ("--rate", "0.5"), ("--limit", "9")):
            before = len(self.calls())
            self.train(self.options(*one, *more))
            self.assertEqual(len(self.calls()), before + 1, more)
        (self.folder / "data/tables/vowel.dtbl").write_bytes(b"new data")
        self.train(self.options(*one))
        self.assertEqual(len(self.calls()), 6)

    def test_a_killed_run_goes_on_at_its_checkpoint_and_ends_as_if_nothing_had_been(self):
        options = self.options("--seeds", "1", "--modes", "fp32,mixed")
        self.train(options)
        whole = self.records()
        (self.folder / "study/results.jsonl").unlink()
        os.environ["FAKE_KILL"] = "fp32 2"
        failed, _, _ = self.train(options)
        self.assertEqual(failed, ["vowel tuned fp32 seed 1: ended by signal 9"])
        self.assertEqual([r["config"]["mode"] for r in self.records()], ["mixed"])
        del os.environ["FAKE_KILL"]
        self.assertEqual(self.train(options)[0], [])
        self.assertEqual(self.calls()[-1], "fp32 1 from 2")
        for old in whole:
            new = next(r for r in self.records() if r["config"] == old["config"])
            self.assertEqual({k: v for k, v in new.items() if k != "date"}, {k: v for k, v in old.items() if k != "date"})
        self.assertEqual(list((self.folder / "study/partial").iterdir()), [])

    def test_a_checkpoint_without_its_epochs_is_thrown_away_with_a_word(self):
        options = self.options("--seeds", "1", "--modes", "fp32")
        os.environ["FAKE_KILL"] = "fp32 2"
        self.train(options)
        del os.environ["FAKE_KILL"]
        for path in (self.folder / "study/partial").glob("*.jsonl"):
            path.unlink()
        self.assertIn("does not fit its checkpoint", self.train(options)[0][0])
        self.assertEqual(self.train(options)[0], [])
        self.assertEqual(len(self.records()[0]["loss"]), 3)

    def test_a_failing_mode_is_reported_and_the_others_go_on(self):
        os.environ["FAKE_FAIL"] = "bf16-sr"
        failed, _, said = self.train(self.options("--seeds", "1"))
        self.assertEqual(failed, ["vowel tuned bf16-sr seed 1: study_run: it does not work"])
        self.assertEqual(len(self.records()), 4)
        self.assertIn("FAILED", said)

    def test_a_run_that_diverges_is_kept_as_such_and_is_no_accuracy(self):
        os.environ["FAKE_DIVERGE"] = "bf16-rne"
        options = self.options("--seeds", "2", "--modes", "fp32,bf16-rne")
        self.train(options)
        mode = self.summary(options)["runs"][0]["modes"]["bf16-rne"]
        self.assertEqual((mode["diverged"], mode["mean"], mode["pairs"]), ([1, 2], None, 0))
        self.assertEqual(study_report.accuracy_text(mode), "- (2 diverged)")

    def test_a_measured_step_is_kept_with_what_was_asked_for(self):
        options = self.options("--modes", "bf16-sr")
        line = json.dumps({"config": "tiny", "batch": 16, "dram_read": 700, "dram_written": 300, "dram_instructions": 448,
                           "counters": {"moved": 1000, "instructions": 7}, "cycles": [700]})
        options.cost_program = [sys.executable, "-c", f"print({line!r})"]
        with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
            self.assertEqual(study.costs(["vowel"], options.modes, None, options), [])
        cost, = study.Log(self.folder / "study/cost.jsonl").read()
        self.assertEqual((cost["config"]["set"], cost["config"]["mode"], cost["core"]), ("vowel", "bf16-sr", "tiny"))
        self.assertEqual(len(self.summary(options, [cost])["cost"]), 1)

    def test_a_line_cut_off_by_a_crash_is_passed_over_and_the_next_one_is_whole(self):
        log = study.Log(self.folder / "log.jsonl")
        log.append({"a": 1})
        with open(log.path, "a", encoding="utf-8") as handle:
            handle.write('{"a": 2')
        log.append({"a": 3})
        with contextlib.redirect_stderr(io.StringIO()) as said:
            self.assertEqual(log.read(), [{"a": 1}, {"a": 3}])
        self.assertIn("line 2 is no JSON", said.getvalue())

    def test_interrupted_it_stops_its_processes_and_goes_on_later(self):
        own = self.folder / "own.csv"
        own.write_text("a,b\n" + "\n".join(f"{i},{i % 2}" for i in range(20)), encoding="utf-8")
        command = [sys.executable, str(ROOT / "scripts/study.py"), "run", "--sets", "none", "--data", str(own),
                   "--regimes", "tuned", "--seeds", "1", "--epochs", "4", "--jobs", "2", "--no-pictures",
                   "--program", f"{sys.executable} {self.folder / 'trainer.py'}"]
        # A shell's background job ignores SIGINT, and so would every process of this test.
        self.addCleanup(signal.signal, signal.SIGINT, signal.signal(signal.SIGINT, signal.default_int_handler))
        for kind in (signal.SIGINT, signal.SIGTERM):
            os.environ["FAKE_SLEEP"] = "0.3"
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            deadline, before = time.monotonic() + 30, len(self.calls())
            while len(self.calls()) < before + 2 and time.monotonic() < deadline:
                time.sleep(0.05)
            process.send_signal(kind)
            _, said = process.communicate(timeout=30)
            self.assertEqual(process.returncode, 130, said)
            self.assertIn("goes on where this one stopped", said)
            self.assertLess(len(self.records()), 5)
        os.environ["FAKE_SLEEP"] = "0"
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(len(self.records()), 5)
        self.assertTrue(all(len(r["loss"]) == 4 for r in self.records()))

    def test_wrong_options_name_the_right_ones(self):
        for bad, text in ((["--modes", "fp16"], "none of fp32, bf16-rne"), (["--sets", "iris"], "none of digits"),
                          (["--seeds", "0"], "a whole number from 1"), (["--sets", ""], "choose of")):
            with contextlib.redirect_stderr(io.StringIO()) as said, self.assertRaises(SystemExit):
                self.options(*bad)
            self.assertIn(text, said.getvalue())

    # ----------------------------------------------------------------------------------- reporting
    def summary(self, options, costs=()):
        wanted = {study.key_of(study.base_config(n, "tuned", options)): (n, "tuned") for n in ("vowel", "dna")}
        return study_report.summary(self.records(), costs, wanted, study.MODES)

    def test_mean_and_standard_error_are_those_of_the_definition(self):
        self.assertEqual(study_report.mean_error([]), (None, None))
        self.assertEqual(study_report.mean_error([3.0]), (3.0, None))
        mean, error = study_report.mean_error([1.0, 2.0, 3.0, 6.0])
        self.assertAlmostEqual(mean, 3)
        self.assertAlmostEqual(error, math.sqrt((4 + 1 + 0 + 9) / 3 / 4))

    def test_differences_are_taken_seed_by_seed_and_only_where_both_are(self):
        def record(mode, seed, correct):
            return {"config": {"mode": mode, "seed": seed}, "state": "done", "correct": [0, correct], "held_out": 100,
                    "loss": [1, 1], "seconds": 1}
        mine = [record("bf16-sr", 1, 91), record("bf16-sr", 2, 80), record("bf16-sr", 9, 10)]
        mode = study_report.mode_of(mine, {1: 90.0, 2: 82.0, 3: 50.0})
        self.assertEqual((mode["pairs"], mode["difference"], mode["difference_error"]), (2, -0.5, 1.5))
        self.assertAlmostEqual(mode["mean"], 181 / 3)
        self.assertEqual(mode["accuracy"], [0, 181 / 3])

    def test_the_verdict_says_when_the_seeds_do_not_decide(self):
        def of(difference, error, pairs=10):
            return study_report.verdict({"difference": difference, "difference_error": error, "pairs": pairs})
        self.assertEqual([of(0.3, 0.0, 2), of(-0.5, 0.1, 2)], ["yes, not resolved", "no, not resolved"])
        self.assertEqual([of(0.3, 0.1), of(-0.5, 0.1), of(0.0, 0.3), of(-0.2, 0.3), of(0.5, None)],
                         ["yes", "no", "yes, not resolved", "no, not resolved", "yes, not resolved"])
        self.assertEqual(study_report.verdict(None), "-")

    def test_runs_with_other_options_do_not_get_into_a_table(self):
        options = self.options("--seeds", "2", "--modes", "fp32")
        self.train(options)
        self.train(self.options("--seeds", "5", "--modes", "fp32", "--rate", "0.7"))
        runs = self.summary(options)["runs"]
        self.assertEqual([(r["set"], list(r["modes"]["fp32"]["correct"])) for r in runs], [("vowel", ["1", "2"])])

    def test_the_page_is_filled_from_the_figures_and_an_edit_is_noticed(self):
        options = self.options("--seeds", "2")
        self.train(options)
        docs = self.folder / "docs"
        docs.mkdir()
        page = "Text.\n" + "".join(f"<!-- begin {n} -->\nold\n<!-- end {n} -->\nbetween\n"
                                   for n in ("facts", "sets", "tuned", "low", "cost", "batch", "host-facts", "host-tuned", "host-low"))
        (docs / "study.md").write_text(page, encoding="utf-8")

        def cost(mode, batch, cycles, own):
            return {"config": {"set": "vowel", "mode": mode, "batch": batch}, "core": "tiny", "batch": batch, "own": own,
                    "cycles": [1, cycles], "dram_read": 600, "dram_written": 400, "dram_instructions": 448,
                    "counters": {"moved": 1000, "instructions": 7}}
        costs = [cost("bf16-sr", 16, 999, True), cost("bf16-sr", 16, 700, True), cost("mixed", 16, 1000, True),
                 cost("fp32", 16, 4000, True), cost("bf16-sr", 64, 900, False), cost("mixed", 64, 1000, False)]
        wanted = {study.key_of(study.base_config("vowel", "tuned", options)): ("vowel", "tuned")}
        with contextlib.redirect_stdout(io.StringIO()):
            for host in (False, True):
                study_report.write(self.folder, self.records(), costs, wanted, study.MODES, self.folder / "report", True,
                                   False, host)
        text = (docs / "study.md").read_text(encoding="utf-8")
        self.assertNotIn("old", text)
        self.assertIn("| 54.75 ± 0.25 |", text)  # fp32: 100 + 4 + seed + 4 of 200
        self.assertIn("| vowel | 2 | +2.00 ± 0.00 | +1.50 ± 0.00 | +1.00 ± 0.00 | +0.50 ± 0.00 | yes, not resolved |", text)
        self.assertIn("vowel, batch 16: cycles on tiny | 4,000 | - | 700 | - | 1,000 | 30.0 % |", text)
        self.assertIn("vowel, batch 16: bytes of data | 1,000 | 3 | 1,000 | 3 | 1,000 | 0.0 % |", text)
        self.assertIn("vowel, batch 16: bytes of instructions | 448 | 3 |", text)
        self.assertIsNone(study_report.counted_otherwise(costs[0]))
        self.assertEqual(study_report.counted_otherwise({**costs[0], "dram_read": 601}), "1000 moved, 448 fetched")
        self.assertIn("vowel on tiny, batch 64 | 900 | 1,000 | 10.0 % |", text)
        self.assertEqual(study_report.check_page(self.folder, study.MODES), 0)
        (docs / "study.md").write_text(text.replace("54.75", "99.75"), encoding="utf-8")
        with contextlib.redirect_stderr(io.StringIO()):
            self.assertEqual(study_report.check_page(self.folder, study.MODES), 1)
        (docs / "study.md").write_text("no parts", encoding="utf-8")
        with self.assertRaisesRegex(study_report.ReportError, "begin facts"):
            study_report.check_page(self.folder, study.MODES)

    def test_pictures_are_drawn_where_gnuplot_is(self):
        if not study_report.shutil.which("gnuplot"):
            print("no gnuplot here: pictures not tested", file=sys.stderr)
            return
        options = self.options("--seeds", "1")
        self.train(options)
        study_report.pictures(self.summary(options), study.MODES, self.folder / "pictures")
        self.assertEqual((self.folder / "pictures/study_vowel.png").read_bytes()[1:4], b"PNG")

    def test_the_time_that_is_left_comes_from_the_runs_that_are_done(self):
        options = self.options("--seeds", "1", "--modes", "fp32")
        self.train(options)
        estimate = study.Estimate(self.records())
        config = study.plan(["vowel"], options)[0]
        self.assertAlmostEqual(estimate.seconds({**config, "seed": 5}), 4.5)
        self.assertAlmostEqual(estimate.seconds({**config, "epochs": 30}), 45)
        self.assertIsNone(study.Estimate([]).seconds(config))


if __name__ == "__main__":
    unittest.main()
