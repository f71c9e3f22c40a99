// One lane of the scalar engine: narrow(func(src0 * scale + bias)), one element per enabled cycle.
//
//   2 widen -> 3 --fma--> 4 --fma--> 5 --fma--> 6 identity, relu ------------------> 7 narrow -> 8
//                                               6 act_func -> 19 --sum_acc--> 21 narrow -> 22
//
// Timing  result_o is valid in stage 8, or 22 if deep_i. Stages compute only for a valid element.
// Model   sim/model/fp32.hpp, function_table.hpp        Test  tb/scalar/scalar_engine_test.cpp
`default_nettype none
module scalar_lane (
  input  logic              clk_i,
  input  logic              en_i,
  input  logic [21:2]       valid_i,     // 0 in lanes outside the instruction's partitions
  input  logic              first_19_i,  // stage 19 starts a sum
  input  logic              write_7_i,   // stage 7, 21 gives a result
  input  logic              write_21_i,
  input  logic              skid_i,      // stage 21 waits for the second cycle or longer
  input  logic [31:0]       raw_0_i,     // stage 2
  input  logic [31:0]       raw_1_i,
  // Constant during an instruction.
  input  logic [3:0]        dtype_0_i,
  input  logic [3:0]        dtype_1_i,
  input  logic [3:0]        dtype_d_i,
  input  logic [1:0]        round_i,
  input  logic              sat_i,
  input  func_pkg::header_t header_i,
  input  logic              table_i,     // the function has a table
  input  logic              relu_i,
  input  logic              deep_i,      // table or sum
  input  logic              sum_i,
  input  logic              odd_i,
  input  logic [31:0]       scale_i,
  input  logic              read_1_i,    // the bias comes from memory, else it is bias_i
  input  logic [31:0]       bias_i,
  output logic [31:0]       result_o,
  input  logic [23:0]       random_i,
  output logic              advance_o,
  // Writing the tables.
  input  logic              entries_we_i,
  input  logic [func_pkg::EntryAddrW-3:0] entries_addr_i,
  input  logic [51:0]       entries_i,
  input  logic              segment_we_i,
  input  logic [func_pkg::SegmentAddrW-1:0] segment_addr_i,
  input  logic [127:0]      segment_i
);
  logic [31:0] a3_q, c3_q;  // widened sources
  logic [31:0] fma, y7_q, y19, y20_q, y21_q, total, result;

  always_ff @(posedge clk_i) begin
    if (en_i && valid_i[2]) begin
      a3_q <= fp_pkg::Widen(dtype_0_i, raw_0_i);
      c3_q <= read_1_i ? fp_pkg::Widen(dtype_1_i, raw_1_i) : bias_i;
    end
    if (en_i && valid_i[6] && !deep_i) y7_q <= relu_i ? fp_pkg::MaxMin(fma, 32'b0, 1'b0) : fma;
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
    .en_i   (en_i && deep_i),
    .valid_i(valid_i[18:6]),
    .header_i,
    .table_i,
    .relu_i,
    .odd_i,
    .x_i    (fma),
    .y_o    (y19),
    .entries_we_i,
    .entries_addr_i,
    .entries_i,
    .segment_we_i,
    .segment_addr_i,
    .segment_i
  );

  // A sum's result comes two cycles behind its element. sum_acc does not freeze with the pipe: the
  // element behind would show in the next cycle.
  sum_acc u_sum (
    .clk_i,
    .en_i   (en_i && sum_i && valid_i[19]),
    .first_i(first_19_i),
    .op_i   (2'(dither_pkg::RedFuncSum)),
    .x_i    (y19),
    .res_o  (total)
  );
  always_ff @(posedge clk_i) begin
    if (en_i) begin
      if (valid_i[19] && !sum_i) y20_q <= y19;
      if (valid_i[20] && !sum_i) y21_q <= y20_q;
    end else if (sum_i && !skid_i) begin
      y21_q <= total;
    end
  end
  assign result = !deep_i ? y7_q : sum_i && !skid_i ? total : y21_q;

  lane_output u_output (
    .clk_i,
    .take_i (en_i && (deep_i ? valid_i[21] && write_21_i : valid_i[7] && write_7_i)),
    .fp32_i (result),
    .dtype_i(dtype_d_i),
    .round_i,
    .sat_i,
    .bits_o (result_o),
    .random_i,
    .advance_o
  );
endmodule
