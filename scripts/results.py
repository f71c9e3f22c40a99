#!/usr/bin/env python3
"""The one place for the project's figures.

A figure is a name and a configuration with its value, unit, command, revision and, if wanted, a note
and a bar to reach. Runs write build/results.json (`add`, `gather`); `merge` moves figures into the
committed docs/results.json; docs/results.md is generated from that (`render`, `check`).
Model: the part of a name before its first dot is its topic. Test: scripts/results_test.py
"""

import argparse
import contextlib
import fcntl
import json
import math
import os
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(os.environ.get('DITHER_RESULTS_ROOT')
                    or pathlib.Path(__file__).resolve().parent.parent)
TOLERANCE = 0.10
# Wall-clock measurements move from run to run; everything else has to repeat exactly.
NOISY_UNITS = {'s', 'ms', 'us', 'min', 'x', 'Hz', 'kHz', '1/s'}
FIELDS = ('name', 'config', 'value', 'unit', 'command', 'revision', 'noisy', 'note', 'target')
_NAME = re.compile(r'[a-z0-9_]+(\.[A-Za-z0-9_+-]+)+')
_TARGET = re.compile(r'(>=|<=|==|>|<)\s*([-+]?[\d.]+(?:[eE][-+]?\d+)?)')


class ResultsError(Exception):
  """A figure, file or command that can't be used; the text says which and why."""


class Store:
  """The files below one root directory."""

  def __init__(self, root=ROOT):
    self.root = pathlib.Path(root)
    self.build = self.root / 'build' / 'results.json'
    self.fragments = self.root / 'build' / 'results.d'
    self.docs = self.root / 'docs' / 'results.json'
    self.page = self.root / 'docs' / 'results.md'

  @contextlib.contextmanager
  def lock(self):
    """Keeps programs that run at the same time from losing each other's figures."""
    self.build.parent.mkdir(parents=True, exist_ok=True)
    with open(self.build.parent / '.results.lock', 'w', encoding='utf-8') as handle:
      fcntl.flock(handle, fcntl.LOCK_EX)
      yield

  def read(self, path):
    if not path.exists():
      return {'figures': []}
    try:
      data = json.loads(path.read_text(encoding='utf-8'))
    except ValueError as error:
      raise ResultsError(f'{path} is not JSON: {error}') from None
    if not isinstance(data, dict) or not isinstance(data.get('figures'), list):
      raise ResultsError(f'{path} has no list "figures"')
    for figure in data['figures']:
      check_figure(figure, path, measured=False)
    return data

  def write(self, path, data):
    """Replaces the file in one step, sorted, so that two equal sets are equal files."""
    data['figures'].sort(key=lambda f: (f['name'], f['config']))
    data['figures'] = [{k: f[k] for k in FIELDS if f.get(k) is not None or k == 'value'}
                       for f in data['figures']]
    _replace(path, json.dumps(data, indent=1, ensure_ascii=False) + '\n')

  def revision(self):
    """The git revision, with a + when tracked files (other than the figures) differ from it."""
    def git(*words):
      return subprocess.run(['git', '-C', str(self.root), *words], capture_output=True, text=True,
                            check=False)
    try:
      head = git('rev-parse', '--short', 'HEAD')
    except OSError:
      return 'none'
    if head.returncode != 0:
      return 'none'
    dirty = git('status', '--porcelain', '--untracked-files=no', '--', '.',
                ':!docs/results.json', ':!docs/results.md').stdout.strip()
    return head.stdout.strip() + ('+' if dirty else '')


def _replace(path, text):
  path.parent.mkdir(parents=True, exist_ok=True)
  handle, name = tempfile.mkstemp(dir=path.parent, prefix='.' + path.name)
  try:
    with os.fdopen(handle, 'w', encoding='utf-8') as out:
      out.write(text)
    os.chmod(name, 0o644)
    os.replace(name, path)
  except BaseException:
    os.unlink(name)
    raise


