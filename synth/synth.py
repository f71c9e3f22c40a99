#!/usr/bin/env python3
"""Synthesises the blocks of the design with yosys and times them with OpenSTA.

Per block: area by module, memory bits, flops, the worst paths with their ends. Memories (wrapper
modules named in synth/blocks.json) are black boxes; everything else is mapped to the library's cells.
Latches, loops, double or missing drivers, width mismatches and any error of a tool fail the block.
How to read the figures: docs/synthesis.md
"""

import argparse
import concurrent.futures
import hashlib
import json
import math
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / 'scripts'))
sys.path.insert(0, str(ROOT / 'synth'))
import fanout  # noqa: E402
import liberty  # noqa: E402
import results  # noqa: E402

TECH_DIR = pathlib.Path('/usr/share/qflow/tech')
DEFAULT_LIB = 'osu018'

# Module that instantiates the block; gone before synthesis.
WRAPPER = 'synth_py_wrapper'

# Messages of yosys that mean a broken netlist wherever they appear.
FATAL = [
    (re.compile(r'Latch inferred for signal'), 'latch'),
    (re.compile(r'multiple conflicting drivers'), 'multiple drivers'),
    (re.compile(r'[Dd]river-driver conflict'), 'multiple drivers'),
    (re.compile(r'is used but has no driver'), 'undriven wire'),
    (re.compile(r'Resizing cell port'), 'port width mismatch'),
    (re.compile(r'Range select out of bounds|out of bounds on signal'), 'select out of range'),
]
# On words a loop may be only apparent (two independent halves of one wide multiplexer): a loop is
# judged on gates.
LOOP = re.compile(r'found logic loop')

# The tools under way, and whether no more may start.
RUNNING = set()
STOPPED = threading.Event()

KINDS = {'clk clk': 'register to register', 'io clk': 'input to register',
         'clk io': 'register to output', 'io io': 'input to output'}


class SynthError(Exception):
  """A user's mistake or a block that failed: one line for the reader."""


def say(text, lock=threading.Lock()):
  with lock:
    print(text, flush=True)


def stop(number, _):
  """Ends the tools with us when the run is interrupted."""
  STOPPED.set()
  for child in list(RUNNING):
    child.terminate()
  raise SystemExit(128 + number)


def sha(data):
  return hashlib.sha256(data if isinstance(data, bytes) else data.encode()).hexdigest()


def load_table(path):
  """Reads and checks the table of blocks."""
  try:
    table = json.loads(path.read_text())
  except (OSError, ValueError) as error:
    raise SynthError(f'{path}: {error}') from None
  for name, block in table['blocks'].items():
    for config, values in table['configs'].items():
      missing = [p for p in block['params'] if p not in values and p not in block.get('set', {})]
      if missing:
        raise SynthError(f'{path}: configuration {config} gives no {", ".join(missing)}, '
                         f'which block {name} takes')
  return table


def installed_libs():
  return {p.name.removesuffix('_stdcells.lib'): p for p in TECH_DIR.glob('*/*_stdcells.lib')}


def find_lib(name):
  """Returns (label, path) of a library named by the user."""
  known = installed_libs()
  if name in known:
    return name, known[name]
  path = pathlib.Path(name)
  if path.suffix in ('.xz', '.gz', '.bz2', '.zip') and path.exists():
    raise SynthError(f'{name} is compressed: unpack it first, neither yosys nor OpenSTA reads it')
  if not path.is_file():
    names = ', '.join(sorted(known)) or 'none (install the package qflow-tech-osu018)'
    raise SynthError(f'no library {name!r}: give the path of a Liberty file or one of those '
                     f'installed: {names}')
  return re.sub(r'[^A-Za-z0-9_.-]', '_', path.stem), path.resolve()


def run(command, log, cwd):
  """Runs a tool with its whole output in the log; returns (exit code, text)."""
  if STOPPED.is_set():
    raise SynthError('stopped')
  with open(log, 'w', encoding='utf-8') as out:
    child = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT,
                             stdin=subprocess.DEVNULL, cwd=cwd)
    RUNNING.add(child)
    code = child.wait()
    RUNNING.discard(child)
  return code, log.read_text(encoding='utf-8', errors='replace')


def first_error(text):
  """The first error of a tool's output, on one line."""
  lines = text.splitlines()
  for i, line in enumerate(lines):
    if re.search(r'\berror\b', line, re.I) and not line.startswith('yosys>'):
      follow = lines[i + 1].strip() if line.rstrip().endswith(':') and i + 1 < len(lines) else ''
      return f'{line.strip()} {follow}'.strip()[:300]
  return lines[-1].strip()[:300] if lines else 'no output'


def judge(text, gates):
  """Raises SynthError at the first message that means a broken netlist."""
  for line in text.splitlines():
    for pattern, kind in FATAL:
      if pattern.search(line):
        raise SynthError(f'{kind}: {line.strip()[:260]}')
    if gates and LOOP.search(line):
      raise SynthError(f'combinational loop: {line.strip()[:260]}')


def verilog_value(text):
  """The value of an RTLIL constant: 8, 32'0101, s32'.. or a string."""
  if text.startswith('"'):
    return text.strip('"')
  match = re.fullmatch(r"s?\d+'(s?)([01xz]+)", text.removeprefix('signed '))
  if match:
    return int(match.group(2).replace('x', '0').replace('z', '0'), 2)
  return int(text)


