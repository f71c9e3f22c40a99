// What a table function's header says, and 2/pi.
//
// Model   sim/model/function_table.hpp, sim/model/two_over_pi.hpp        Test  tb/scalar/scalar_engine_test.cpp
`default_nettype none
package func_pkg;
  // Codes of mode (0: octave) and symmetry (2: even).
  localparam logic [1:0] ModeMantissa = 2'd1, ModeLog = 2'd2, ModeTurn = 2'd3;
  localparam logic [1:0] SymmetryNone = 2'd0, SymmetryOdd = 2'd1;

  // log2 of dither_pkg::FuncEntries and FuncSegments; yosys reads no other package's constants here.
  localparam int unsigned EntryAddrW   = 10;
  localparam int unsigned SegmentAddrW = 10;

  // The four words of a header; word 0 in the low bits.
  typedef struct packed {
    logic [127:0]      special;      // +0, -0, +infinity, -infinity; +0 in the low bits
    logic [25:0]       unused_addend;
    logic [37:0]       addend;
    logic [9:0]        directory_2;
    logic [6:0]        octaves_2;
    logic signed [8:0] first_2;
    logic [9:0]        directory;
    logic [6:0]        octaves;
    logic signed [8:0] first;
    logic [1:0]        turn;
    logic              parity;
    logic [1:0]        symmetry;
    logic [1:0]        mode;
    logic [4:0]        code;
  } header_t;

  // Of a segment (0: direct, 4 and above: literal).
  localparam logic [2:0] KindPlus = 3'd1, KindMinus = 3'd2, KindLog2 = 3'd3;

  typedef struct packed {
    logic               negative;
    logic [2:0]         kind;      // 4 and above: literal
    logic signed [8:0]  exponent;
    logic signed [17:0] c3;
    logic signed [25:0] c2;
    logic signed [32:0] c1;
    logic signed [37:0] c0;
  } segment_t;

  localparam logic [191:0] TwoOverPi = 192'ha2f9836e_4e441529_fc2757d1_f534ddc0_db629599_3c439041;

  // 70 bits of 2/pi * 2^(e - 23), worth 2^1 down to 2^-68, e = exponent - 127 of -32 .. 127.
  function automatic logic [69:0] TurnWindow(input logic [7:0] exponent);
    logic [7:0]   place;
    logic [261:0] bits;
    logic         unused_low;
    place      = exponent - 8'd95;
    // Bit i of 2/pi, i = e - 25 at the top: 57 zeros stand before them for e = -32.
    bits       = {57'b0, func_pkg::TwoOverPi, 13'b0} << place;
    unused_low = ^bits[191:0];
    TurnWindow = exponent < 8'd95 ? '0 : bits[261 -: 70];
  endfunction
endpackage
