// Codes between stream_unit and the lanes.
//
// Test  tb/vector/vector_engine_test.cpp
`default_nettype none
package stream_pkg;
  // Elements of the pipe: of the instruction's operands, and what ends a group of stats.
  localparam logic [1:0] KindElement  = 2'd0;
  localparam logic [1:0] KindMean     = 2'd1;
  localparam logic [1:0] KindSquares  = 2'd2;  // mean of the squares, for the one behind
  localparam logic [1:0] KindVariance = 2'd3;
endpackage
