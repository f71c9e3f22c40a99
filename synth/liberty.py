"""What the synthesis flow needs to know about a Liberty file, read without a full parser.

Cells with area, kind and logic function; the units; a NAND2, an inverter and a buffer found by truth table.
Attributes are searched cell by cell and pin by pin, which every library tried so far allows
(osu018, osu035, Nangate45, ASAP7, sky130, SG13G2); wrong input raises LibertyError.
"""

import hashlib
import itertools
import json
import pathlib
import re

_CELL = re.compile(r'\bcell\s*\(\s*"?([\w.$]+)"?\s*\)\s*\{')
_PIN = re.compile(r'\bpin\s*\(\s*"?([\w\[\]]+)"?\s*\)\s*\{')
_TOKEN = re.compile(r"\s*([A-Za-z_][\w\[\]]*|[01]|[!'*&+|^()])")
_CACHE_VERSION = 4


class LibertyError(Exception):
  """The file can't be used as a cell library."""


def python(function, names):
  """A pin's function as a Python expression: inputs by `names`, constant one `M`, any number of patterns as bits.

  Liberty's operators from the loosest: + |, ^, then * & and plain juxtaposition, then ! and '. ValueError,
  KeyError or IndexError if it isn't plain logic.
  """
  tokens = _TOKEN.findall(function)
  if ''.join(tokens) != re.sub(r'\s', '', function):
    raise ValueError(function)
  position = 0

  def peek():
    return tokens[position] if position < len(tokens) else ''

  def take():
    nonlocal position
    position += 1
    return tokens[position - 1]

  def atom():
    token = take()
    if token == '(':
      text = either()
      if take() != ')':
        raise ValueError(function)
    elif token == '!':
      text = f'(M ^ {atom()})'
    elif token in '01':
      text = 'M' if token == '1' else '0'
    else:
      text = names[token]
    while peek() == "'":
      take()
      text = f'(M ^ {text})'
    return text

  def chain(operand, ends, symbols, operator):
    text = operand()
    while peek() and peek() not in ends:
      if peek() in symbols:
        take()
      text = f'({text} {operator} {operand()})'
    return text

  def both():
    return chain(atom, '+|^)', '*&', '&')

  def differ():
    return chain(both, '+|)', '^', '^')

  def either():
    return chain(differ, ')', '+|', '|')

  text = either()
  if peek():
    raise ValueError(function)
  return text


def truth_table(function, inputs):
  """Returns the function's value for every input pattern, or None if it isn't plain logic."""
  try:
    value = compile(python(function, {name: f'env[{i}]' for i, name in enumerate(inputs)}), function, 'eval')
  except (KeyError, IndexError, ValueError):
    return None
  return tuple(eval(value, {'M': 1, 'env': bits})  # pylint: disable=eval-used
               for bits in itertools.product((0, 1), repeat=len(inputs)))


def _attribute(text, name):
  match = re.search(r'\b' + name + r'\s*:\s*"?([^;"\n]+?)"?\s*[;\n]', text)
  return match.group(1).strip() if match else None


def _number(text, name):
  value = _attribute(text, name)
  try:
    return float(value) if value is not None else None
  except ValueError:
    return None


def _parse_cell(text):
  starts = [(m.group(1), m.end(), m.start()) for m in _PIN.finditer(text)]
  head = text[:starts[0][2]] if starts else text
  cell = {
      # Some libraries write the area after the pins.
      'area': _number(head, 'area') if _number(head, 'area') is not None
              else _number(text, 'area'),
      'flop': bool(re.search(r'\bff(_bank)?\s*\(', text)),
      'latch': bool(re.search(r'\blatch(_bank)?\s*\(', text)),
      'dont_use': (_attribute(text, 'dont_use') or '').lower() == 'true',
      'inputs': [], 'outputs': {}, 'cap': 0.0, 'caps': {},
  }
  for i, (name, begin, _) in enumerate(starts):
    pin = text[begin:starts[i + 1][2] if i + 1 < len(starts) else len(text)]
    direction = _attribute(pin, 'direction')
    if direction == 'input':
      cell['inputs'].append(name)
      cell['caps'][name] = _number(pin, 'capacitance') or 0.0
      cell['cap'] = max(cell['cap'], cell['caps'][name])
    elif direction == 'output':
      cell['outputs'][name] = _attribute(pin, 'function') or ''
  return cell


