#!/usr/bin/env python3
"""What a training step costs on the Verilated core, and what a training reaches: the figures train.* of docs/results.md.

Runs build/CONFIG/train_bench (cycles are counts: they repeat exactly) and build/CONFIG/train (the digits of `make sim`, every
epoch on the functional model). A run takes some minutes; `make bench-train` builds what it needs.
"""

import argparse
import json
import pathlib
import re
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / 'scripts'))
import results  # noqa: E402

NETWORKS = (('784-128-10', (16, 32, 64, 128)), ('512-512-512', (16, 32, 64, 128)))
MODES = ('bf16-sr', 'mixed')


def output_of(command):
  done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
  if done.returncode:
    sys.exit(f'bench_train: {" ".join(map(str, command))}: {done.stderr.strip()[-300:]}')
  return done.stdout


def steps(program, sizes, batches):
  """Cycles and array use of a step by (batch, mode)."""
  lines = ROOT / 'build' / 'bench-train.jsonl'
  output_of([program, '--sizes', sizes.replace('-', ','), '--batch', ','.join(map(str, batches)), '--mode', ','.join(MODES),
             '--json', lines])
  rows = [json.loads(line) for line in lines.read_text().splitlines()]
  return {(row['batch'], row['mode']): row for row in rows}


def main():
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--config', default='tiny', help='the core (tiny)')
  parser.add_argument('--data', type=pathlib.Path, required=True, help='folder of the pictures')
  args = parser.parse_args()
  build = ROOT / 'build' / args.config
  figures = []

  def add(name, value, unit, note=None, noisy=False):
    figures.append({'name': f'train.{name}', 'value': value, 'unit': unit, 'config': args.config, 'note': note,
                    'command': f'make bench-train CONFIG={args.config}', 'noisy': noisy})
    print(f'train.{name:40} {value:>12,} {unit}', flush=True)

  for sizes, batches in NETWORKS:
    rows = steps(build / 'train_bench', sizes, batches)
    for batch in batches:
      cycles = {mode: rows[batch, mode]['cycles'] for mode in MODES}
      for mode in MODES:
        add(f'cycles_{sizes}_b{batch}_{mode}', cycles[mode], 'cycles', 'a step: forward, backward, update; DRAM to DRAM')
      add(f'fewer_{sizes}_b{batch}', round(100 - 100 * cycles['bf16-sr'] / cycles['mixed'], 2), '%',
          'fewer cycles in bf16-sr than with fp32 master weights')
    row = rows[batches[-1], 'bf16-sr']
    add(f'array_busy_{sizes}', round(row['busy'], 2), '%', f'batch {batches[-1]}, bf16-sr: cycles that issue a column')
    add(f'array_useful_{sizes}', round(row['useful'], 2), '%', 'of them in products of the network')
  def train(*options):
    return output_of([build / 'train', '--data', args.data, '--checkpoint', ROOT / 'build' / 'bench-train.ckpt', *options])

  start = time.monotonic()
  said = train('--epochs', '20', '--rtl-steps', '0')
  took = time.monotonic() - start
  right, held_out = re.search(r'accuracy +([\d.]+) % of (\d+)', said).groups()
  add('digits_accuracy', float(right), '%', f'{held_out} held-out pictures of {args.data.name}, 784-128-10, 20 epochs in bf16-sr')
  trained = int(re.search(r'(\d+) pictures to train on', said).group(1))
  add('epoch_of_10000', round(took / 20 * 10000 / trained, 2), 's',
      'functional model, one core, evaluation after each epoch included', noisy=True)
  results.add_all(figures)


if __name__ == '__main__':
  main()