def parse_headers(text):
  """Modules of `dump -m i:* o:*`: name -> base name, parameters, ports, source file."""
  modules, attributes, module = {}, {}, None
  for line in text.splitlines():
    word, _, rest = line.strip().partition(' ')
    if word == 'attribute':
      name, _, value = rest.partition(' ')
      attributes[name.lstrip('\\')] = value.strip('"').replace('\\\\', '\\')
      continue
    if word == 'module':
      base = attributes.get('hdlname', rest).lstrip('\\')
      module = {'base': base, 'params': {}, 'ports': [],
                'file': attributes.get('src', '').split(':')[0]}
      modules[rest] = module
    elif word == 'parameter' and module is not None:
      name, _, value = rest.removeprefix('signed ').partition(' ')
      if value:
        module['params'][name.lstrip('\\')] = verilog_value(value)
    elif word == 'wire' and module is not None:
      match = re.search(r'(?:width (\d+) )?.*?\b(input|output|inout) \d+ .*?\\(\S+)$', rest)
      if match:
        module['ports'].append((match.group(3), match.group(2), int(match.group(1) or 1)))
    attributes = {}
  return modules


def parse_stat(text):
  """The statistics by module of `stat -json`.

  yosys 0.23 prints its hierarchy into the JSON after them as plain text: what follows is dropped.
  """
  return json.loads(re.split(r'^ {3}\},?$', text, flags=re.M)[0] + '}}')['modules']


def clean_names(modules, memories, top):
  """A readable name per elaborated module; copies of one module differ by their parameters.

  The top keeps its name as it is.
  """
  names, copies = {}, {}
  for mangled, module in sorted(modules.items()):
    copies.setdefault(module['base'], []).append(mangled)
  for base, group in copies.items():
    group.sort(key=lambda m: m != top)
    for number, mangled in enumerate(group, 1):
      params = modules[mangled]['params']
      if base in memories['modules']:
        missing = [p for p in memories['size'] if p not in params]
        if missing:
          raise SynthError(f'memory {base} has no parameter {", ".join(missing)}: its bits can not '
                           'be counted')
        name = base + '_' + 'x'.join(str(params[p]) for p in memories['size'])
      else:
        name = base
        differ = [p for p in params
                  if len({str(modules[m]['params'].get(p)) for m in group}) > 1]
        if mangled != top:
          name += ''.join(f'_{p}{params[p]}' for p in differ)
      name = re.sub(r'\W', '_', name)
      if len(name) > 60:
        name = f'{base}_{number}'
      if name in names.values():
        name += f'_{number}'
      names[mangled] = name
  return names


def sram_liberty(library, cell, module, clock, memories, fo4):
  """A Liberty cell for a black box: every input set up to the clock, every output out of it."""
  access, setup = memories['access_fo4'] * fo4, memories['setup_fo4'] * fo4
  cap = 4 * library['inverter_cap']
  types, pins = set(), []
  for name, direction, width in module['ports']:
    if name == clock:
      pins.append(f'pin ({name}) {{ direction : input; clock : true; capacitance : {cap:.6g}; }}')
      continue
    if direction == 'input':
      body = (f'direction : input; capacitance : {cap:.6g}; timing () {{ related_pin : "{clock}"; '
              f'timing_type : setup_rising; rise_constraint (scalar) {{ values ("{setup:.6g}"); }} '
              f'fall_constraint (scalar) {{ values ("{setup:.6g}"); }} }}')
    else:
      body = (f'direction : output; timing () {{ related_pin : "{clock}"; '
              f'timing_type : rising_edge; timing_sense : non_unate; '
              + ' '.join(f'{kind} (scalar) {{ values ("{value:.6g}"); }}' for kind, value in (
                  ('cell_rise', access), ('cell_fall', access),
                  ('rise_transition', fo4), ('fall_transition', fo4))) + ' }')
    if width == 1:
      pins.append(f'pin ({name}) {{ {body} }}')
    else:
      types.add(width)
      pins.append(f'bus ({name}) {{ bus_type : w{width}; {body} }}')
  return (types, f'cell ({cell}) {{\n area : 0;\n interface_timing : true;\n '
          + '\n '.join(pins) + '\n}\n')


def write_sram_library(path, library, modules, names, memories, clock, fo4):
  types, cells = set(), []
  for mangled, name in sorted(names.items(), key=lambda item: item[1]):
    if modules[mangled]['base'] in memories['modules']:
      more, text = sram_liberty(library, name, modules[mangled], clock, memories, fo4)
      types |= more
      cells.append(text)
  if not cells:
    return False
  head = ['library (dither_srams) {', 'delay_model : table_lookup;',
          f'time_unit : "{library["time_unit"]}";', 'voltage_unit : "1V";',
          'current_unit : "1mA";', 'pulling_resistance_unit : "1kohm";',
          'leakage_power_unit : "1nW";',
          f'capacitive_load_unit ({library["cap_unit"][0]}, {library["cap_unit"][1]});']
  head += library['thresholds']
  head += [f'type (w{w}) {{ base_type : array; data_type : bit; bit_width : {w}; '
           f'bit_from : {w - 1}; bit_to : 0; downto : true; }}' for w in sorted(types)]
  path.write_text('\n'.join(head) + '\n' + ''.join(cells) + '}\n')
  return True