def _parse(path):
  text = path.read_text(encoding='latin-1')
  if not re.search(r'\blibrary\s*\(', text[:200000]):
    raise LibertyError(f'{path} is not a Liberty file (no "library (" in it)')
  text = re.sub(r'/\*.*?\*/', '', text, flags=re.S)
  starts = [(m.group(1), m.start()) for m in _CELL.finditer(text)]
  if not starts:
    raise LibertyError(f'{path} holds no cells')
  head = text[:starts[0][1]]
  unit = re.search(r'time_unit\s*:\s*"?\s*(\d+)\s*(ns|ps|us|fs)', head)
  if not unit:
    raise LibertyError(f'{path} states no time_unit')
  cap = re.search(r'capacitive_load_unit\s*\(\s*"?([\d.]+)"?\s*,\s*"?(\w+)"?\s*\)', head)
  cells = {}
  for i, (name, begin) in enumerate(starts):
    end = starts[i + 1][1] if i + 1 < len(starts) else len(text)
    cells[name] = _parse_cell(text[begin:end])
  gates = {}
  for wanted, table in (('nand2', (1, 1, 1, 0)), ('inverter', (1, 0)), ('buffer', (0, 1))):
    fits = [(c['area'], n) for n, c in cells.items()
            if c['area'] and not c['flop'] and not c['latch'] and not c['dont_use']
            and len(c['outputs']) == 1 and 2**len(c['inputs']) == len(table)
            and truth_table(next(iter(c['outputs'].values())), c['inputs']) == table]
    if not fits:
      raise LibertyError(f'{path} has no {wanted} cell with an area')
    gates[wanted] = min(fits)[1]
  inverter, buffer = cells[gates['inverter']], cells[gates['buffer']]
  return {
      'ns': float(unit.group(1)) * {'fs': 1e-6, 'ps': 1e-3, 'ns': 1.0, 'us': 1e3}[unit.group(2)],
      'time_unit': unit.group(1) + unit.group(2),
      'cap_unit': [cap.group(1), cap.group(2).lower()] if cap else ['1', 'pf'],
      'thresholds': re.findall(r'\b(?:slew|input|output)_(?:upper_|lower_)?threshold_pct_\w+'
                               r'\s*:\s*[\d.]+\s*;|\bslew_derate_from_library\s*:\s*[\d.]+\s*;',
                               head),
      'nand2': gates['nand2'], 'nand2_area': cells[gates['nand2']]['area'],
      'inverter': gates['inverter'],
      'inverter_pins': [inverter['inputs'][0], next(iter(inverter['outputs']))],
      'buffer': gates['buffer'],
      'buffer_pins': [buffer['inputs'][0], next(iter(buffer['outputs']))],
      'inverter_cap': inverter['cap'],
      'cells': {n: {'area': c['area'] or 0.0, 'flop': c['flop'], 'latch': c['latch'],
                    'inputs': c['inputs'], 'caps': c['caps'], 'functions': c['outputs']}
                for n, c in cells.items()},
  }


def load(path, cache_dir):
  """Reads a library; a digest of the last reading is kept, as large files take seconds."""
  path = pathlib.Path(path)
  digest = hashlib.sha256(path.read_bytes()).hexdigest()
  cache = pathlib.Path(cache_dir) / f'lib-{digest[:16]}-v{_CACHE_VERSION}.json'
  if cache.exists():
    return json.loads(cache.read_text())
  library = _parse(path)
  library['sha'] = digest
  cache.parent.mkdir(parents=True, exist_ok=True)
  cache.write_text(json.dumps(library))
  return library
