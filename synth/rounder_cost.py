#!/usr/bin/env python3
"""What stochastic rounding costs: the random source of a lane, and the rounder beside a caster that
only rounds to nearest and toward zero (synth/baseline/rne_caster.sv), in one library's cells.

Mapped like make synth, without buffer trees, as a single unit is compared. Figures go to
build/results.json as rounder.*; the share of a core needs make synth CONFIG=tiny BLOCKS=core first.
"""

import argparse
import json
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / 'scripts'))
sys.path.insert(0, str(ROOT / 'synth'))
import liberty  # noqa: E402
import results  # noqa: E402
import synth  # noqa: E402

PACKAGES = ['rtl/isa/dither_pkg.sv', 'rtl/rounder/rounder_pkg.sv']
TOPS = {'lfsr': 'rtl/rounder/lfsr.sv', 'rounder': 'rtl/rounder/rounder.sv',
        'rne_caster': 'synth/baseline/rne_caster.sv'}
LANES = 16  # of a tiny core's vector engine, with two words and casters each, and of its scalar engine
SEED = "32'h5a5a1234"  # as many ones as zeros, as a lane's reset state has


def measure(name, top, params, lib, work):
  """The smaller of two results: what else was read moves yosys' heuristics by up to 6 %."""
  return min(synthesise(name, top, params, lib, work, files)
             for files in ([*PACKAGES, TOPS[top]], [*PACKAGES, *TOPS.values()]))


def synthesise(name, top, params, lib, work, files):
  """Area of one top in the library's unit."""
  link = work / 'cells.lib'
  link.unlink(missing_ok=True)
  link.symlink_to(lib)
  stat = work / f'{name}.txt'
  script = ['read_verilog -sv ' + ' '.join(files)] + [f'chparam -set {p} {v} {top}' for p, v in params]
  script += [f'synth -flatten -top {top}', f'dfflibmap -liberty {link}', f'abc -liberty {link}',
             'opt_clean', f'tee -q -o {stat} stat -liberty {link}']
  done = subprocess.run(['yosys', '-q', '-p', '; '.join(script)], cwd=ROOT, capture_output=True,
                        text=True, check=False)
  found = re.search(r'Chip area for \S+ \S+: ([\d.]+)', stat.read_text())\
      if not done.returncode else None
  if not found:
    sys.exit(f'rounder_cost: {name}: {done.stderr.strip()[-300:]}')
  return float(found.group(1))


def main():
  parser = argparse.ArgumentParser(description=__doc__,
                                   formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--lib', default=synth.DEFAULT_LIB, help='as for make synth')
  parser.add_argument('--core', type=pathlib.Path, help='result.json of the tiny core (default: '
                      'where make synth leaves it)')
  args = parser.parse_args()
  label, path = synth.find_lib(args.lib)
  work = ROOT / 'build' / 'cost' / label
  work.mkdir(parents=True, exist_ok=True)
  library = liberty.load(path, work)
  nand2 = library['nand2_area']
  area = {name: measure(name, top, params, path, work) / nand2 for name, top, params in (
      ('source', 'lfsr', [('ResetState', SEED)]),
      ('source_two', 'lfsr', [('ResetState', SEED), ('Pairs', "1'b1")]),
      ('source_plain', 'lfsr', [('ResetState', SEED), ('Whiten', "1'b0")]),
      ('caster', 'rounder', []),
      ('caster_nearest_only', 'rne_caster', []))}
  area['whitening'] = area['source'] - area['source_plain']
  area['stochastic_in_caster'] = area['caster'] - area['caster_nearest_only']
  area['stochastic_a_lane'] = area['source'] + area['stochastic_in_caster']
  command = 'make cost-rounder' + ('' if label == synth.DEFAULT_LIB else f' LIB={label}')
  figures = [{'name': f'rounder.{name}', 'value': round(value, 1), 'unit': 'NAND2',
              'config': label, 'command': command, 'noisy': False}
             for name, value in area.items()]
  suffix = '' if label == synth.DEFAULT_LIB else f'-{label}'
  core = args.core or ROOT / 'build' / 'synth' / f'tiny{suffix}' / 'core' / 'result.json'
  if core.exists():
    logic = json.loads(core.read_text())['result']['area'] / nand2
    both = area['source'] + area['source_two'] + 3 * area['stochastic_in_caster']
    figures.append({'name': 'rounder.stochastic_share_of_tiny',
                    'value': round(100 * LANES * both / logic, 3),
                    'unit': '%', 'config': label, 'command': command, 'noisy': False})
  else:
    print(f'no {core}: share of the core not computed')
  for f in figures:
    print(f'{f["name"]:36} {f["value"]:>10,} {f["unit"]}')
  results.add_all(figures)


if __name__ == '__main__':
  main()