def run_sta(script, log, cwd):
  """Runs OpenSTA, which exits 0 after errors: its output is searched instead."""
  code, text = run(['sta', '-no_splash', '-no_init', '-exit', script], log, cwd)
  bad = re.search(r'^.*(\bError\b|not found\. Creating black box|creating black box).*$', text,
                  re.M | re.I)
  if code != 0 or bad or 'STA-COMPLETE' not in text:
    line = bad.group(0).strip() if bad else f'exit code {code}, {first_error(text)}'
    raise SynthError(f'OpenSTA: {line[:260]} (log: {log})')
  return text


def measure_fo4(library, lib_path, directory):
  """The delay of an inverter that drives four of its kind, in the library's time unit.

  It is the yardstick for what a library doesn't say: how fast a memory would be in it.
  """
  cache = directory / f'fo4-{library["sha"][:16]}.json'
  if cache.exists():
    return json.loads(cache.read_text())['fo4']
  cell, (a, y) = library['inverter'], library['inverter_pins']
  lines = ['module fo4 (i, o4, o12);', 'input i; output o4, o12;', 'wire n0;']
  lines += [f'wire n{k}, l{k}, m{k}, k{k};' for k in range(1, 14)]
  lines += ['assign n0 = i;'] + [
      f'{cell} u{k} (.{a}(n{k - 1}), .{y}(n{k}));\n' + '\n'.join(
          f'{cell} {load}u{k} (.{a}(n{k - 1}), .{y}({load}{k}));' for load in 'lmk')
      for k in range(1, 14)]
  lines += ['assign o4 = n4;', 'assign o12 = n12;', 'endmodule']
  (directory / 'fo4.v').write_text('\n'.join(lines) + '\n')
  (directory / 'fo4.tcl').write_text(
      f'read_liberty {{{lib_path}}}\nread_verilog fo4.v\nlink_design fo4\n'
      'create_clock -name io -period 1000\nset_input_delay 0 -clock io [get_ports i]\n'
      'set_output_delay 0 -clock io [all_outputs]\n'
      'report_checks -to [get_ports o4] -digits 6\nreport_checks -to [get_ports o12] -digits 6\n'
      'puts STA-COMPLETE\n')
  text = run_sta('fo4.tcl', directory / 'fo4.log', directory)
  arrivals = [float(x) for x in re.findall(r'^\s+([\d.]+)\s+data arrival time', text, re.M)]
  if len(arrivals) < 2 or arrivals[1] <= arrivals[0]:
    raise SynthError(f'OpenSTA gave no inverter delay (log: {directory / "fo4.log"})')
  fo4 = (arrivals[1] - arrivals[0]) / 8
  cache.write_text(json.dumps({'fo4': fo4}))
  return fo4


