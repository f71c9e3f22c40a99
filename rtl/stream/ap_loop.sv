// Counters of the four nested loops that all operands share, innermost dimension 0.
//
// After load_i the outputs describe element (0,0,0,0); each step_i moves to the next. A group is a
// run of elements that differ only in the group_i innermost dimensions (0: each is a group). With
// twice_i dimension 0 runs twice before the others go on.
// Timing  registers to outputs through a few gates; one element per cycle.
// Test    tb/vector/vector_engine_test.cpp
`default_nettype none
`include "chk.svh"
module ap_loop (
  input  logic        clk_i,
  input  logic        rst_ni,
  input  logic        load_i,
  input  logic [63:0] size_i,         // four sizes of 16 bits, each at least 1
  input  logic [2:0]  group_i,        // 0..4, sampled with load_i
  input  logic        twice_i,        // sampled with load_i
  input  logic        step_i,
  output logic [1:0]  dim_o,          // the next step advances it and rewinds those below
  output logic        again_o,        // or it starts the second run
  output logic        second_o,       // the element is of the second run
  output logic        last_o,         // the very last element
  output logic        group_first_o,
  output logic        group_last_o
);
  logic [63:0] max_q;    // size - 1
  logic [63:0] left_q;   // elements of the dimension that are still to come
  logic [3:0]  inner_q;  // dimensions inside a group
  logic        first_q;
  logic        twice_q, second_q;
  logic [3:0]  at_end;

  always_comb begin
    for (int unsigned k = 0; k < 4; k++) at_end[k] = left_q[16*k +: 16] == '0;
  end
  assign again_o       = twice_q && !second_q && at_end[0];
  assign second_o      = second_q;
  assign dim_o         = !at_end[0] ? 2'd0 : !at_end[1] ? 2'd1 : !at_end[2] ? 2'd2 : 2'd3;
  assign last_o        = &at_end && !again_o;
  assign group_first_o = first_q;
  assign group_last_o  = &(at_end | ~inner_q);

  always_ff @(posedge clk_i) begin
    if (load_i) begin
      first_q  <= 1'b1;
      twice_q  <= twice_i;
      second_q <= 1'b0;
      for (int unsigned k = 0; k < 4; k++) begin
        max_q[16*k +: 16]  <= size_i[16*k +: 16] - 16'd1;
        left_q[16*k +: 16] <= size_i[16*k +: 16] - 16'd1;
        inner_q[k]         <= 3'(k) < group_i;
      end
    end else if (step_i) begin
      first_q <= group_last_o;
      if (again_o) second_q <= 1'b1;
      else if (at_end[0]) second_q <= 1'b0;
      for (int unsigned k = 0; k < 4; k++) begin
        if (again_o ? k == 0 : 2'(k) < dim_o) left_q[16*k +: 16] <= max_q[16*k +: 16];
        if (!again_o && 2'(k) == dim_o) left_q[16*k +: 16] <= left_q[16*k +: 16] - 16'd1;
      end
    end
  end

  // An instruction with an empty dimension never gets here.
  `CHK(SizesPositive_A, !load_i || (size_i[15:0] != '0 && size_i[31:16] != '0
                                    && size_i[47:32] != '0 && size_i[63:48] != '0))
endmodule
