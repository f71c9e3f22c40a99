#!/usr/bin/env python3
"""Tests of the synthesis flow on small designs: python3 synth/synth_test.py

Needs yosys, opensta and qflow-tech-osu018. Each broken design has to fail for its own reason.
"""

import contextlib
import io
import json
import pathlib
import re
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import fanout  # noqa: E402
import liberty  # noqa: E402
import synth  # noqa: E402

PORTS = ('input logic clk_i, input logic rst_ni, input logic [3:0] a_i, input logic [3:0] b_i, '
         'output logic [3:0] q_o')
SUB = 'module sub(input logic a_i, input logic b_i, output logic q_o); assign q_o = a_i ^ b_i; '\
      'endmodule\n'
MEMORY = '''module sram_1rw #(parameter int unsigned Depth = 4, parameter int unsigned Lanes = 1,
    parameter int unsigned Width = 8, localparam int unsigned AddrW = $clog2(Depth)) (
    input logic clk_i, input logic we_i, input logic [AddrW-1:0] addr_i,
    input logic [Lanes*Width-1:0] wdata_i, output logic [Lanes*Width-1:0] rdata_o);
  logic [Lanes*Width-1:0] mem [Depth];
  always_ff @(posedge clk_i) begin
    if (we_i) mem[addr_i] <= wdata_i;
    rdata_o <= mem[addr_i];
  end
endmodule
'''
HOLDER = '''module holder #(parameter int unsigned Rows = 2) (input logic clk_i, input logic we_i,
    input logic [4:0] addr_i, input logic [8*Rows-1:0] d_i, output logic [8*Rows-1:0] q_o);
  logic [8*Rows-1:0] d_q, x;
  logic we_q;
  always_ff @(posedge clk_i) d_q <= d_i + x;
  always_ff @(posedge clk_i) we_q <= we_i;
  sram_1rw #(.Depth(32), .Lanes(Rows), .Width(8)) u_a (
    .clk_i, .we_i(we_q), .addr_i, .wdata_i(d_q), .rdata_o(x));
  sram_1rw #(.Depth(16), .Lanes(1), .Width(8*Rows)) u_b (
    .clk_i, .we_i(we_q), .addr_i(addr_i[3:0]), .wdata_i(d_q), .rdata_o(q_o));
endmodule
'''


