#!/usr/bin/env python3
"""Tests of results.py: python3 scripts/results_test.py"""

import contextlib
import io
import json
import multiprocessing
import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import results  # noqa: E402


def add_some(root, worker):
  for i in range(10):
    results.add(f'sim.worker{worker}_{i}', i, 'cycles', 'nano', 'make test',
                store=results.Store(root))


class ResultsTest(unittest.TestCase):

  def setUp(self):
    directory = tempfile.TemporaryDirectory()
    self.addCleanup(directory.cleanup)
    self.root = pathlib.Path(directory.name)
    self.store = results.Store(self.root)

  def add(self, name='sim.cycles', value=100, unit='cycles', config='tiny', **more):
    results.add(name, value, unit, config, 'make sim', store=self.store, **more)

  def run_main(self, *words):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
      code = results.main(['--root', str(self.root), *words])
    return code, out.getvalue(), err.getvalue()

  def fragment(self, name, data):
    self.store.fragments.mkdir(parents=True, exist_ok=True)
    text = data if isinstance(data, str) else json.dumps(data)
    (self.store.fragments / name).write_text(text, encoding='utf-8')

  def figure(self, **more):
    return {'name': 'sim.rate', 'value': 5, 'unit': 'cycles/s', 'config': 'tiny',
            'command': 'make sim', **more}

  def test_a_figure_of_the_same_name_and_configuration_is_replaced(self):
    self.add(value=1)
    self.add(value=2)
    self.add(value=3, config='nano')
    figures = self.store.read(self.store.build)['figures']
    self.assertEqual([(f['config'], f['value']) for f in figures], [('nano', 3), ('tiny', 2)])

  def test_writers_at_the_same_time_lose_no_figure(self):
    workers = [multiprocessing.Process(target=add_some, args=(self.root, w)) for w in range(4)]
    for worker in workers:
      worker.start()
    for worker in workers:
      worker.join()
    self.assertEqual(len(self.store.read(self.store.build)['figures']), 40)

  def test_bad_figures_are_refused_and_change_nothing(self):
    self.add()
    before = self.store.build.read_bytes()
    for bad in ({'name': 'notopic'}, {'value': float('nan')}, {'value': 'many'}, {'value': True}):
      with self.assertRaises(results.ResultsError):
        self.add(**bad)
    self.assertEqual(self.store.build.read_bytes(), before)

  def test_a_damaged_file_is_named(self):
    self.store.build.parent.mkdir(parents=True)
    self.store.build.write_text('{"figures": [')
    with self.assertRaisesRegex(results.ResultsError, 'build/results.json is not JSON'):
      self.add()

  def test_gather_takes_every_form_of_fragment_and_removes_it(self):
    self.fragment('a.json', self.figure(name='sim.a'))
    self.fragment('b.json', [self.figure(name='sim.b')])
    self.fragment('c.json', {'figures': [self.figure(name='sim.c'), self.figure(name='sim.d')]})
    self.assertEqual(results.gather(self.store), 4)
    self.assertEqual([f['name'] for f in self.store.read(self.store.build)['figures']],
                     ['sim.a', 'sim.b', 'sim.c', 'sim.d'])
    self.assertEqual(list(self.store.fragments.iterdir()), [])

  def test_a_bad_fragment_is_named_and_the_good_ones_wait(self):
    self.fragment('a.json', self.figure())
    self.fragment('b.json', {'name': 'sim.b'})
    with self.assertRaisesRegex(results.ResultsError, 'b.json'):
      results.gather(self.store)
    self.assertEqual(len(list(self.store.fragments.iterdir())), 2)
    self.assertFalse(self.store.build.exists())

  def test_merge_keeps_the_bar_and_replaces_the_value(self):
    results.set_target('sim.rate', 'tiny', '>= 40000', store=self.store)
    self.add('sim.rate', 50000, 'cycles/s')
    self.add('synth.area', 7, 'um2')
    self.assertEqual(results.merge('sim.', self.store), 1)
    figure, = self.store.read(self.store.docs)['figures']
    self.assertEqual((figure['value'], figure['target']), (50000, '>= 40000'))

  def test_merge_keeps_the_revision_of_a_figure_that_did_not_move(self):
    results.add_all([self.figure(revision='aaa')], self.store)
    results.merge(store=self.store)
    results.add_all([self.figure(revision='bbb')], self.store)
    results.merge(store=self.store)
    self.assertEqual(self.store.read(self.store.docs)['figures'][0]['revision'], 'aaa')
    results.add_all([self.figure(value=6, revision='ccc')], self.store)
    results.merge(store=self.store)
    self.assertEqual(self.store.read(self.store.docs)['figures'][0]['revision'], 'ccc')

  def test_bars_are_met_exactly_at_their_bound_where_it_is_included(self):
    for target, value, expected in (('>= 5', 5, 'met'), ('> 5', 5, 'not met'), ('<= 5', 5, 'met'),
                                    ('< 5', 4.9, 'met'), ('== 0', 1, 'not met'),
                                    ('>= 5', None, 'not measured'), (None, 5, '-')):
      self.assertEqual(results.state({'target': target, 'value': value}), expected)

  def test_a_malformed_bar_is_refused(self):
    with self.assertRaisesRegex(results.ResultsError, 'about 5'):
      results.set_target('sim.rate', 'tiny', 'about 5', store=self.store)

  def test_the_page_has_a_table_per_topic_and_the_state_of_every_bar(self):
    self.add('sim.rate', 39999, 'cycles/s')
    self.add('synth.area', 1234567, 'um2', note='a | b')
    results.merge(store=self.store)
    results.set_target('sim.rate', 'tiny', '>= 40000', store=self.store)
    results.render(self.store)
    page = self.store.page.read_text()
    self.assertIn('## Sim', page)
    self.assertIn('| rate | 39,999 | cycles/s | tiny | >= 40000 | not met | `make sim` |', page)
    self.assertIn('1,234,567', page)
    self.assertIn('a \\| b', page)
    self.assertIn('0 met, 1 not met', page)

  def test_check_fails_on_a_page_that_was_edited_or_is_old(self):
    self.add()
    self.assertEqual(self.run_main('merge')[0], 0)
    self.assertEqual(self.run_main('check')[0], 0)
    self.store.page.write_text(self.store.page.read_text() + 'x')
    self.assertEqual(self.run_main('check')[0], 1)
    self.run_main('render')
    results.set_target('sim.cycles', 'tiny', '>= 1', store=self.store)
    code, _, err = self.run_main('check')
    self.assertEqual(code, 1)
    self.assertIn('not up to date', err)

  def test_diff_forgives_noise_only_in_noisy_figures(self):
    self.add('sim.rate', 1000, 'cycles/s')
    self.add('sim.slow', 1000, 'cycles/s')
    self.add('sim.cycles', 1000, 'cycles')
    self.add('sim.same', 1000, 'cycles')
    results.merge(store=self.store)
    self.add('sim.rate', 1099, 'cycles/s')
    self.add('sim.slow', 899, 'cycles/s')
    self.add('sim.cycles', 1001, 'cycles')
    self.add('sim.fresh', 1, 'cycles')
    found = {f['name']: verdict for verdict, f, _ in results.diff(store=self.store)}
    self.assertEqual(found, {'sim.rate': 'within', 'sim.slow': 'moved', 'sim.cycles': 'moved',
                             'sim.same': 'same', 'sim.fresh': 'new'})
    code, out, _ = self.run_main('diff', '--fail')
    self.assertEqual(code, 1)
    self.assertIn('2 moved, 1 new, 1 within 10% (noisy), 1 unchanged', out)
    self.assertIn('1,000 -> 1,001 cycles  x1.001  (exact)', out)

  def test_the_command_line_refuses_a_value_that_is_no_number(self):
    with self.assertRaises(SystemExit):
      self.run_main('add', '--name', 'a.b', '--value', 'x', '--unit', 's', '--config', 'c',
                    '--command', 'd')

  def test_no_figures_make_a_page_that_says_so(self):
    self.assertEqual(self.run_main('render')[0], 0)
    self.assertIn('No figures yet', self.store.page.read_text())


if __name__ == '__main__':
  unittest.main()