def check_figure(figure, where, measured=True):
  """Raises ResultsError unless the figure is complete."""
  if not isinstance(figure, dict):
    raise ResultsError(f'{where}: a figure is an object, not {figure!r}')
  name = figure.get('name')
  if not isinstance(name, str) or not _NAME.fullmatch(name):
    raise ResultsError(f'{where}: name {name!r} is not of the form topic.what')
  for field in ('unit', 'config', 'command'):
    if not isinstance(figure.get(field), str):
      raise ResultsError(f'{where}: figure {name} has no {field}')
  value = figure.get('value')
  number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
  if not number and (measured or value is not None):
    raise ResultsError(f'{where}: value {value!r} of {name} is not a number')
  target = figure.get('target')
  if target is not None and (not isinstance(target, str) or not _TARGET.fullmatch(target)):
    raise ResultsError(f'{where}: target {target!r} of {name} is not like ">= 40000"')


def key(figure):
  return figure['name'], figure['config']


def by_key(data):
  return {key(f): f for f in data['figures']}


def is_noisy(figure):
  if figure.get('noisy') is not None:
    return bool(figure['noisy'])
  unit = figure['unit']
  return unit in NOISY_UNITS or unit.endswith('/s')


def _put(store, figures):
  with store.lock():
    data = store.read(store.build)
    known = by_key(data)
    for figure in figures:
      known[key(figure)] = figure
    data['figures'] = list(known.values())
    store.write(store.build, data)


def add_all(figures, store=None):
  """Records complete figures (dictionaries) in build/results.json; the same key is replaced."""
  store = store or Store()
  revision = store.revision()
  for figure in figures:
    check_figure(figure, 'add')
    figure.setdefault('revision', revision)
  _put(store, figures)


def add(name, value, unit, config, command, note=None, noisy=None, store=None):
  """Records one figure in build/results.json."""
  add_all([{'name': name, 'value': value, 'unit': unit, 'config': config, 'command': command,
            'note': note, 'noisy': noisy}], store)


def gather(store=None):
  """Takes the figures of build/results.d/*.json in and removes those files; returns their number.

  A file holds one figure, a list of figures, or {"figures": [...]}. All are read and checked
  before any is taken, so that a bad file loses nothing.
  """
  store = store or Store()
  figures, paths = [], sorted(store.fragments.glob('*.json'))
  revision = store.revision()
  for path in paths:
    try:
      data = json.loads(path.read_text(encoding='utf-8'))
    except ValueError as error:
      raise ResultsError(f'{path} is not JSON: {error}') from None
    if isinstance(data, dict):
      data = data.get('figures', [data])
    for figure in data if isinstance(data, list) else [data]:
      check_figure(figure, path)
      figure.setdefault('revision', revision)
      figures.append({k: v for k, v in figure.items() if k in FIELDS})
  if figures:
    _put(store, figures)
  for path in paths:
    path.unlink()
  return len(figures)


def merge(prefix='', store=None):
  """Copies figures of build/results.json into docs/results.json; bars and notes there stay."""
  store = store or Store()
  with store.lock():
    fresh, data = store.read(store.build), store.read(store.docs)
    known = by_key(data)
    taken = [f for f in fresh['figures'] if f['name'].startswith(prefix)]
    for figure in taken:
      old = known.get(key(figure), {})
      # A figure that repeated keeps its revision, so that the committed file only changes when
      # a figure does.
      same = all(old.get(k) == figure.get(k) for k in ('value', 'unit', 'command'))
      kinds = ('target', 'note', 'revision') if same else ('target', 'note')
      kept = {k: old[k] for k in kinds if old.get(k) is not None}
      if same and 'revision' in kept:
        figure = {**figure, 'revision': kept['revision']}
      known[key(figure)] = {**kept, **{k: v for k, v in figure.items() if v is not None}}
    data['figures'] = list(known.values())
    store.write(store.docs, data)
  return len(taken)