class Flow:
  """One run: a configuration, a library and the options that change the result."""

  def __init__(self, args, table, lib_label, lib_path):
    self.args, self.table, self.lib_label, self.lib_path = args, table, lib_label, lib_path
    self.rtl, self.out, self.config = args.rtl, args.out, args.config
    self.out.mkdir(parents=True, exist_ok=True)
    self.values = table['configs'][args.config]
    self.memories, self.clock = table['memories'], table['clock']
    self.library = liberty.load(lib_path, self.out)
    self.fo4 = measure_fo4(self.library, lib_path, self.out)
    clocks = table['clock_ns']
    self.clock_ns = args.clock_ns or clocks.get(lib_label, clocks['other'])
    versions = [subprocess.run(c, capture_output=True, text=True, check=False).stdout.strip()
                for c in (['yosys', '-V'], ['sta', '-version'])]
    code = b''.join((ROOT / 'synth' / f).read_bytes() for f in ('synth.py', 'liberty.py', 'fanout.py'))
    self.base_key = [versions, sha(code), self.library['sha'], self.clock_ns, args.map,
                     args.fanout,
                     self.memories, self.clock, self.fo4]

  # --- sources -----------------------------------------------------------------------------------

  def sources(self, block):
    """The files a block needs, packages first: a broken file elsewhere doesn't stop this block.

    A module lies in the file of its name, so every known name among a file's words is followed;
    too many is harmless, as only what is instantiated gets elaborated.
    """
    known = {p.stem: p for p in sorted(self.rtl.glob('*/*.sv'))}
    found, todo = set(), [block['top']]
    while todo:
      name = todo.pop()
      if name in known and name not in found:
        found.add(name)
        text = re.sub(r'//.*|/\*.*?\*/', '', known[name].read_text(encoding='utf-8'))
        todo += set(re.findall(r'\w+', text)) - found
    return [known[n] for n in sorted(
        found, key=lambda n: (n != 'dither_pkg', not n.endswith('_pkg'), n))]

  def top_file(self, block):
    return self.rtl / block['folder'] / f'{block["top"]}.sv'

  def params(self, block):
    return {**{p: self.values[p] for p in block['params'] if p in self.values},
            **block.get('set', {})}

  def flatten(self, block):
    return self.config in block.get('flatten', self.table['flatten'])

  # --- the cache: a result counts as long as every file that made it is unchanged ------------------

  def key(self, block):
    return sha(json.dumps([self.base_key, block, self.params(block), self.flatten(block)],
                          sort_keys=True))

  def cached(self, name, block):
    try:
      record = json.loads((self.out / name / 'result.json').read_text())
      fresh = record['key'] == self.key(block) and all(
          sha(pathlib.Path(p).read_bytes()) == digest for p, digest in record['deps'].items())
      return record['result'] if fresh else None
    except (OSError, ValueError, KeyError):
      return None

  # --- one block ---------------------------------------------------------------------------------

  def workspace(self, name):
    """The block's directory, without the result of an earlier run."""
    work = self.out / name
    work.mkdir(parents=True, exist_ok=True)
    (work / 'result.json').unlink(missing_ok=True)
    # yosys takes no quotes round some paths: links keep every path free of blanks.
    for link, target in (('rtl', self.rtl), ('cells.lib', self.lib_path)):
      (work / link).unlink(missing_ok=True)
      (work / link).symlink_to(target)
    return work

  def run_block(self, name, block):
    work = self.workspace(name)
    begin = time.monotonic()
    deps = {str(p) for p in self.sources(block)} | {str(p) for p in self.rtl.glob('*/*.svh')}
    # Hashed before synthesis: a file edited meanwhile makes the result stale, not wrong.
    deps = {p: sha(pathlib.Path(p).read_bytes()) for p in sorted(deps)}
    modules = self.elaborate(block, work)
    names = clean_names(modules, self.memories, self.top_module(modules, block))
    stat = self.synthesise(block, work, modules, names)
    result = {'block': name, 'top': block['top'], 'params': self.params(block),
              'flat': self.flatten(block)}
    result.update(self.areas(stat, names[self.top_module(modules, block)], modules, names))
    result['paths'], result['untimed_ends'] = self.time(block, work, modules, names)
    periods = [p['period_ns'] for p in result['paths'].values()]
    result['worst'] = max(result['paths'], key=lambda k: result['paths'][k]['period_ns'],
                          default=None)
    result['warnings'] = sum(bool(re.search(r'^Warning:', line)) for stem in ('elab', 'synth')
                             for line in (work / f'{stem}.log').read_text().splitlines())
    result['period_ns'] = max(periods, default=None)
    result['seconds'] = round(time.monotonic() - begin, 1)
    (work / 'result.json').write_text(
        json.dumps({'key': self.key(block), 'deps': deps, 'result': result}, indent=1))
    return result

  def yosys(self, script, work, stem):
    (work / f'{stem}.ys').write_text('\n'.join(script) + '\n')
    log = work / f'{stem}.log'
    code, text = run(['yosys', '-e', 'implicitly declared', '-s', f'{stem}.ys'], log, work)
    unknown = re.search(r"Can't find object for defparam `(\w+)", text)
    if code != 0 and unknown:
      raise SynthError(f'the module has no parameter {unknown.group(1)}: correct "params" of the '
                       'block in synth/blocks.json')
    if code != 0:
      raise SynthError(f'yosys: {first_error(text)} (log: {log})')
    return text

  def elaborate(self, block, work):
    """Elaborates the block's hierarchy; leaves elab.il and returns the modules found."""
    files = ' '.join(f'rtl/{p.relative_to(self.rtl)}' for p in self.sources(block))
    # An instance sets the parameters: `hierarchy -chparam` trips over modules that yosys has to
    # process twice (assertion in rtlil.cc).
    values = ', '.join(f'.{p}({v})' for p, v in self.params(block).items())
    (work / 'top.v').write_text(f'module {WRAPPER};\n  {block["top"]} '
                                + (f'#({values}) ' if values else '') + 'u_top ();\nendmodule\n')
    log = self.yosys([
        # Deferred: only what the block instantiates is compiled, with the values it has there.
        f'read_verilog -sv -defer -I rtl/common {files}',
        'read_verilog top.v',
        f'hierarchy -check -top {WRAPPER}',
        f'delete {WRAPPER}',
        'tee -q -o modules.txt dump -m i:* o:*',
        'write_rtlil elab.il',
    ], work, 'elab')
    judge(log, gates=False)
    modules = parse_headers((work / 'modules.txt').read_text())
    return modules

  def top_module(self, modules, block):
    """The block's own module among those elaborated (a recursive module comes in several sizes)."""
    wanted = self.params(block).items()
    return next(m for m, d in modules.items() if d['base'] == block['top']
                and all(d['params'].get(p) == v for p, v in wanted))

  def check_block(self, name, block):
    """Elaborates the block and judges its registers and drivers, without gates: a minute for a core."""
    work = self.workspace(name)
    begin = time.monotonic()
    self.elaborate(block, work)
    log = self.yosys(['read_rtlil elab.il', 'chformal -remove', 'proc',
                      'tee -q -o check_rtl.txt check'], work, 'check')
    judge(log, gates=False)
    judge((work / 'check_rtl.txt').read_text(), gates=False)
    return time.monotonic() - begin

  def synthesise(self, block, work, modules, names):
    """Maps the block to cells; leaves net.v and returns yosys' statistics by module."""
    rams = [m for m in modules if modules[m]['base'] in self.memories['modules']]
    keep = [names[m] for m in modules if modules[m]['base'] in block.get('keep', [])]
    flat = self.flatten(block)
    script = ['read_rtlil elab.il']
    for mangled, name in names.items():
      plain = mangled.removeprefix('\\')
      if plain != name:
        script += [f'rename {plain} {name}', f'chtype -map {plain} {name}']
    script += [f'blackbox {names[m]}' for m in rams]
    script += [f'setattr -mod -set keep_hierarchy 1 {n}' for n in keep]
    script += ['chformal -remove', 'proc', 'tee -q -o check_rtl.txt check']
    script += [f'synth -top {block["top"]}' + (' -flatten' if flat else ''),
               'tee -q -o check_gates.txt check', 'splitnets',
               # While the flops are still yosys' own: named after the register they hold, so that
               # the ends of a path mean something.
               'rename -wire -suffix _reg', 'dfflibmap -liberty cells.lib']
    abc = 'abc -liberty cells.lib'
    if self.args.map == 'sized':
      unit = {'pf': 1e3, 'ff': 1.0}[self.library['cap_unit'][1]]
      load = 4 * self.library['inverter_cap'] * float(self.library['cap_unit'][0]) * unit
      (work / 'abc.constr').write_text(
          f'set_driving_cell {self.library["inverter"]}\nset_load {load:.4f}\n')
      abc += f' -constr abc.constr -D {self.clock_ns * 1000:g}'
    script += [abc, 'setundef -zero', 'splitnets', 'opt_clean -purge', 'write_json mapped.json']
    log = self.yosys(script, work, 'synth')
    judge((work / 'check_gates.txt').read_text(), gates=True)
    judge(log, gates=False)
    judge((work / 'check_rtl.txt').read_text(), gates=False)
    if self.args.fanout:
      netlist = json.loads((work / 'mapped.json').read_text())
      fanout.insert(netlist, self.library, self.args.fanout, self.clock)
      (work / 'mapped.json').write_text(json.dumps(netlist))
    self.yosys(['read_json mapped.json', 'tee -q -o stat.json stat -json',
                'write_verilog -noattr -noexpr net.v'], work, 'write')
    (work / 'mapped.json').unlink()
    return parse_stat((work / 'stat.json').read_text())

  def areas(self, stat, top, modules, names):
    """Cells, area, flops and memory bits by module, each module's own and with its children."""
    bits = {}
    for mangled, name in names.items():
      module = modules[mangled]
      if module['base'] in self.memories['modules']:
        bits[name] = math.prod(module['params'][p] for p in self.memories['size'])
    cells = self.library['cells']
    own = {m.lstrip('\\'): s['num_cells_by_type'] for m, s in stat.items()}
    table = {}

    def visit(name):
      if name in table:
        return table[name]
      row = {'cells': 0, 'area': 0.0, 'flops': 0, 'bits': 0, 'children': {}}
      total = dict(row)
      for kind, count in own[name].items():
        kind = kind.lstrip('\\')
        if kind in bits:
          row['children'][kind] = count
          total['bits'] += count * bits[kind]
        elif kind in own:
          row['children'][kind] = count
          child = visit(kind)['total']
          for field in ('cells', 'area', 'flops', 'bits'):
            total[field] += count * child[field]
        elif kind not in cells:
          raise SynthError(f'cell {kind} of module {name} is not in the library')
        elif cells[kind]['latch']:
          raise SynthError(f'latch: {count} cells {kind} in module {name}')
        else:
          row['cells'] += count
          row['area'] += count * cells[kind]['area']
          row['flops'] += count * cells[kind]['flop']
      for field in ('cells', 'area', 'flops'):
        total[field] += row[field]
      del total['children']
      table[name] = {**row, 'total': total}
      return table[name]

    visit(top)
    counts = {}

    def count_instances(name, times):
      counts[name] = counts.get(name, 0) + times
      for child, number in table.get(name, {'children': {}})['children'].items():
        count_instances(child, times * number)

    count_instances(top, 1)
    rows = []
    for name, times in counts.items():
      if name in bits:
        rows.append({'module': name, 'instances': times, 'bits': bits[name], 'ram': True,
                     'own_area': 0, 'area': 0, 'cells': 0, 'flops': 0})
      else:
        t = table[name]['total']
        rows.append({'module': name, 'instances': times, 'bits': t['bits'], 'ram': False,
                     'own_area': table[name]['area'], 'area': t['area'], 'cells': t['cells'],
                     'flops': t['flops']})
    total = table[top]['total']
    return {'modules': rows, 'cells': total['cells'], 'area': total['area'],
            'flops': total['flops'], 'bits': total['bits']}

  def time(self, block, work, modules, names):
    """Times the netlist; returns the worst path of each kind and the number of untimed ends."""
    has_srams = write_sram_library(work / 'srams.lib', self.library, modules, names, self.memories,
                                   self.clock, self.fo4)
    ports = modules[self.top_module(modules, block)]['ports']
    clocked = any(p[0] == self.clock for p in ports)
    period = self.clock_ns / self.library['ns']
    tcl = [f'if {{[read_liberty cells.lib] != 1}} {{ puts "Error: library" }}']
    if has_srams:
      tcl += ['if {[read_liberty srams.lib] != 1} { puts "Error: memory library" }']
    tcl += ['read_verilog net.v', f'link_design {block["top"]}',
            # Ports belong to a clock of their own, of the same period: that keeps paths between
            # registers apart from paths through ports.
            f'create_clock -name io -period {period:.6g}']
    inputs = '[all_inputs]'
    if clocked:
      tcl += [f'create_clock -name clk -period {period:.6g} [get_ports {self.clock}]']
      names_in = ' '.join(p[0] for p in ports if p[1] == 'input' and p[0] != self.clock)
      inputs = f'[get_ports {{{names_in}}}]' if names_in else ''
    if inputs and any(p[1] == 'input' and p[0] != self.clock for p in ports):
      tcl += [f'set_input_delay 0 -clock io {inputs}']
    tcl += ['set_output_delay 0 -clock io [all_outputs]']
    kinds = [k for k in KINDS if clocked or 'clk' not in k]
    for kind in kinds:
      source, target = kind.split()
      tcl += [f'puts "PATH {kind}"',
              f'report_checks -path_delay max -from [get_clocks {source}] '
              f'-to [get_clocks {target}] -digits 4 -format full']
    tcl += ['puts "SETUP"',
            'check_setup -verbose -loops -no_clock -unconstrained_endpoints', 'puts STA-COMPLETE']
    (work / 'sta.tcl').write_text('\n'.join(tcl) + '\n')
    text = run_sta('sta.tcl', work / 'sta.log', work)
    setup = text.split('SETUP', 1)[1]
    for pattern, what in ((r'combinational loop', 'combinational loop'),
                          (r'unclocked', 'unclocked register')):
      match = re.search(r'^.*' + pattern + r'.*(\n.*)?', setup, re.M)
      if match:
        raise SynthError(f'{what}: OpenSTA says {" ".join(match.group(0).split())[:200]} '
                         f'(log: {work / "sta.log"})')
    paths = {}
    for part in text.split('SETUP', 1)[0].split('PATH ')[1:]:
      kind = part.splitlines()[0].strip()
      path = self.parse_path(part, period)
      if path:
        paths[kind] = path
    # Ends that only a constant reaches (a tied-off port of a kept module) have no path.
    untimed = re.search(r'There (?:is|are) (\d+) unconstrained endpoint', setup)
    return paths, int(untimed.group(1)) if untimed else 0

  def parse_path(self, text, period):
    start = re.search(r'^Startpoint: (.*?)(?: \(|$)', text, re.M)
    end = re.search(r'^Endpoint: (.*?)(?: \(|$)', text, re.M)
    slack = re.search(r'(-?[\d.]+)\s+slack', text)
    if not (start and end and slack):
      if 'No paths found' in text:
        return None
      raise SynthError(f'OpenSTA printed a path that can not be read: {text[:120]!r}')
    stages = re.findall(r'^\s*[-\d.]+\s+[-\d.]+ [v^] (\S+) \((\S+)\)$', text, re.M)
    ends = {start.group(1), end.group(1)}
    gates = {pin.rpartition('/')[0] for pin, cell in stages if cell in self.library['cells']}

    def point(name, which):
      """A memory with the pin of the path; a register or port by its name alone."""
      pins = [pin for pin, cell in stages
              if cell not in self.library['cells'] and pin.rpartition('/')[0] == name
              and not pin.endswith('/' + self.clock)]
      return pins[which] if pins else name

    return {'start': point(start.group(1), 0), 'end': point(end.group(1), -1),
            'period_ns': round((period - float(slack.group(1))) * self.library['ns'], 5),
            'slack_ns': round(float(slack.group(1)) * self.library['ns'], 5),
            'levels': len(gates - ends)}

  # --- reports -------------------------------------------------------------------------------------

  def command(self):
    text = f'make synth CONFIG={self.config}'
    if self.lib_label != DEFAULT_LIB:
      # The label, not the path: a path of one machine has no place in a committed file.
      text += f' LIB={self.lib_label}'
    return text

  def label(self):
    return f'{self.config} {self.lib_label}' + (' sized' if self.args.map == 'sized' else '')

  def record(self, rows):
    figures = []
    for r in rows:
      values = [('cells', r['cells'], 'cells'), ('area', round(r['area'], 1), 'um2'),
                ('area_nand2', round(r['area'] / self.library['nand2_area']), 'NAND2'),
                ('flops', r['flops'], 'flops'), ('memory', round(r['bits'] / 1024, 3), 'kbit')]
      if r['period_ns']:
        values += [('period', round(r['period_ns'], 3), 'ns'),
                   ('fmax', round(1000 / r['period_ns'], 2), 'MHz')]
      figures += [{'name': f'synth.{r["block"]}_{what}', 'value': value, 'unit': unit,
                   'config': self.label(), 'command': self.command(), 'noisy': False}
                  for what, value, unit in values]
    results.add_all(figures)

  def summary(self, rows):
    head = ['block', 'cells', 'flops', 'area um2', 'NAND2-eq.', 'memory kbit', 'worst path ns',
            'fmax MHz', 'slack ns', 'reg-reg ns', 'levels', 'start point', 'end point']
    lines = []
    for r in rows:
      worst = r['paths'].get(r['worst'])
      inner = r['paths'].get('clk clk')
      lines.append([r['block'], f'{r["cells"]:,}', f'{r["flops"]:,}', f'{r["area"]:,.0f}',
                    f'{r["area"] / self.library["nand2_area"]:,.0f}', f'{r["bits"] / 1024:,.2f}']
                   + ([f'{worst["period_ns"]:.3f}', f'{1000 / worst["period_ns"]:.1f}'
                       if worst['period_ns'] > 0 else '-', f'{worst["slack_ns"]:.3f}']
                      if worst else ['-'] * 3)
                   + [f'{inner["period_ns"]:.3f}' if inner else '-']
                   + ([str(worst['levels']), worst['start'], worst['end']] if worst
                      else ['-'] * 3))
    return head, lines

  def module_table(self, r):
    head = ['module', 'instances', 'own area', 'area with children', 'all instances', 'share',
            'cells', 'flops', 'memory kbit']
    lines = []
    for row in sorted(r['modules'], key=lambda m: (m['ram'], -m['area'] * m['instances'])):
      every = row['area'] * row['instances']
      share = f'{every / r["area"]:.1%}' if r['area'] and not row['ram'] else '-'
      lines.append([row['module'], f'{row["instances"]:,}', f'{row["own_area"]:,.0f}',
                    f'{row["area"]:,.0f}', f'{every:,.0f}', share, f'{row["cells"]:,}',
                    f'{row["flops"]:,}', f'{row["bits"] * row["instances"] / 1024:,.2f}'])
    return head, lines

  def markdown(self, rows, skipped, failed):
    lib = self.library
    out = [f'# Synthesis of configuration {self.config} in {self.lib_label}', '',
           f'Reproduce: `{self.command()}`. Parameters: '
           + ', '.join(f'{k} {v}' for k, v in self.values.items()) + '. '
           f'Target clock {self.clock_ns:g} ns, ideal; no wires; mapping `{self.args.map}`. '
           f'NAND2 = {lib["nand2"]}, {lib["nand2_area"]:g} um2; fan-out-of-4 delay '
           f'{self.fo4 * lib["ns"] * 1000:.1f} ps. '
           'Memories are black boxes: not in the area, counted in kbit (1024 bits); '
           f'their outputs arrive {self.memories["access_fo4"]} and their inputs are due '
           f'{self.memories["setup_fo4"]} such delays from the clock edge (an assumption).', '']
    out += _markdown_table(*self.summary(rows)) + ['']
    if skipped:
      out += ['Not there yet: ' + ', '.join(skipped) + '.', '']
    if failed:
      out += ['**Failed:**', ''] + [f'- {n}: {why}' for n, why in failed.items()] + ['']
    for r in rows:
      if len(r['modules']) > 1:
        out += [f'## {r["block"]} by module', '',
                'Areas are of one instance unless said otherwise; '
                + ('flattened, except memories.' if r['flat'] else 'hierarchy kept.'), '']
        out += _markdown_table(*self.module_table(r), text_columns=0) + ['']
      if r['paths']:
        out += [f'## {r["block"]}: worst path of each kind', '']
        out += _markdown_table(
            ['kind', 'ns', 'levels', 'start point', 'end point'],
            [[KINDS[k], f'{p["period_ns"]:.3f}', str(p['levels']), p['start'], p['end']]
             for k, p in r['paths'].items()], text_columns=2) + ['']
        out += [f'End points that only constants reach, so without a path: {r["untimed_ends"]}. '
                f'Other warnings of yosys (in the logs): {r["warnings"]}.', '']
    return '\n'.join(out)


