#!/usr/bin/env python3
"""Switching of the PE array: capacitance switched per MAC and cycle, by the share of operands that are zero.

A slice of the array (one column group of pe_tile, mapped as synth/explore.py maps it) is simulated gate by gate on random
bf16 operands, 256 streams at once as the bits of integers. Every change of a net counts with the input capacitance of the pins
that it drives: wires, glitches, the inside of cells and the clock are not in it, so figures serve to compare forms, not
to predict watts. `held`: as if a zero left the significand and the sign
of its row as they were at the array's west edge, which the RTL does not do yet.
"""

import argparse
import pathlib
import random
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / 'synth'))
sys.path.insert(0, str(ROOT / 'scripts'))
import json  # noqa: E402

import liberty  # noqa: E402
import results  # noqa: E402
import synth  # noqa: E402

TOP = 'pe_tile'
FILES = ['array_pkg', 'pe_tile', 'dot_pe', 'dot_group', 'dot_exponent', 'exponent_cut', 'carry_save_sum', 'carry_save_level']
STREAMS = 256
WARM, CYCLES = 8, 40
SHARES = (0.0, 0.25, 0.5, 0.75, 0.9)


def netlist(lib, rows, columns, work):
  """Maps the slice; returns yosys' JSON of it."""
  out = work / 'activity.json'
  files = ' '.join(f'rtl/tensor/{name}.sv' for name in FILES)
  script = (f'read_verilog -sv -I rtl/tensor rtl/isa/dither_pkg.sv {files}; '
            f'chparam -set ColGroups 1 -set D {rows} -set G {columns} -set SumW 36 {TOP}; '
            f'synth -flatten -top {TOP}; dfflibmap -liberty {lib}; abc -liberty {lib}; setundef -zero; opt_clean -purge; '
            f'write_json {out}')
  done = subprocess.run(['yosys', '-q', '-p', script], cwd=ROOT, capture_output=True, text=True, check=False)
  if done.returncode:
    sys.exit(f'activity: yosys: {done.stderr.strip()[-400:]}')
  return json.loads(out.read_text())['modules'][TOP]


class Netlist:
  """The mapped slice as a Python function of one cycle; a net's value is an integer with a bit per stream."""

  def __init__(self, module, cells):
    self.mask = (1 << STREAMS) - 1
    self.ports = {name: port['bits'] for name, port in module['ports'].items()}
    self.inputs = [name for name, port in module['ports'].items() if port['direction'] == 'input']
    self.load, self.flops, driver = {}, [], {}
    for cell in module['cells'].values():
      kind, pins = cells[cell['type']], {pin: bits[0] for pin, bits in cell['connections'].items()}
      for pin, cap in kind['caps'].items():
        self.load[pins[pin]] = self.load.get(pins[pin], 0.0) + cap
      if kind['flop']:
        self.flops.append((pins['D'], pins.get('Q'), pins.get('QN')))
      else:
        driver.update({pins[pin]: (pin, kind, pins) for pin in kind['functions'] if pin in pins})
    order, seen = [], set()
    sys.setrecursionlimit(100000)

    def visit(net):
      if net in seen or net not in driver:
        return
      seen.add(net)
      pin, kind, pins = driver[net]
      for source in kind['caps']:
        visit(pins[source])
      order.append((net, kind['functions'][pin], pins))
    for net in driver:
      visit(net)
    lines = ['def settle(v, M):']
    lines += [f'  v[{net}] = ' + liberty.python(function, {p: self.name(n) for p, n in pins.items()}) for net, function, pins in order]
    scope = {}
    exec('\n'.join(lines), scope)  # pylint: disable=exec-used
    self.settle = scope['settle']
    nets = [*driver, *self.load, *(n for f in self.flops for n in f), *(n for bits in self.ports.values() for n in bits)]
    self.value = [0] * (1 + max(n for n in nets if isinstance(n, int)))
    self.load = {net: cap for net, cap in self.load.items() if isinstance(net, int)}
    self.before = None

  @staticmethod
  def name(net):
    return f'v[{net}]' if isinstance(net, int) else 'M' if net == '1' else '0'

  def set(self, port, first, bits):
    for i, bit in enumerate(bits):
      net = self.ports[port][first + i]
      if isinstance(net, int):
        self.value[net] = bit

  def cycle(self):
    """One clock cycle; returns the capacitance switched since the last one, of all streams."""
    v = self.value
    self.settle(v, self.mask)
    switched = 0.0
    if self.before is not None:
      switched = sum(cap * (v[net] ^ self.before[net]).bit_count() for net, cap in self.load.items())
    self.before = v[:]
    following = [v[d] if isinstance(d, int) else self.mask * (d == '1') for d, _, _ in self.flops]
    for (_, q, qn), bit in zip(self.flops, following):
      if q is not None:
        v[q] = bit
      if qn is not None:
        v[qn] = self.mask ^ bit
    return switched