def set_target(name, config, target, unit='', command='', store=None):
  """Gives a figure of docs/results.json its bar; an unmeasured figure is created without value."""
  store = store or Store()
  with store.lock():
    data = store.read(store.docs)
    figure = by_key(data).get((name, config))
    if figure is None:
      figure = {'name': name, 'config': config, 'value': None, 'unit': unit, 'command': command}
      data['figures'].append(figure)
    figure['target'] = target
    check_figure(figure, 'target', measured=False)
    store.write(store.docs, data)


def state(figure):
  """met, not met, not measured, or - where there is no bar."""
  if not figure.get('target'):
    return '-'
  if figure.get('value') is None:
    return 'not measured'
  relation, bound = _TARGET.fullmatch(figure['target']).groups()
  value, bound = figure['value'], float(bound)
  met = {'>=': value >= bound, '<=': value <= bound, '==': value == bound,
         '>': value > bound, '<': value < bound}[relation]
  return 'met' if met else 'not met'


def show(value):
  """A number for a reader: thousands separated, at most 5 significant digits after a point."""
  if value is None:
    return '-'
  if isinstance(value, int) or (float(value).is_integer() and abs(value) < 1e15):
    return f'{int(value):,}'
  if abs(value) >= 10000:
    return f'{value:,.0f}'
  return f'{value:.5g}'


def rendered(data):
  """docs/results.md as text."""
  titles = data.get('topics', {})
  order = list(titles) + sorted({f['name'].split('.')[0] for f in data['figures']} - set(titles))
  barred = [state(f) for f in data['figures'] if f.get('target')]
  lines = ['<!-- generated by scripts/results.py render from docs/results.json; do not edit -->',
           '# Results', '',
           'Every figure with the command that reproduces it and the revision it was measured at '
           '(a + means: with', 'local changes). '
           'The bar is what the figure has to reach.', '']
  if barred:
    lines += [f'Bars: {barred.count("met")} met, {barred.count("not met")} not met, '
              f'{barred.count("not measured")} not measured.', '']

  def cell(text):
    return str(text).replace('|', '\\|').replace('\n', ' ')

  for topic in order:
    figures = sorted((f for f in data['figures'] if f['name'].split('.')[0] == topic), key=key)
    if not figures:
      continue
    notes = any(f.get('note') for f in figures)
    lines += [f'## {titles.get(topic, topic.replace("_", " ").capitalize())}', '',
              '| figure | value | unit | configuration | bar | state | command | revision |'
              + (' note |' if notes else ''),
              '|---|--:|---|---|---|---|---|---|' + ('---|' if notes else '')]
    for f in figures:
      row = [f['name'].split('.', 1)[1], show(f.get('value')), f['unit'], f['config'],
             f.get('target') or '-', state(f), f'`{f["command"]}`' if f['command'] else '-',
             f.get('revision') or '-']
      row += [f.get('note') or ''] if notes else []
      lines.append('| ' + ' | '.join(cell(c) for c in row) + ' |')
    lines.append('')
  if not data['figures']:
    lines += ['No figures yet.', '']
  return '\n'.join(lines)


def render(store=None):
  store = store or Store()
  _replace(store.page, rendered(store.read(store.docs)))


def is_current(store=None):
  """Whether docs/results.md is what render makes of docs/results.json."""
  store = store or Store()
  text = store.page.read_text(encoding='utf-8') if store.page.exists() else None
  return text == rendered(store.read(store.docs))


def diff(prefix='', store=None):
  """Compares build/results.json with docs/results.json.

  Returns (state, new figure, old value) where state is same, new, moved, or within (a noisy figure
  that stayed inside the tolerance).
  """
  store = store or Store()
  old = by_key(store.read(store.docs))
  rows = []
  for figure in sorted(store.read(store.build)['figures'], key=key):
    if not figure['name'].startswith(prefix):
      continue
    before = old.get(key(figure), {}).get('value')
    now = figure['value']
    if before is None:
      verdict = 'new'
    elif now == before:
      verdict = 'same'
    elif is_noisy(figure) and abs(now - before) <= TOLERANCE * abs(before):
      verdict = 'within'
    else:
      verdict = 'moved'
    rows.append((verdict, figure, before))
  return rows


