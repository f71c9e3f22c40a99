// Shape and timing of the PE array for a number of rows, in one place: the array, the tensor engine and
// the test benches ask here.
`default_nettype none
`ifndef ARRAY_PKG_SV  // pe_tile includes it
`define ARRAY_PKG_SV
package array_pkg;
  // An operand of a row: {sign, exponent[8], significand[8]}, see dot_pe. With pairs {sign, exponent[4:3]} of lane 1
  // stand above it; what two 8-bit numbers are in it says pair_decode.
  function automatic int unsigned OperandBits(input bit pairs);
    OperandBits = pairs ? 20 : 17;
  endfunction
  // Mode of a moving column: what its rows hold, and the weights that it meets.
  localparam logic [1:0] ModeSingle = 2'b00;
  localparam logic [1:0] ModeFp8    = 2'b01;  // two fp8 numbers
  localparam logic [1:0] ModeInt8   = 2'b10;  // two int8 numbers
  localparam int unsigned Frac     = 12;  // bits kept below a product's last bit

  // Optional pipeline registers of a PE, a bit each; docs/blocks/pe_array.md has the price of every one.
  localparam int unsigned CutExp   = 0;  // behind the exponents' adders
  localparam int unsigned CutMax   = 1;  // in the middle of the exponents' maximum tree
  localparam int unsigned CutProd  = 2;  // behind the multipliers
  localparam int unsigned CutTree  = 3;  // in the middle of the carry-save tree
  localparam int unsigned CutAdd   = 4;  // before the carry-propagate adder of the dot product
  localparam int unsigned CutMerge = 5;  // in the merge with the sum from the north
  localparam int unsigned CutLast  = 6;  // before the last level of the exponents' maximum tree; goes with CutMax
  // None: the smallest area, and what else the choice rests on is said in docs/exploration.md.
  localparam logic [6:0]  Cuts     = 7'b0000000;

  // 1: adders and comparisons of a PE with logarithmic carries instead of rippling ones: faster, larger.
  localparam bit          Fast     = 1'b0;

  // Rows that one PE fuses. The sum is defined by it: sim/model/column_sum.hpp, DotWidth.
  function automatic int unsigned DotWidth(input int unsigned rows);
    DotWidth = rows < 32 ? rows : 32;
  endfunction
  // Columns that share a broadcast of the moving operand.
  function automatic int unsigned GroupCols(input int unsigned cols);
    GroupCols = cols < 16 ? cols : 16;
  endfunction

  // Bits of a column's partial sum: P products below 2^16, of pairs two a row of almost as much.
  function automatic int unsigned SumBits(input int unsigned rows, input int unsigned frac, input bit pairs);
    SumBits = 17 + frac + $clog2(rows) + 32'(pairs);
  endfunction

  // Cycles of a PE: exponents, then significands, then the merge with the north. With CutProd the products are
  // formed while the last exponent step runs, so that shift amounts need not wait; it goes with CutExp or CutMax.
  function automatic int unsigned EarlyCycles(input logic [6:0] cuts);
    EarlyCycles = 1 + 32'(cuts[CutExp]) + 32'(cuts[CutMax]) + 32'(cuts[CutLast]) - 32'(cuts[CutProd]);
  endfunction
  function automatic int unsigned LateCycles(input logic [6:0] cuts);
    LateCycles = 1 + 32'(cuts[CutProd]) + 32'(cuts[CutTree]) + 32'(cuts[CutAdd]);
  endfunction
  function automatic int unsigned MergeCycles(input logic [6:0] cuts);
    MergeCycles = 1 + 32'(cuts[CutMerge]);
  endfunction

  // Cycles from a moving column at the array's port to its sums at the feet.
  function automatic int unsigned Latency(input int unsigned rows, input int unsigned cols,
                                          input int unsigned d, input int unsigned g,
                                          input logic [6:0] cuts);
    Latency = rows / d * MergeCycles(cuts) + cols / g + EarlyCycles(cuts) + LateCycles(cuts);
  endfunction

  // a + b + c with carries by a prefix tree (Sklansky); what is not used of 40 bits is not built.
  function automatic logic [39:0] PrefixAdd(input logic [39:0] a, input logic [39:0] b, input logic c);
    logic [39:0] g, p;
    g    = a & b;
    p    = a ^ b;
    g[0] = g[0] | (p[0] & c);
    for (int unsigned l = 0; l < 6; l++) begin
      for (int unsigned i = 0; i < 40; i++) begin
        if (((i >> l) & 1) == 1) begin
          g[i] = g[i] | (p[i] & g[((i >> l) << l) - 1]);
          p[i] = p[i] & p[((i >> l) << l) - 1];
        end
      end
    end
    PrefixAdd = a ^ b ^ {g[38:0], c};
  endfunction
  // a > b by a tree over the bits.
  function automatic logic Above(input logic [8:0] a, input logic [8:0] b);
    logic [8:0] g, p;
    g = a & ~b;
    p = a | ~b;
    for (int unsigned l = 0; l < 4; l++) begin
      for (int unsigned i = 0; i < 9; i = i + (2 << l)) begin
        if (i + (1 << l) < 9) begin
          g[i] = g[i + (1 << l)] | (p[i + (1 << l)] & g[i]);
          p[i] = p[i + (1 << l)] & p[i];
        end
      end
    end
    Above = g[0];
  endfunction
endpackage
`endif
