#!/usr/bin/env python3
"""Tests of build/host/study_run on a small table made here: every mode learns, a killed run resumes at the same
bits, and the host's floating point (build/host/study_host) agrees. python3 scripts/study_run_test.py"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "sim/data")]
import study  # noqa: E402
import to_table  # noqa: E402

RUN, HOST = ROOT / "build/host/study_run", ROOT / "build/host/study_host"
EPOCHS = 6


def centres(rows=320):
    """Three classes around three centres in four dimensions, with noise from the split's own generator."""
    random = to_table.split_mix(7)
    table = to_table.Table("centres", rows)
    labels = [i % 3 for i in range(rows)]
    for d in range(4):
        table.number([float((label >> d & 1) - (label == d)) + 1.2 * ((next(random) >> 40) / 2 ** 24 - 0.5)
                      for label in labels])
    table.label(labels, range(3))
    return table.encode()


class StudyRunTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = pathlib.Path(folder.name)
        cls.table = cls.folder / "centres.dtbl"
        cls.table.write_bytes(centres())

    def command(self, program, mode, *more):
        return [str(program), "--table", str(self.table), "--mode", mode, "--hidden", "24-16", "--batch", "16", "--rate",
                "0.05", "--epochs", str(EPOCHS), *more]

    def lines(self, program, mode, *more):
        done = subprocess.run(self.command(program, mode, *more), capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return [json.loads(line) for line in done.stdout.splitlines()]

    @staticmethod
    def told(lines):
        """Without what differs from run to run."""
        return [{k: v for k, v in line.items() if "seconds" not in k} for line in lines if line["event"] == "epoch"]

    def test_every_mode_learns(self):
        for mode in study.MODES:
            lines = self.lines(RUN, mode)
            self.assertEqual([line["event"] for line in lines], ["start"] + ["epoch"] * EPOCHS + ["done"])
            epochs = lines[1:-1]
            self.assertLess(epochs[-1]["loss"], epochs[0]["loss"] / 2, mode)
            self.assertEqual(epochs[-1]["count"], 64)
            self.assertGreater(epochs[-1]["correct"], 57, mode)
            self.assertEqual(lines[-1]["steps"], EPOCHS * (256 // 16))

    def test_the_host_s_floating_point_learns_the_same(self):
        # Same start, same order: in fp32 the losses agree but for the order of sums; in bf16 but for rounding.
        for mode, within in (("fp32", 1e-3), ("mixed", 0.1), ("bf16-sr", 0.2)):
            core, host = (self.told(self.lines(program, mode)) for program in (RUN, HOST))
            for a, b in zip(core, host):
                self.assertLess(abs(a["loss"] - b["loss"]), within * b["loss"] + 1e-4, f"{mode}, epoch {a['epoch']}")
                self.assertLess(abs(a["correct"] - b["correct"]), 4)

    def test_a_killed_run_resumes_at_the_same_bits(self):
        whole = self.told(self.lines(RUN, "bf16-sr"))
        self.assertNotEqual(whole, self.told(self.lines(RUN, "bf16-sr", "--seed", "2")))
        point = self.folder / "point"
        keep = ["--checkpoint", str(point), "--checkpoint-seconds", "0"]
        process = subprocess.Popen(self.command(RUN, "bf16-sr", *keep), stdout=subprocess.PIPE, text=True)
        first = []
        for text in process.stdout:
            first.append(json.loads(text))
            if first[-1].get("epoch") == 3 and first[-1]["event"] == "epoch":
                process.kill()
                break
        process.stdout.close()
        process.wait()
        self.assertTrue(point.exists())
        second = self.lines(RUN, "bf16-sr", *keep)
        start = second[0]["epoch"]
        self.assertIn(start, range(3, EPOCHS))  # the checkpoint of an epoch comes before its line
        self.assertEqual(self.told(first), whole[:3])
        self.assertEqual(self.told(second), whole[start:])

    def test_a_last_step_that_diverges_is_no_accuracy(self):
        # One step: its loss is a number, what it leaves gives none.
        done = subprocess.run([str(RUN), "--table", str(self.table), "--hidden", "24-16", "--batch", "16", "--limit", "16",
                               "--rate", "1e30", "--momentum", "0", "--epochs", "1"], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual([line["event"] for line in lines], ["start", "diverged"])
        self.assertEqual(lines[-1]["epoch"], 0)
        self.assertIn("after step 1", lines[-1]["why"])

    def test_a_damaged_checkpoint_starts_again_and_says_so(self):
        point = self.folder / "damaged"
        self.lines(RUN, "bf16-sr", "--checkpoint", str(point), "--checkpoint-seconds", "0")
        data = bytearray(point.read_bytes())
        data[len(data) // 2] ^= 1
        point.write_bytes(data)
        lines = self.lines(RUN, "bf16-sr", "--checkpoint", str(point))
        self.assertEqual(lines[0]["event"], "restart")
        self.assertEqual(self.told(lines), self.told(self.lines(RUN, "bf16-sr")))

    def test_bad_input_is_refused_with_what_helps(self):
        for more, text in ((["--mode", "fp4"], "--mode"), (["--batch", "500"], "500"), (["--rate", "fast"], "--rate")):
            done = subprocess.run([str(RUN), "--table", str(self.table), *more], capture_output=True, text=True, check=False)
            self.assertNotEqual(done.returncode, 0, more)
            self.assertIn(text, done.stderr + done.stdout)
        damaged = self.folder / "bad.dtbl"
        damaged.write_bytes(self.table.read_bytes()[:-5])
        done = subprocess.run([str(RUN), "--table", str(damaged)], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("damaged", done.stderr)


if __name__ == "__main__":
    missing = [str(p) for p in (RUN, HOST) if not os.access(p, os.X_OK)]
    if missing:
        sys.exit(f"study_run_test.py: build first: make {' '.join(str(pathlib.Path(m).relative_to(ROOT)) for m in missing)}")
    unittest.main()