class SynthTest(unittest.TestCase):

  def setUp(self):
    directory = tempfile.TemporaryDirectory()
    self.addCleanup(directory.cleanup)
    self.root = pathlib.Path(directory.name) / 'a tree'  # a blank in a path is legal
    (self.root / 'rtl' / 'unit').mkdir(parents=True)
    (self.root / 'rtl' / 'common').mkdir()
    self.table = {
        'configs': {'nano': {'Rows': 2}, 'tiny': {'Rows': 4}}, 'flatten': ['nano', 'tiny'],
        'clock': 'clk_i', 'clock_ns': {'other': 10}, 'blocks': {},
        'memories': {'modules': ['sram_1rw'], 'size': ['Depth', 'Lanes', 'Width'],
                     'access_fo4': 12, 'setup_fo4': 3}}

  def block(self, name, text, **more):
    self.source(name, text)
    self.table['blocks'][name] = {'folder': 'unit', 'top': name, 'params': [], **more}

  def source(self, name, text):
    (self.root / 'rtl' / 'unit' / f'{name}.sv').write_text(text)

  def simple(self, name, body, **more):
    self.block(name, f'module {name} ({PORTS});\n{body}\nendmodule\n', **more)

  def run_synth(self, *words):
    """Returns (exit code, everything printed)."""
    table = self.root / 'blocks.json'
    table.write_text(json.dumps(self.table))
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
      code = synth.main(['--rtl', str(self.root / 'rtl'), '--table', str(table),
                         '--out', str(self.root / 'out'), *words])
    return code, out.getvalue()

  def result(self, name):
    return json.loads((self.root / 'out' / name / 'result.json').read_text())['result']

  def assert_fails(self, body, reason, **more):
    self.simple('broken', body, **more)
    code, text = self.run_synth()
    self.assertEqual(code, 1, text)
    self.assertRegex(text, 'FAILED.*' + reason)

  def test_a_latch_fails(self):
    self.assert_fails('always_latch if (a_i[0]) q_o = b_i;', '[Ll]atch')

  def test_an_accidental_latch_fails(self):
    self.assert_fails('always_comb if (a_i[0]) q_o = b_i;', 'Latch inferred')

  def test_a_loop_in_a_module_fails(self):
    self.assert_fails('logic [3:0] x; assign x = a_i[0] ? ~x : b_i; assign q_o = x;', 'loop')

  def test_a_loop_through_kept_modules_fails(self):
    self.source('sub', SUB)
    self.assert_fails('logic x, y; sub u_a (.a_i(y), .b_i(a_i[0]), .q_o(x)); '
                      'sub u_b (.a_i(x), .b_i(a_i[1]), .q_o(y)); assign q_o = {x, y, x, y};',
                      'combinational loop: OpenSTA', flatten=[])

  def test_checks_alone_find_what_needs_no_gates(self):
    self.simple('good', 'always_ff @(posedge clk_i) q_o <= a_i;')
    code, text = self.run_synth('--checks-only')
    self.assertEqual(code, 0, text)
    self.assertRegex(text, 'good +clean')
    self.assertFalse((self.root / 'out' / 'good' / 'result.json').exists())
    for body, reason in (('always_comb if (a_i[0]) q_o = b_i;', 'Latch inferred'),
                         ('assign q_o = a_i; assign q_o = b_i;', 'multiple drivers'),
                         ('logic x; assign q_o = {4{x}};', 'driver')):
      self.simple('good', body)
      code, text = self.run_synth('--checks-only')
      self.assertEqual(code, 1, text)
      self.assertRegex(text, 'good +FAILED: .*' + reason)

  def test_two_halves_of_one_wide_multiplexer_are_no_loop(self):
    self.simple('fine', 'logic x, y; assign {y, x} = a_i[0] ? {x ^ a_i[2], a_i[1]} : '
                '{x, b_i[0]}; assign q_o = {2\'b0, y, x};')
    code, text = self.run_synth()
    self.assertEqual(code, 0, text)

  def test_a_wire_with_two_drivers_fails(self):
    self.assert_fails('logic [3:0] x; assign x = a_i; assign x = b_i; assign q_o = x;',
                      'multiple drivers')

  def test_a_wire_without_driver_fails(self):
    self.assert_fails('logic [3:0] x; assign x[2:0] = a_i[2:0]; assign q_o = x & b_i;',
                      'undriven wire')

  def test_a_port_of_the_wrong_width_fails(self):
    self.source('sub', SUB)
    self.assert_fails('logic x; sub u (.a_i(a_i), .b_i(b_i[0]), .q_o(x)); assign q_o = {4{x}};',
                      'port width mismatch')

  def test_an_undeclared_name_fails(self):
    self.assert_fails('assign q_o = {4{nobody}};', 'implicitly declared')

  def test_a_missing_module_fails(self):
    self.assert_fails('nowhere u (.a_i(a_i)); assign q_o = a_i;', 'nowhere')

  def test_a_parameter_the_module_lacks_is_named(self):
    self.assert_fails('assign q_o = a_i;', 'no parameter Rows', params=['Rows'])

  def test_a_broken_file_elsewhere_does_not_stop_a_block(self):
    self.simple('fine', 'always_ff @(posedge clk_i) q_o <= a_i;')
    self.source('other', 'module other (')
    self.assertEqual(self.run_synth()[0], 0)

  def test_memories_are_counted_in_bits_and_not_in_cells(self):
    (self.root / 'rtl' / 'common' / 'sram_1rw.sv').write_text(MEMORY)
    self.block('holder', HOLDER, params=['Rows'])
    for config, rows in (('nano', 2), ('tiny', 4)):
      code, text = self.run_synth('--config', config)
      self.assertEqual(code, 0, text)
      result = self.result('holder')
      self.assertEqual(result['bits'], 32 * rows * 8 + 16 * 8 * rows)
      self.assertEqual(result['flops'], 8 * rows + 1)
      memories = {m['module']: m['bits'] for m in result['modules'] if m['ram']}
      self.assertEqual(memories, {f'sram_1rw_32x{rows}x8': 256 * rows,
                                  f'sram_1rw_16x1x{8 * rows}': 128 * rows})

  def test_paths_out_of_and_into_memories_are_timed(self):
    (self.root / 'rtl' / 'common' / 'sram_1rw.sv').write_text(MEMORY)
    self.block('holder', HOLDER, params=['Rows'])
    self.run_synth()
    path = self.result('holder')['paths']['clk clk']
    self.assertRegex(path['start'], r'^u_a/rdata_o\[\d+\]$')
    self.assertRegex(path['end'], r'^d_q\[\d+\]_reg$')
    self.assertGreater(path['levels'], 3)
    fo4 = json.loads(next((self.root / 'out').glob('fo4-*.json')).read_text())['fo4']
    self.assertGreater(path['period_ns'], 12 * fo4)

  def test_an_unchanged_block_is_kept_and_a_changed_file_below_it_is_not(self):
    self.source('sub', SUB)
    self.simple('upper', 'logic x; sub u (.a_i(a_i[0]), .b_i(b_i[0]), .q_o(x)); '
                'assign q_o = {4{x}};')
    self.simple('alone', 'always_ff @(posedge clk_i) q_o <= a_i;')
    self.assertNotIn('kept', self.run_synth()[1])
    self.assertEqual(self.run_synth()[1].count('unchanged, kept'), 2)
    self.source('sub', SUB.replace('^', '|'))
    text = self.run_synth()[1]
    self.assertRegex(text, r'alone .*unchanged, kept')
    self.assertEqual(text.count('unchanged, kept'), 1)
    self.assertNotIn('kept', self.run_synth('--clock-ns', '3')[1])

  def test_a_failed_block_is_tried_again(self):
    self.assert_fails('assign q_o = {4{nobody}};', 'implicitly')
    self.simple('broken', 'assign q_o = a_i;')
    self.assertEqual(self.run_synth()[0], 0)

  def test_copies_of_a_module_with_other_parameters_are_told_apart(self):
    self.source('part', 'module part #(parameter int unsigned N = 1) (input logic clk_i, '
                'input logic [N-1:0] d_i, output logic [N-1:0] q_o);\n'
                'always_ff @(posedge clk_i) q_o <= d_i;\nendmodule\n')
    self.simple('upper', 'part #(.N(1)) u_a (.clk_i, .d_i(a_i[0]), .q_o(q_o[0]));\n'
                'part #(.N(3)) u_b (.clk_i, .d_i(a_i[3:1]), .q_o(q_o[3:1]));', flatten=[])
    self.assertEqual(self.run_synth()[0], 0)
    flops = {m['module']: m['flops'] for m in self.result('upper')['modules']}
    self.assertEqual(flops, {'upper': 4, 'part_N1': 1, 'part_N3': 3})

  def test_wrong_options_get_one_line_that_lists_the_right_ones(self):
    self.simple('fine', 'assign q_o = a_i;')
    for words, expected in ((('--config', 'huge'), 'nano, tiny'), (('--blocks', 'x'), 'fine'),
                            (('--lib', 'x'), 'osu018'), (('--map', 'x'), 'plain or sized')):
      code, text = self.run_synth(*words)
      self.assertEqual(code, 2)
      self.assertEqual(len(text.strip().splitlines()), 1)
      self.assertIn(expected, text)

  def test_no_net_of_the_netlist_drives_more_than_the_limit(self):
    self.simple('wide', 'logic [3:0] c_q; logic [127:0] x_q; '
                'always_ff @(posedge clk_i) c_q <= a_i;\n'
                'always_ff @(posedge clk_i) if (c_q[0]) x_q <= {x_q[123:0], b_i}; '
                'assign q_o = x_q[127:124];')
    for limit in (0, 8):
      self.assertEqual(self.run_synth('--fanout', str(limit))[0], 0)
      netlist = (self.root / 'out' / 'wide' / 'net.v').read_text()
      pins = re.findall(r'\.(?!Y|Q|CLK)\w+\(([^()]+)\)', netlist)
      largest = max(pins.count(p) for p in set(pins))
      self.assertTrue(largest <= 8 if limit else largest >= 128, largest)


