// Shape and timing of the PE array for a number of rows, in one place: the array, the tensor engine and
// the test benches ask here.
`default_nettype none
package array_pkg;
  localparam int unsigned OperandW = 17;  // {sign, exponent[8], significand[8]}, see dot_pe
  localparam int unsigned Frac     = 12;  // bits kept below a product's last bit

  // Optional pipeline registers of a PE, a bit each; docs/blocks/pe_array.md has the price of every one.
  localparam int unsigned CutExp   = 0;  // behind the exponents' adders
  localparam int unsigned CutMax   = 1;  // in the middle of the exponents' maximum tree
  localparam int unsigned CutProd  = 2;  // behind the multipliers
  localparam int unsigned CutTree  = 3;  // in the middle of the carry-save tree
  localparam int unsigned CutAdd   = 4;  // before the carry-propagate adder of the dot product
  localparam int unsigned CutMerge = 5;  // in the merge with the sum from the north
  localparam logic [5:0]  Cuts     = 6'b010010;

  // Rows that one PE fuses. The sum is defined by it: sim/model/column_sum.hpp, DotWidth.
  function automatic int unsigned DotWidth(input int unsigned rows);
    DotWidth = rows < 32 ? rows : 32;
  endfunction
  // Columns that share a broadcast of the moving operand.
  function automatic int unsigned GroupCols(input int unsigned cols);
    GroupCols = cols < 8 ? cols : 8;
  endfunction

  // Cycles of a PE: exponents, then significands, then the merge with the north.
  function automatic int unsigned EarlyCycles(input logic [5:0] cuts);
    EarlyCycles = 1 + 32'(cuts[CutExp]) + 32'(cuts[CutMax]);
  endfunction
  function automatic int unsigned LateCycles(input logic [5:0] cuts);
    LateCycles = 1 + 32'(cuts[CutProd]) + 32'(cuts[CutTree]) + 32'(cuts[CutAdd]);
  endfunction
  function automatic int unsigned MergeCycles(input logic [5:0] cuts);
    MergeCycles = 1 + 32'(cuts[CutMerge]);
  endfunction

  // Cycles from a moving column at the array's port to its sums at the feet.
  function automatic int unsigned Latency(input int unsigned rows, input int unsigned cols,
                                          input int unsigned d, input int unsigned g,
                                          input logic [5:0] cuts);
    Latency = rows / d * MergeCycles(cuts) + cols / g + EarlyCycles(cuts) + LateCycles(cuts);
  endfunction
endpackage
