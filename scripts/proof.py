#!/usr/bin/env python3
"""Proves the rounder for every input: tb/proof/rounder_proof.sv by yosys' SAT solver.

Per dtype, all that is asserted of `rounder` there (any fp32, random word, rounding, saturation), and
of the random source's leap and whitening. With --mutants each known fault is put into a copy of the
RTL, and the proof has to fail on it: a proof that no fault breaks proves nothing.
"""

import argparse
import concurrent.futures
import pathlib
import re
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
RTL = ['rtl/isa/dither_pkg.sv', 'rtl/rounder/rounder_pkg.sv', 'rtl/rounder/rounder.sv',
       'synth/baseline/rne_caster.sv', 'tb/proof/rounder_proof.sv']
DTYPES = {'other codes': 0, 'bf16': 2, 'fp16': 3, 'fp8e4m3': 4, 'fp8e5m2': 5, 'int8': 6, 'int32': 7}
SOURCE = 'random source'

# What the fault is, text in rounder_pkg.sv, its replacement, the proof that has to notice.
MUTANTS = [
    ('ties round up', "|| kept[0])", "|| 1'b1)", 'bf16'),
    ('no ties: a half rounds down', "(fraction[22:0] != '0 || kept[0])", "fraction[22:0] != '0",
     'bf16'),
    ('last bit of the sticky forgotten', "fraction[22:0] != '0", "fraction[22:1] != '0", 'int8'),
    ('random word shifted by a bit', "random[k +: 6], carry}", "6'(random >> (k + 1)), carry}",
     'bf16'),
    ('last bit of the random word ignored', "random[k +: 6], carry}",
     "6'({random[23:1], 1'b0} >> k), carry}", 'fp8e4m3'),
    ('carry in: an exact value may move', "carry = 1'b0;", "carry = 1'b1;", 'bf16'),
    ('stochastic saturates always', "sat || round == dither_pkg::RoundRtz",
     "sat || round != dither_pkg::RoundRne", 'fp16'),
    ('toward zero overflows to infinity', "sat || round == dither_pkg::RoundRtz", "sat", 'fp8e5m2'),
    ('infinity saturates in fp16 too', "sat && is_fp8", "sat", 'fp16'),
    ('infinity is never saturated', "inf) bits = sat && is_fp8 ? max_finite : overflow",
     "inf) bits = overflow", 'fp8e4m3'),
    ('NaN only above the first one', "fp32[30:0] > 31'h7f80_0000", "fp32[30:0] > 31'h7f80_0001",
     'bf16'),
    ('smallest normal taken for subnormal', "normal && exponent >= floor",
     "normal && exponent > floor", 'fp16'),
    ('subnormal grid one too fine', "floor      = 8'd121", "floor      = 8'd120", 'fp8e4m3'),
    ('far shifts wrap round', "lost_all = shift[7:6] != '0", "lost_all = 1'b0", 'fp8e5m2'),
    ('negative integers lose their carry', "up ^ neg}", "neg}", 'int8'),
    ('integer limit twice as high', "8'd135 : 8'd158", "8'd135 : 8'd159", 'int32'),
    ('int8 limit four times as high', "8'd135 : 8'd158", "8'd137 : 8'd158", 'int8'),
    ('int8 clamps positive only', "(is_int8 && res[9:7] != '0 && res[9:7] != '1)",
     "(is_int8 && res[9:7] != '0 && !sign)", 'int8'),
    ('NaN to the largest integer', "if (nan) NarrowOf = '0;", "if (nan) NarrowOf = 32'h7f;", 'int8'),
    ('-0 loses its sign', "bits[15] || (sign && sign_at_15)",
     "bits[15] || (sign && sign_at_15 && res != '0)", 'bf16'),
    ('undefined codes are cut', "      NarrowOf = fp32;", "      NarrowOf = {16'b0, fp32[15:0]};",
     'other codes'),
    ('the short form keeps a bit too few', "kept[31:10] = '0", "kept[31:9] = '0", 'fp16'),
    ('a tap of the leap one off', "(pair ^ (pair >> 5)) >> n",
     "(pair ^ (pair >> 4)) >> n", SOURCE),
    ('zero locks the source up', "state[0] || state[31:1] == '0", "state[0]", SOURCE),
    ('whitening from another nibble', "w[(k+24)%32+1 +: 3]);", "w[(k+20)%32+1 +: 3]);", SOURCE),
    ('a first product of another bit', "w[29] && w[15]", "w[29] && w[14]", SOURCE),
]