class LibertyTest(unittest.TestCase):

  def test_functions_follow_libertys_precedence(self):
    for text, table in (("!(A B)", (1, 1, 1, 0)), ("(!A) + (!B)", (1, 1, 1, 0)),
                        ("A' + B'", (1, 1, 1, 0)), ('A ^ B', (0, 1, 1, 0)),
                        ('A + B & 0', (0, 0, 1, 1)), ('!A*B', (0, 1, 0, 0)),
                        ('A + C', None), ('IQ', None)):
      self.assertEqual(liberty.truth_table(text, ['A', 'B']), table, text)

  def test_a_file_that_is_no_library_is_refused(self):
    with tempfile.TemporaryDirectory() as directory:
      path = pathlib.Path(directory) / 'x.lib'
      path.write_text('hello')
      with self.assertRaisesRegex(liberty.LibertyError, 'not a Liberty file'):
        liberty.load(path, directory)

  def test_osu018_is_read_right(self):
    with tempfile.TemporaryDirectory() as directory:
      library = liberty.load(synth.installed_libs()['osu018'], directory)
    self.assertEqual((library['nand2'], library['inverter'], library['buffer']),
                     ('NAND2X1', 'INVX1', 'BUFX2'))
    self.assertEqual({n for n, c in library['cells'].items() if c['flop']},
                     {'DFFNEGX1', 'DFFPOSX1', 'DFFSR'})


class FanoutTest(unittest.TestCase):

  def test_pins_behind_ports_of_kept_modules_count(self):
    def cell(kind, **pins):
      return {'type': kind, 'connections': pins}

    def module(ports, cells):
      return {'attributes': {}, 'cells': cells, 'ports': ports,
              'netnames': {p: {'bits': d['bits']} for p, d in ports.items()}}

    leaf = module({'e': {'direction': 'input', 'bits': [2]}},
                  {f'g{i}': cell('INV', A=[2], Y=[10 + i]) for i in range(6)})
    top = module({'e': {'direction': 'input', 'bits': [2]}},
                 {f'u{i}': cell('leaf', e=[2]) for i in range(4)})
    library = {'cells': {'INV': {'inputs': ['A']}, 'BUF': {'inputs': ['A']}},
               'buffer': 'BUF', 'buffer_pins': ['A', 'Y']}
    netlist = {'modules': {'top': top, 'leaf': leaf}}
    # 24 pins behind one net: a leaf's 6 fit the limit of 8, so each leaf gets one buffer.
    self.assertEqual(fanout.insert(netlist, library, 8, 'clk_i'), 4)
    self.assertEqual(sum(c['connections'].get('A') == [2] for c in top['cells'].values()), 4)


if __name__ == '__main__':
  unittest.main()