def _markdown_table(head, lines, text_columns=2):
  def cell(text):
    return text.replace('|', '\\|')
  marks = ['---' if i == 0 or i >= len(head) - text_columns else '--:' for i in range(len(head))]
  return ['| ' + ' | '.join(head) + ' |', '|' + '|'.join(marks) + '|'] + [
      '| ' + ' | '.join(cell(c) for c in line) + ' |' for line in lines]


def terminal_table(head, lines, text_columns=0):
  widths = [max(len(r[i]) for r in [head] + lines) for i in range(len(head))]
  for row in [head] + lines:
    say('  ' + '  '.join(
        c.ljust(w) if i == 0 or i >= len(head) - text_columns else c.rjust(w)
        for i, (c, w) in enumerate(zip(row, widths))).rstrip())


def shorten(text, width=44):
  return text if len(text) <= width else '…' + text[-(width - 1):]


def choose_blocks(flow, wanted):
  """Returns (blocks to run, blocks of the table that have no source yet)."""
  table = flow.table['blocks']
  if wanted == 'all':
    chosen = {n: b for n, b in table.items() if flow.top_file(b).exists()}
    return chosen, [n for n in table if n not in chosen]
  chosen = {}
  for name in filter(None, re.split(r'[,\s]+', wanted)):
    if name not in table:
      raise SynthError(f'no block {name!r}: the blocks are {", ".join(table)}, or all')
    if not flow.top_file(table[name]).exists():
      raise SynthError(f'block {name} has no source {flow.top_file(table[name])}')
    chosen[name] = table[name]
  return chosen, []