def _print_diff(rows, everything):
  shown = [r for r in rows if everything or r[0] in ('moved', 'new')]
  for verdict, figure, before in shown:
    ratio = f'x{figure["value"] / before:.3f}' if before else '-'
    kind = 'noisy' if is_noisy(figure) else 'exact'
    print(f'{verdict:6}  {figure["name"]} [{figure["config"]}]: {show(before)} -> '
          f'{show(figure["value"])} {figure["unit"]}  {ratio}  ({kind})')
  count = {v: sum(r[0] == v for r in rows) for v in ('moved', 'new', 'within', 'same')}
  print(f'{count["moved"]} moved, {count["new"]} new, {count["within"]} within '
        f'{TOLERANCE:.0%} (noisy), {count["same"]} unchanged')
  return count['moved']


def _number(text):
  try:
    return int(text)
  except ValueError:
    try:
      return float(text)
    except ValueError:
      raise argparse.ArgumentTypeError(f'{text!r} is not a number') from None


def main(argv=None):
  parser = argparse.ArgumentParser(
      prog='results.py', description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--root', type=pathlib.Path, default=ROOT, help='project directory')
  verbs = parser.add_subparsers(dest='verb', required=True, metavar='VERB')
  p = verbs.add_parser('add', help='record one figure in build/results.json')
  p.add_argument('--name', required=True, help='topic.what, e.g. sim.cycles_per_second')
  p.add_argument('--value', required=True, type=_number)
  p.add_argument('--unit', required=True)
  p.add_argument('--config', required=True, help='what it was measured on, e.g. tiny')
  p.add_argument('--command', required=True, help='the command that reproduces it')
  p.add_argument('--note')
  p.add_argument('--noisy', dest='noisy', action='store_true', default=None,
                 help='a measurement that varies from run to run (default: told by the unit)')
  p.add_argument('--exact', dest='noisy', action='store_false', help='has to repeat exactly')
  verbs.add_parser('gather', help='take in and remove build/results.d/*.json')
  p = verbs.add_parser('merge', help='copy figures into docs/results.json (and render)')
  p.add_argument('--prefix', default='', help='only names that start so')
  p = verbs.add_parser('target', help='set the bar of a figure in docs/results.json')
  for option in ('--name', '--config', '--target'):
    p.add_argument(option, required=True)
  p.add_argument('--unit', default='', help='of a figure that has no value yet')
  p.add_argument('--command', default='', help='of a figure that has no value yet')
  verbs.add_parser('render', help='write docs/results.md')
  verbs.add_parser('check', help='fail if docs/results.md is not what render gives')
  p = verbs.add_parser('diff', help='say which figures of this build moved')
  p.add_argument('--prefix', default='', help='only names that start so')
  p.add_argument('--all', action='store_true', help='print unchanged figures too')
  p.add_argument('--fail', action='store_true', help='exit 1 if a figure moved')
  args = parser.parse_args(argv)
  store = Store(args.root)
  try:
    if args.verb == 'add':
      add(args.name, args.value, args.unit, args.config, args.command, args.note, args.noisy, store)
    elif args.verb == 'gather':
      print(f'results: {gather(store)} figures gathered')
    elif args.verb == 'merge':
      print(f'results: {merge(args.prefix, store)} figures merged into docs/results.json')
      render(store)
    elif args.verb == 'target':
      set_target(args.name, args.config, args.target, args.unit, args.command, store)
    elif args.verb == 'render':
      render(store)
    elif args.verb == 'check':
      if not is_current(store):
        raise ResultsError('docs/results.md is not up to date: run scripts/results.py render')
    elif args.verb == 'diff':
      gather(store)
      return 1 if _print_diff(diff(args.prefix, store), args.all) and args.fail else 0
  except ResultsError as error:
    print(f'results: {error}', file=sys.stderr)
    return 1
  return 0


if __name__ == '__main__':
  sys.exit(main())