def prove(name, package, work):
  """Returns (holds, text) of one proof with this rounder_pkg.sv."""
  files = ' '.join(package if f.endswith('rounder_pkg.sv') else f for f in RTL)
  top = 'lfsr_proof' if name == SOURCE else 'rounder_proof'
  script = [f'read_verilog -sv -formal {files}']
  if name != SOURCE:
    script += [f'chparam -set Dtype {DTYPES[name]} {top}']
  script += [f'prep -flatten -top {top}', 'opt -full', 'techmap', 'opt -full',
             f'sat -prove-asserts -set-def-inputs -show-inputs -timeout 500 {top}']
  log = work / (re.sub(r'\W', '_', name) + '.log')
  log.with_suffix('.ys').write_text('\n'.join(script) + '\n')
  result = subprocess.run(['yosys', '-e', 'implicitly declared', '-s',
                           str(log.with_suffix('.ys'))], cwd=ROOT, capture_output=True, text=True,
                          check=False)
  log.write_text(result.stdout + result.stderr)
  if result.returncode != 0 or 'SAT proof finished' not in result.stdout:
    return None, f'no verdict, see {log}'
  if 'no model found: SUCCESS' in result.stdout:
    return True, ''
  inputs = re.findall(r'\\(\w+_i)\s+\d+\s+([0-9a-f]+)', result.stdout)
  return False, ', '.join(f'{port} {value}' for port, value in inputs)


def main():
  parser = argparse.ArgumentParser(description=__doc__,
                                   formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--mutants', action='store_true', help='the faults too')
  parser.add_argument('--jobs', type=int, default=2)
  args = parser.parse_args()
  work = ROOT / 'build' / 'proof'
  work.mkdir(parents=True, exist_ok=True)
  package = 'rtl/rounder/rounder_pkg.sv'
  text = (ROOT / package).read_text(encoding='utf-8')
  tasks = [(name, name, package, work, True) for name in [*DTYPES, SOURCE]]
  for number, (what, old, new, name) in enumerate(MUTANTS):
    # Looked at without --mutants too: whoever changes the RTL shall hear of it in make test.
    if text.count(old) != 1:
      sys.exit(f'proof: the mutant "{what}" no longer fits: {old!r} is {text.count(old)} times in '
               f'{package}')
    if not args.mutants:
      continue
    directory = work / f'mutant{number}'
    directory.mkdir(exist_ok=True)
    (directory / 'rounder_pkg.sv').write_text(text.replace(old, new), encoding='utf-8')
    tasks.append((f'{name}: {what}', name, str(directory / 'rounder_pkg.sv'), directory, False))
  bad = 0

  def run(task):
    begin = time.monotonic()
    holds, detail = prove(task[1], task[2], task[3])
    return task, holds, detail, time.monotonic() - begin

  with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
    for (label, _, _, _, wanted), holds, detail, seconds in pool.map(run, tasks):
      good = holds is wanted
      bad += not good
      verdict = {True: 'proven', False: 'refuted', None: 'UNDECIDED'}[holds]
      print(f'{"ok  " if good else "FAIL"} {verdict:9} {seconds:6.1f} s  {label}'
            + (f'  ({detail})' if not wanted or not good else ''), flush=True)
  print(f'proof: {len(tasks) - bad} of {len(tasks)} as they have to be')
  return 1 if bad else 0


if __name__ == '__main__':
  sys.exit(main())