def parse_args(argv):
  parser = argparse.ArgumentParser(
      prog='synth.py', description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--config', default='nano', help='configuration of synth/blocks.json: '
                      'nano, tiny, small or full (default nano)')
  parser.add_argument('--blocks', default='all', help='names separated by commas, or all')
  parser.add_argument('--lib', default=DEFAULT_LIB, help='an installed qflow library '
                      f'(default {DEFAULT_LIB}) or the path of a Liberty file')
  parser.add_argument('--clock-ns', type=float, help='target period, for the slack only unless '
                      '--map sized (default: per library, synth/blocks.json)')
  parser.add_argument('--map', default='plain', help='plain: smallest cells, no buffers; '
                      'sized: buffer and size for the target clock (default plain)')
  parser.add_argument('--fanout', type=int, default=16, help='largest number of pins a net may '
                      'drive before it gets a buffer tree; 0: no buffers (default 16)')
  parser.add_argument('--out', type=pathlib.Path, help='output directory (default '
                      'build/synth/CONFIG, with the library and mapping appended if not default)')
  parser.add_argument('--jobs', type=int, default=2, help='blocks at a time (default 2)')
  parser.add_argument('--force', action='store_true', help='run unchanged blocks again')
  parser.add_argument('--checks-only', action='store_true', help='latches, drivers and widths of the '
                      'elaborated blocks, no cells: quick, but loops are only found on gates')
  parser.add_argument('--no-results', action='store_true',
                      help='do not record figures in build/results.json')
  parser.add_argument('--rtl', type=pathlib.Path, default=ROOT / 'rtl', help=argparse.SUPPRESS)
  parser.add_argument('--table', type=pathlib.Path, default=ROOT / 'synth' / 'blocks.json',
                      help=argparse.SUPPRESS)
  return parser.parse_args(argv)


