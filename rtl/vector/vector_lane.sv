// One lane of the vector engine: two raw elements in, one narrowed result out, five stages later.
//
//   2 widen -> 3 --fma--> 4 --fma--> 5 --fma--> 6 select, narrow -> 7
//              3 copy | min | max -> 4 -> 5 ----^
//                                    4 sum_acc -^
//
// Timing  one element per enabled cycle. A stage computes only for a valid element that needs it.
// Model   sim/model/fp32.hpp        Test  tb/vector/vector_engine_test.cpp
`default_nettype none
module vector_lane (
  input  logic        clk_i,
  input  logic        en_i,
  input  logic [6:2]  valid_i,     // 0 in lanes outside the instruction's partitions
  input  logic        first_4_i,   // stage 4 starts a reduction
  input  logic        write_6_i,   // stage 6 gives a result
  input  logic        skid_i,      // stage 6 waits for the second cycle or longer
  input  logic [31:0] raw_0_i,     // stage 2
  input  logic [31:0] raw_1_i,
  // Constant during an instruction.
  input  logic [3:0]  dtype_0_i,
  input  logic [3:0]  dtype_1_i,
  input  logic [3:0]  dtype_d_i,
  input  logic [1:0]  round_i,
  input  logic        sat_i,
  input  logic        read_1_i,
  input  logic [31:0] imm_i,
  input  logic        reduce_i,
  input  logic        fma_i,
  input  logic [1:0]  fma_op_i,
  input  logic        minmax_i,
  input  logic        min_i,
  input  logic [1:0]  acc_op_i,
  output logic [31:0] result_o,    // stage 7
  input  logic [23:0] random_i,
  output logic        advance_o
);
  logic [31:0] a3_q, b3_q;           // widened sources
  logic [31:0] alt4_q, alt5_q, alt6_q;
  logic [31:0] fma, acc, result;

  always_ff @(posedge clk_i) begin
    if (en_i) begin
      if (valid_i[2]) begin
        a3_q <= fp_pkg::Widen(dtype_0_i, raw_0_i);
        b3_q <= read_1_i ? fp_pkg::Widen(dtype_1_i, raw_1_i) : imm_i;
      end
      if (valid_i[3] && !fma_i) alt4_q <= minmax_i ? fp_pkg::MaxMin(a3_q, b3_q, min_i) : a3_q;
      if (valid_i[4] && !fma_i) alt5_q <= alt4_q;
      if (valid_i[5] && !fma_i && !reduce_i) alt6_q <= alt5_q;
    end else if (reduce_i && !skid_i) begin
      // sum_acc does not freeze with the pipe: the element behind would show in the next cycle.
      alt6_q <= acc;
    end
  end

  fp32_fma u_fma (
    .clk_i,
    .en_i (en_i && fma_i && valid_i[5:3] != '0),
    .op_i (fma_op_i),
    .a_i  (a3_q),
    .b_i  (b3_q),
    .c_i  (b3_q),
    .res_o(fma)
  );
  sum_acc u_acc (
    .clk_i,
    .en_i   (en_i && reduce_i && valid_i[4]),
    .first_i(first_4_i),
    .op_i   (acc_op_i),
    .x_i    (alt4_q),
    .res_o  (acc)
  );

  assign result = fma_i ? fma : reduce_i && !skid_i ? acc : alt6_q;

  lane_output u_output (
    .clk_i,
    .take_i (en_i && valid_i[6] && write_6_i),
    .fp32_i (result),
    .dtype_i(dtype_d_i),
    .round_i,
    .sat_i,
    .bits_o (result_o),
    .random_i,
    .advance_o
  );
endmodule
