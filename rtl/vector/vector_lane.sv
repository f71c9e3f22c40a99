// One lane of the vector engine: two raw elements in, one narrowed result out, five or eight stages later.
//
//   2 widen -> 3 --step 0: fma--> 4 -> 5 -> 6 --step 1: fma--> 7 -> 8 -> 9 select, narrow -> 10
//              3 --step 0: simple-> 4 -> 5 -^ | 6 simple-> 7 -> 8 -> 9 ---^
//                    reduce, scan: 4 sum_acc -^ `-> select, narrow -> 7 (one step)
//
// Statistics: step 0 takes the pivot off and sum_acc adds up from stage 6 on, step 1 squares and a
// second sum_acc adds up from stage 9 on; then three elements of their own make mean and variance.
// Timing  one element per enabled cycle. A stage computes only for a valid element that needs it.
// Model   sim/model/fp32.hpp        Test  tb/vector/vector_engine_test.cpp
`default_nettype none
module vector_lane #(
  parameter int unsigned Rows = 16
) (
  input  logic              clk_i,
  input  logic [6:0]        lane_i,      // its number, a constant; no parameter, to have one module
  input  logic              en_i,
  input  logic [9:2]        valid_i,     // 0 in lanes outside the instruction's partitions
  input  logic              first_3_i,   // starts a group, in the stages that have to know
  input  logic              first_4_i,
  input  logic              first_6_i,
  input  logic              first_9_i,
  input  logic [1:0]        kind_2_i,    // stream_pkg::Kind*
  input  logic [1:0]        kind_3_i,
  input  logic [1:0]        kind_6_i,
  input  logic [1:0]        kind_9_i,
  input  logic              write_6_i,   // stage 6, 9 gives a result
  input  logic              write_9_i,
  input  logic              skid_i,      // stage 6 waits for the second cycle or longer
  input  logic [23:0]       index_4_i,   // of the element in its group
  input  logic [31:0]       raw_0_i,     // stage 2
  input  logic [31:0]       raw_1_i,
  input  logic [23:0]       iota_i,      // stage 2, of lane 0
  input  logic              iota_load_i, // part_step_i is new: the lane's distance is found in the
  input  logic              iota_add_i,  //   cycles that follow
  input  logic [23:0]       part_step_i, //   it is doubled in each of them
  input  logic [2:0]        part_bit_i,  //   and counts in lanes that have this bit
  // The partition's own word, read before the first element.
  input  logic              scalar_we_i,
  input  logic [31:0]       scalar_i,
  // The element of another lane in stage 3.
  input  logic              bus_valid_i, // bus_i is lane bus_lane_i's
  input  logic [6:0]        bus_lane_i,
  input  logic [31:0]       bus_i,
  input  logic [31:0]       turned_i,    // the transposed block's
  input  vector_pkg::ctrl_t ctrl_i,
  output logic [31:0]       result_o,    // stage 7 or 10
  input  logic [23:0]       random_i,
  output logic              advance_o
);
  localparam logic [6:0] RowMask = 7'(Rows - 1);

  logic [31:0] scalar_q;              // the partition's word
  logic [23:0] start_q;               // iota: the lane's distance from lane 0
  logic [31:0] keep_q;                // the pivot of the group, or the element that an index named
  logic [31:0] a3_q, b3_q;            // widened sources
  logic [31:0] alt4_q, alt5_q, alt6_q;
  logic [31:0] b4_q, b5_q, b6_q;
  logic [31:0] alt7_q, alt8_q, alt9_q;
  logic [31:0] squares_q;             // stats: their mean
  logic [31:0] fma_0, fma_1, acc, acc_squares, arg;

  // ---- step 0, stages 3 to 6 ----
  logic [31:0] scalar, y3, c3, y6;
  logic        random_source;
  assign random_source = ctrl_i.source == dither_pkg::SourceRandom;
  assign scalar        = ctrl_i.scalars ? scalar_q : ctrl_i.imm_0;
  assign y3 = !ctrl_i.stats ? (ctrl_i.two ? scalar : b3_q)
            : kind_3_i != stream_pkg::KindElement ? ctrl_i.imm_0
            : first_3_i ? a3_q : keep_q;
  assign c3 = ctrl_i.fused ? b3_q : ctrl_i.stats && kind_3_i == stream_pkg::KindMean ? keep_q : y3;

  function automatic logic [31:0] Source(input logic [1:0] source, input logic [31:0] raw,
                                         input logic [23:0] iota, input logic [23:0] start,
                                         input logic [23:0] random);
    logic [23:0] sum;
    sum = iota + start;
    case (source)
      dither_pkg::SourceIota:   Source = {{8{sum[23]}}, sum};
      dither_pkg::SourceRandom: Source = {8'b0, random};
      default:                  Source = raw;
    endcase
  endfunction

  always_ff @(posedge clk_i) begin
    if (scalar_we_i) scalar_q <= scalar_i;
    if (iota_load_i) start_q <= '0;
    else if (iota_add_i && lane_i[part_bit_i]) start_q <= start_q + part_step_i;
    if (bus_valid_i && ctrl_i.index && bus_lane_i == (scalar_q[6:0] & RowMask)) keep_q <= bus_i;
    if (en_i) begin
      if (valid_i[2]) begin
        if (ctrl_i.stats && kind_2_i != stream_pkg::KindElement) begin
          a3_q <= kind_2_i == stream_pkg::KindSquares ? acc_squares : acc;
        end else begin
          a3_q <= ctrl_i.index ? keep_q
                : fp_pkg::Widen(ctrl_i.dtype_0, Source(ctrl_i.source, raw_0_i, iota_i, start_q, random_i));
        end
        b3_q <= ctrl_i.read_1 ? fp_pkg::Widen(ctrl_i.dtype_1, raw_1_i)
              : ctrl_i.two ? ctrl_i.imm_1 : scalar;
      end
      if (valid_i[3] && ctrl_i.stats && first_3_i && kind_3_i == stream_pkg::KindElement) begin
        keep_q <= a3_q;
      end
      if (valid_i[3] && !ctrl_i.step_0.fma) begin
        alt4_q <= ctrl_i.transpose ? turned_i : ctrl_i.bus && !ctrl_i.index ? bus_i
                : vector_pkg::Simple(ctrl_i.step_0.func, ctrl_i.step_0.swap, a3_q, y3);
      end
      if (valid_i[4] && !ctrl_i.step_0.fma) alt5_q <= alt4_q;
      if (valid_i[5] && !ctrl_i.step_0.fma && !ctrl_i.reduce) alt6_q <= alt5_q;
    end else if (ctrl_i.reduce && !skid_i) begin
      // sum_acc does not freeze with the pipe: the element behind would show in the next cycle.
      alt6_q <= ctrl_i.argmax ? arg : acc;
    end
  end

  fp32_fma u_fma_0 (
    .clk_i,
    .en_i (en_i && ctrl_i.step_0.fma && valid_i[5:3] != '0),
    .op_i (!ctrl_i.stats || kind_3_i == stream_pkg::KindElement ? ctrl_i.step_0.fma_op
           : kind_3_i == stream_pkg::KindMean ? 2'd0 : 2'd1),
    .a_i  ({a3_q[31] ^ ctrl_i.step_0.neg_a, a3_q[30:0]}),
    .b_i  (y3),
    .c_i  ({c3[31] ^ (ctrl_i.step_0.neg_c && kind_3_i == stream_pkg::KindElement), c3[30:0]}),
    .res_o(fma_0)
  );
  // Statistics add up what step 0 has made.
  sum_acc u_acc (
    .clk_i,
    .en_i   (en_i && (ctrl_i.stats ? valid_i[6] && kind_6_i == stream_pkg::KindElement
                                   : ctrl_i.reduce && !ctrl_i.argmax && valid_i[4])),
    .first_i(ctrl_i.stats ? first_6_i : first_4_i),
    .op_i   (ctrl_i.stats ? 2'(dither_pkg::RedFuncSum) : ctrl_i.acc_op),
    .x_i    (ctrl_i.stats ? fma_0 : alt4_q),
    .res_o  (acc)
  );
  arg_max u_arg (
    .clk_i,
    .en_i   (en_i && ctrl_i.argmax && valid_i[4]),
    .first_i(first_4_i),
    .index_i(index_4_i),
    .x_i    (alt4_q),
    .index_o(arg)
  );

  // ---- step 1, stages 6 to 9 ----
  logic [31:0] t6, t9;
  logic        square, deep_3;
  assign t6     = ctrl_i.step_0.fma ? fma_0
                : ctrl_i.reduce && !skid_i ? (ctrl_i.argmax ? arg : acc) : alt6_q;
  assign y6     = ctrl_i.read_1 ? b6_q : ctrl_i.imm_1;
  assign square = ctrl_i.stats && kind_6_i == stream_pkg::KindVariance;
  assign deep_3 = ctrl_i.deep && ctrl_i.read_1;

  always_ff @(posedge clk_i) begin
    if (en_i && deep_3) begin
      if (valid_i[3]) b4_q <= b3_q;
      if (valid_i[4]) b5_q <= b4_q;
      if (valid_i[5]) b6_q <= b5_q;
    end
    if (en_i && ctrl_i.deep) begin
      if (valid_i[6] && ctrl_i.stats && kind_6_i == stream_pkg::KindSquares) squares_q <= t6;
      if (valid_i[6] && ctrl_i.stats && kind_6_i == stream_pkg::KindMean) alt7_q <= t6;
      if (valid_i[6] && !ctrl_i.step_1.fma) begin
        alt7_q <= vector_pkg::Simple(ctrl_i.step_1.func, ctrl_i.step_1.swap, t6, y6);
      end
      if (valid_i[7]) alt8_q <= alt7_q;
      if (valid_i[8]) alt9_q <= alt8_q;
    end
  end

  fp32_fma u_fma_1 (
    .clk_i,
    .en_i (en_i && ctrl_i.deep && ctrl_i.step_1.fma && valid_i[8:6] != '0),
    .op_i (square ? 2'd0 : ctrl_i.step_1.fma_op),
    .a_i  ({t6[31] ^ (ctrl_i.step_1.neg_a || square), t6[30:0]}),
    .b_i  (ctrl_i.stats ? t6 : y6),
    .c_i  (square ? squares_q : {y6[31] ^ ctrl_i.step_1.neg_c, y6[30:0]}),
    .res_o(fma_1)
  );
  sum_acc u_acc_squares (
    .clk_i,
    .en_i   (en_i && ctrl_i.stats && valid_i[9] && kind_9_i == stream_pkg::KindElement),
    .first_i(first_9_i),
    .op_i   (2'(dither_pkg::RedFuncSum)),
    .x_i    (fma_1),
    .res_o  (acc_squares)
  );
  // A variance that rounding has made negative is +0.
  assign t9 = !ctrl_i.step_1.fma || (ctrl_i.stats && kind_9_i == stream_pkg::KindMean) ? alt9_q
            : ctrl_i.stats && fma_1[31] ? '0 : fma_1;

  logic take, narrow_advance;
  assign take = en_i && (ctrl_i.deep ? valid_i[9] && write_9_i : valid_i[6] && write_6_i);
  lane_output u_output (
    .clk_i,
    .take_i   (take),
    .fp32_i   (ctrl_i.deep ? t9 : t6),
    .dtype_i  (ctrl_i.dtype_d),
    .round_i  (ctrl_i.round),
    .sat_i    (ctrl_i.sat),
    .bits_o   (result_o),
    .random_i,
    .advance_o(narrow_advance)
  );
  assign advance_o = narrow_advance || (en_i && valid_i[2] && random_source);
endmodule