def synth(args):
  table = load_table(args.table)
  if args.config not in table['configs']:
    raise SynthError(f'no configuration {args.config!r}: use one of {", ".join(table["configs"])}')
  if args.map not in ('plain', 'sized'):
    raise SynthError(f'no mapping {args.map!r}: use plain or sized')
  if args.jobs < 1:
    raise SynthError(f'--jobs {args.jobs}: use 1 or more')
  if args.clock_ns is not None and args.clock_ns <= 0:
    raise SynthError(f'--clock-ns {args.clock_ns:g}: use a positive number of nanoseconds')
  if args.fanout != 0 and args.fanout < 4:
    raise SynthError(f'--fanout {args.fanout}: use 0 (no buffers) or 4 and more')
  missing = [package for tool, package in (('yosys', 'yosys'), ('sta', 'opensta'))
             if not shutil.which(tool)]
  if missing:
    raise SynthError(f'missing tools: install the Debian packages {" ".join(missing)}')
  label, path = find_lib(args.lib)
  if args.out is None:
    suffix = ('' if label == DEFAULT_LIB else f'-{label}') + (
        '-sized' if args.map == 'sized' else '')
    args.out = ROOT / 'build' / 'synth' / (args.config + suffix)
  args.out, args.rtl = args.out.resolve(), args.rtl.resolve()
  try:
    flow = Flow(args, table, label, path)
  except liberty.LibertyError as error:
    raise SynthError(str(error)) from None
  blocks, skipped = choose_blocks(flow, args.blocks)
  if skipped:
    say(f'synth: no source yet for {", ".join(skipped)}: left out')
  if not blocks:
    raise SynthError(f'nothing to synthesise: no block of the table has a source in {args.rtl}')
  say(f'synth: {len(blocks)} blocks, configuration {args.config}, library {label}, '
      f'clock {flow.clock_ns:g} ns, results in {args.out}')
  done, failed, order = {}, {}, list(blocks)

  def check(name):
    try:
      say(f'{name:14} clean ({flow.check_block(name, blocks[name]):.0f} s)')
    except (SynthError, OSError, ValueError) as error:
      failed[name] = str(error)
      say(f'{name:14} FAILED: {error}')

  if args.checks_only:
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
      list(pool.map(check, order))
    say(f'synth: {len(order) - len(failed)} blocks clean, {len(failed)} failed; nothing was mapped')
    return 1 if failed else 0

  def one(name):
    found = None if args.force else flow.cached(name, blocks[name])
    mark = f'[{order.index(name) + 1}/{len(order)}] {name:14}'
    try:
      if found is None:
        say(f'{mark} started')
        found = flow.run_block(name, blocks[name])
        how = f'{found["seconds"]:.0f} s'
      else:
        how = 'unchanged, kept'
      done[name] = found
      period = f'{found["period_ns"]:.2f} ns' if found['period_ns'] else 'no path'
      say(f'{mark} {found["cells"]:,} cells, {found["area"]:,.0f} um2, '
          f'{found["bits"] / 1024:,.1f} kbit, {period}  ({how})')
    except (SynthError, OSError, ValueError, KeyError) as error:
      failed[name] = str(error) if isinstance(error, SynthError) else repr(error)
      say(f'{mark} FAILED: {failed[name]}')

  # The longest first (the core is last in the table), so that two jobs end together.
  with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
    for future in [pool.submit(one, name) for name in reversed(order)]:
      future.result()
  rows = [done[n] for n in order if n in done]
  if rows:
    say('')
    head, lines = flow.summary(rows)
    terminal_table(head, [line[:-2] + [shorten(c) for c in line[-2:]] for line in lines], 2)
    if 'core' in done and len(done['core']['modules']) > 1:
      say('\n  core by module')
      terminal_table(*flow.module_table(done['core']))
    if not args.no_results and args.rtl == (ROOT / 'rtl').resolve():
      flow.record(rows)
  report = args.out / 'report.md'
  report.write_text(flow.markdown(rows, skipped, failed))
  say(f'\nsynth: {len(done)} blocks done, {len(failed)} failed; report in {report}')
  return 1 if failed else 0


def main(argv=None):
  try:
    return synth(parse_args(argv))
  except (SynthError, results.ResultsError) as error:
    print(f'synth: {error}', file=sys.stderr)
    return 2


if __name__ == '__main__':
  for _signal in (signal.SIGINT, signal.SIGTERM):
    signal.signal(_signal, stop)
  sys.exit(main())
