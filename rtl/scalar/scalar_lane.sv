// One lane of the scalar engine: narrow(func(src0 * scale + bias)), one element per enabled cycle.
//
//   2 widen -> 3 --fma--> 4 --fma--> 5 --fma--> 6 func -> 6 + FuncStages: narrow -> result
//
// Timing  result_o is valid in stage 7 + FuncStages. Stages compute only for a valid element.
// Model   sim/model/fp32.hpp        Test  tb/scalar/scalar_engine_test.cpp
`default_nettype none
module scalar_lane #(
  parameter  int unsigned FuncStages = 1,              // latency of act_func
  localparam int unsigned Narrow     = 6 + FuncStages  // stage of the rounder
) (
  input  logic              clk_i,
  input  logic              en_i,
  input  logic [Narrow:2]   valid_i,     // 0 in lanes outside the instruction's partitions
  input  logic [31:0]       raw_0_i,     // stage 2
  input  logic [31:0]       raw_1_i,
  // Constant during an instruction.
  input  logic [3:0]        dtype_0_i,
  input  logic [3:0]        dtype_1_i,
  input  logic [3:0]        dtype_d_i,
  input  logic [1:0]        round_i,
  input  logic              sat_i,
  input  logic [7:0]        func_i,
  input  logic [31:0]       scale_i,
  input  logic              read_1_i,    // the bias comes from memory, else it is bias_i
  input  logic [31:0]       bias_i,
  output logic [31:0]       result_o,
  input  logic [23:0]       random_i,
  output logic              advance_o
);
  logic [31:0] a3_q, c3_q;  // widened sources
  logic [31:0] fma, y;

  always_ff @(posedge clk_i) begin
    if (en_i && valid_i[2]) begin
      a3_q <= fp_pkg::Widen(dtype_0_i, raw_0_i);
      c3_q <= read_1_i ? fp_pkg::Widen(dtype_1_i, raw_1_i) : bias_i;
    end
  end

  fp32_fma u_fma (
    .clk_i,
    .en_i (en_i && valid_i[5:3] != '0),
    .op_i (2'd0),
    .a_i  (a3_q),
    .b_i  (scale_i),
    .c_i  (c3_q),
    .res_o(fma)
  );
  act_func u_func (
    .clk_i,
    .en_i(en_i && valid_i[Narrow-1:6] != '0),
    .func_i,
    .x_i (fma),
    .y_o (y)
  );
  lane_output u_output (
    .clk_i,
    .take_i (en_i && valid_i[Narrow]),
    .fp32_i (y),
    .dtype_i(dtype_d_i),
    .round_i,
    .sat_i,
    .bits_o (result_o),
    .random_i,
    .advance_o
  );
endmodule
