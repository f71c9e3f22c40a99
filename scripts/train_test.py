#!/usr/bin/env python3
"""Tests of build/tiny/train, the program behind `make train`, on pictures made here: what is left on the disk when a
training diverges, is interrupted, resumed, begun anew or has no room. python3 scripts/train_test.py"""
import os
import pathlib
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent
TRAIN = ROOT / "build/tiny/train"
HEADER = "step,loss,test_accuracy"


def pictures(folder, count=40):
    """Two kinds of pictures of 8 x 8, 32 of them to train on: bright above or below, with noise of a fixed sequence."""
    state, images = 1, bytearray()
    for n in range(count):
        for row in range(8):
            for _ in range(8):
                state = state * 1103515245 + 12345 & 0x7fffffff
                images.append((150 if (row < 4) == (n % 2 == 0) else 0) + state // 65536 % 100)
    folder.mkdir()
    (folder / "images.idx3").write_bytes(struct.pack(">IIII", 0x803, count, 8, 8) + images)
    (folder / "labels.idx1").write_bytes(struct.pack(">II", 0x801, count) + bytes(n % 2 for n in range(count)))


class TrainTest(unittest.TestCase):
    def setUp(self):
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        self.folder = pathlib.Path(holder.name)
        pictures(self.folder / "data")
        self.checkpoint, self.csv = self.folder / "a.ckpt", self.folder / "a.csv"

    def command(self, *more, checkpoint=None):
        batch = () if "--batch" in more else ("--batch", "8")
        return [str(TRAIN), "--data", str(self.folder / "data"), "--hidden", "32", *batch, "--checkpoint",
                str(checkpoint or self.checkpoint), *map(str, more)]

    def train(self, *more, code=0, checkpoint=None, before=None):
        done = subprocess.run(self.command("--rtl-steps", 0, *more, checkpoint=checkpoint), capture_output=True, text=True,
                              check=False, timeout=120, preexec_fn=before)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def steps(self, csv=None):
        lines = (csv or self.csv).read_text().splitlines()
        self.assertEqual(lines[0], HEADER)
        return [int(line.split(",")[0]) for line in lines[1:]]

    def test_a_training_whose_last_step_diverges_leaves_no_checkpoint(self):
        self.train("--epochs", 1)
        good = self.checkpoint.read_bytes(), self.csv.read_bytes()
        for _ in range(2):  # what was kept stays kept, checkpoint and CSV of one training
            said = self.train("--epochs", 1, "--batch", 32, "--rate", "1e30", "--momentum", 0, code=2)  # one step
            self.assertIn("after step 1: the loss of the evaluation is", said)
            self.assertFalse(self.checkpoint.exists())
            self.assertEqual(((self.folder / "a.ckpt.old").read_bytes(), (self.folder / "a.csv.old").read_bytes()), good)

    def test_numbers_that_can_not_train_are_refused_before_anything_is_touched(self):
        self.train("--epochs", 1)
        left = {p: p.read_bytes() for p in self.folder.glob("a.*")}
        self.assertIn("rate is nan", self.train("--epochs", 1, "--rate", "nan", code=1))
        self.assertIn("from 0 to below 1", self.train("--momentum", 1, code=105))
        self.assertIn("one file", self.train("--csv", self.checkpoint, code=1))
        self.assertEqual({p: p.read_bytes() for p in self.folder.glob("a.*")}, left)

    def test_ctrl_c_in_the_rtl_steps_leaves_a_checkpoint_that_goes_on_as_if_nothing_had_been(self):
        epochs = ("--epochs", 100)
        with subprocess.Popen(self.command("--rtl-steps", 400, *epochs), stdout=subprocess.PIPE, text=True,
                              preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)) as run:
            self.addCleanup(lambda: run.poll() is None and run.kill())
            told = 0
            for line in run.stdout:
                told += line.startswith("rtl step")
                if told == 2:
                    run.send_signal(signal.SIGINT)
                    break
            rest = run.stdout.read()
        self.assertEqual(run.returncode, 130)
        self.assertIn("interrupted after step", rest)
        at = int(rest.split("interrupted after step ")[1].split(";")[0])
        self.assertLess(at, 400)
        self.assertEqual(self.steps(), list(range(1, at + 1)))
        self.train("--resume", *epochs)
        whole = self.folder / "whole.ckpt"
        self.train(*epochs, checkpoint=whole)
        self.assertEqual(self.checkpoint.read_bytes(), whole.read_bytes())
        # Epochs that end in the RTL steps are not evaluated.
        self.assertEqual([line.split(",")[:2] for line in self.csv.read_text().splitlines()],
                         [line.split(",")[:2] for line in whole.with_suffix(".csv").read_text().splitlines()])

    def test_a_resumed_csv_goes_as_far_as_the_checkpoint(self):
        self.train("--epochs", 2)
        first = self.csv.read_text()
        self.csv.write_text(first + "9,1.0,\n10,2.0,\n11,3")  # what a stop behind the checkpoint leaves
        self.train("--epochs", 3, "--resume")
        self.assertTrue(self.csv.read_text().startswith(first))
        self.assertEqual(self.steps(), list(range(1, 13)))
        self.csv.unlink()
        self.train("--epochs", 4, "--resume")
        self.assertEqual(self.steps(), list(range(13, 17)))

    def test_a_training_begun_anew_keeps_what_was_there(self):
        self.train("--epochs", 1)
        old = self.checkpoint.read_bytes(), self.csv.read_bytes()
        said = self.train("--epochs", 1, "--seed", 2)
        kept = [line for line in said.splitlines() if line.startswith("kept ")]
        self.assertEqual(len(kept), 1)
        self.assertIn("a.ckpt.old", kept[0])
        self.assertIn("a.csv.old", kept[0])
        self.assertEqual(((self.folder / "a.ckpt.old").read_bytes(), (self.folder / "a.csv.old").read_bytes()), old)
        self.assertNotEqual(self.checkpoint.read_bytes(), old[0])

    def test_no_room_ends_with_a_message_and_without_halves(self):
        limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))  # noqa: E731
        self.assertIn("a.ckpt.new: can't be written: File too large", self.train("--epochs", 1, code=1, before=limit))
        self.assertFalse(self.checkpoint.exists())
        self.assertFalse((self.folder / "a.ckpt.new").exists())
        self.assertIn("/dev/full: can't be written", self.train("--epochs", 1, "--csv", "/dev/full", code=1))
        self.assertFalse(os.path.exists("/dev/full.gp"))
        self.checkpoint.mkdir()
        self.assertIn("a.ckpt: can't be written", self.train("--epochs", 1, code=1))
        self.assertFalse((self.folder / "a.ckpt.new").exists())

    def test_quotes_in_paths(self):
        odd = self.folder / "it's" / "a.ckpt"
        self.train("--epochs", 1, checkpoint=odd)
        self.assertEqual(odd.with_suffix(".svg").exists(), shutil.which("gnuplot") is not None)


if __name__ == "__main__":
    if not TRAIN.exists():
        sys.exit("train_test.py: build first: make build/tiny/train")
    unittest.main()