class Operands:
  """Random normal bf16 operands with exponents within 2^8, as bit slices; a share of them is zero."""

  def __init__(self, seed):
    self.random = random.Random(seed)
    self.all = (1 << STREAMS) - 1

  def zeros(self, share):
    return sum(1 << i for i in range(STREAMS) if self.random.random() < share)

  def draw(self, zero):
    def bits():
      return self.random.getrandbits(STREAMS)
    exponent = [bits() for _ in range(3)] + [self.all] * 4 + [0]
    significand = [bits() for _ in range(7)] + [self.all]
    live = self.all ^ zero
    return bits() & live, [b & live for b in exponent], [b & live for b in significand]


def triple(x):
  """Three times an 8-bit number."""
  carry, out = 0, []
  for a, b in zip([*x, 0, 0], [0, *x, 0]):
    out.append(a ^ b ^ carry)
    carry = (a & b) | (carry & (a ^ b))
  return out


def measure(module, cells, rows, columns, x_zero, w_zero, hold):
  """Capacitance switched per MAC and cycle."""
  net, source = Netlist(module, cells), Operands(1)
  every = [net.mask]
  for step in range(columns + 2):  # weights: shift in, then swap
    for r in range(rows):
      sign, exponent, significand = source.draw(source.zeros(w_zero))
      net.set('we_i', 8 * r, exponent)
      net.set('we_i', 8 * rows + r, [sign])
      net.set('wm_i', 8 * r, significand)
    for port, on in (('w_shift_i', step < columns), ('w_swap_i', step >= columns)):
      net.set(port, 0, (every if on else [0]) * len(net.ports[port]))
    net.cycle()
  net.set('w_swap_i', 0, [0] * len(net.ports['w_swap_i']))
  net.set('v_i', 0, every * len(net.ports['v_i']))
  total = 0.0
  signs = [0] * rows
  significands, late = [[0] * 8] * rows, [[0] * 8] * rows
  for step in range(WARM + CYCLES):
    for r in range(rows):
      zero = source.zeros(x_zero)
      sign, exponent, significand = source.draw(zero)
      if hold:
        live = net.mask ^ zero
        sign = (sign & live) | (signs[r] & zero)
        significand = [(new & live) | (old & zero) for new, old in zip(significand, significands[r])]
      signs[r], significands[r] = sign, significand
      net.set('xe_i', 8 * r, exponent)
      net.set('xe_i', 8 * rows + r, [sign])
      net.set('xm_i', 8 * r, late[r])  # a step behind the exponents
      net.set('xm_i', 8 * rows + 10 * r, triple(late[r]))
      late[r] = significand
    switched = net.cycle()
    total += switched if step >= WARM else 0.0
  return total / CYCLES / STREAMS / rows / columns


def main():
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--lib', default=synth.DEFAULT_LIB, help='as for make synth')
  parser.add_argument('--rows', type=int, default=16, help='rows of the slice (16)')
  parser.add_argument('--columns', type=int, default=2, help='columns of the slice (2)')
  args = parser.parse_args()
  label, path = synth.find_lib(args.lib)
  work = ROOT / 'build' / 'activity'
  work.mkdir(parents=True, exist_ok=True)
  cells = liberty.load(path, work)['cells']
  unit = liberty.load(path, work)['cap_unit']
  command = 'make activity' + ('' if label == synth.DEFAULT_LIB else f' LIB={label}')
  figures = []
  module = netlist(path, args.rows, args.columns, work)
  print(f'{label}, {args.rows} rows, {args.columns} columns: capacitance switched per MAC and cycle, library units')
  print('zero: x     w    as it comes   held    saved')
  for w_zero in (0.0, 0.5):
    for x_zero in SHARES:
      plain, held = (measure(module, cells, args.rows, args.columns, x_zero, w_zero, h) for h in (False, True))
      print(f'   {x_zero:5.0%} {w_zero:5.0%} {plain:12.1f} {held:8.1f} {1 - held / plain:7.1%}', flush=True)
      figures += [{'name': f'activity.{form}_x{round(100 * x_zero)}_w{round(100 * w_zero)}', 'value': round(value, 1),
                   'unit': 'fF' if unit == ['1', 'ff'] else 'x '.join(unit), 'config': label, 'command': command,
                   'note': 'switched per MAC and cycle', 'noisy': False} for form, value in (('plain', plain), ('held', held))]
  results.add_all(figures)


if __name__ == '__main__':
  main()
