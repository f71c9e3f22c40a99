// One lane of the vector engine: two raw elements in, one narrowed result out, five or eight stages later;
// or pairs in and out, the second element taking step 1's units at the time of step 0's.
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
  input  logic [6:2]        valid_i,     // 0 in lanes outside the instruction's partitions
  input  logic [9:6]        step_1_i,    // the same for step 1's stages, which in pairs are 3 to 6
  input  logic              first_2_i,   // starts a group, in the stages that have to know
  input  logic              first_4_i,
  input  logic              first_6_i,
  input  logic              first_9_i,
  input  logic [1:0]        kind_2_i,    // stream_pkg::Kind*
  input  logic [1:0]        kind_6_i,
  input  logic [1:0]        kind_9_i,
  input  logic [1:0]        fma_op_3_i,  // fp32_fma's op_i of step 0, stage 3
  input  logic [1:0]        fma_op_6_i,  // and of step 1, stage 6
  input  logic              neg_6_i,     //   with the other sign of a
  input  logic              write_6_i,   // stage 6, 9 gives a result
  input  logic              write_9_i,
  input  logic              skid_i,      // stage 6 waits for the second cycle or longer
  input  logic [23:0]       index_4_i,   // of the element in its group
  input  logic [31:0]       raw_0_i,     // stage 2; in pairs the second element is above the first
  input  logic [31:0]       raw_1_i,
  input  logic [23:0]       iota_i,      // stage 2, of lane 0
  input  logic              prepare_i,   // iota_load_i .. bus_valid_i may be set
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
  input  logic [23:0]       random_2_i,  // for the second of a pair
  output logic              advance_o
);
  localparam logic [6:0] RowMask = 7'(Rows - 1);

  logic [31:0] scalar_q;              // the partition's word
  logic [23:0] start_q;               // iota: the lane's distance from lane 0
  logic [31:0] keep_q;                // the pivot of the group, or the element that an index named
  logic [31:0] a3_q, y3_q, c3_q;      // step 0: a, b, and the multiply-add's addend
  logic [31:0] b3_q, b4_q, b5_q;      // source 1 on its way to step 1; in pairs the second
  logic [31:0] b6_q;                  //   element's c3, a3 and y3 are b4, b5 and b6
  logic [31:0] alt4_q, alt5_q, alt6_q, alt7_q, alt8_q, alt9_q;
  logic [31:0] squares_q;             // statistics: their mean
  logic [31:0] fma_0, fma_1, acc, acc_squares, arg;

  // ---- step 0, stages 2 to 6 ----
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
  function automatic logic [31:0] Flip(input logic flip, input logic [31:0] x);
    Flip = {x[31] ^ flip, x[30:0]};
  endfunction

  // The one place that takes a random word, for source 0 or to narrow with: else it is not made.
  logic        draw;
  logic [23:0] random, random_2;
  assign draw = valid_i[2] && ctrl_i.source == dither_pkg::SourceRandom;
  always_comb begin
    random   = '0;
    random_2 = '0;
    if (draw || (ctrl_i.round == dither_pkg::RoundSr && (ctrl_i.deep ? step_1_i[9] : valid_i[6]))) begin
      random = random_i;
      if (ctrl_i.pairs) random_2 = random_2_i;
    end
  end

  // What stage 3 works on: a, b, addend, and source 1 on its way to step 1. Without en_i, so that a
  // simulator makes them once; nothing moves without an element.
  logic [31:0] a2, along, scalar, y2, c2;
  logic        element_2;
  always_comb begin
    a2        = '0;
    along     = '0;
    scalar    = '0;
    y2        = '0;
    c2        = '0;
    element_2 = 1'b0;
    if (valid_i[2]) begin
      element_2 = !ctrl_i.stats || kind_2_i == stream_pkg::KindElement;
      if (!element_2) a2 = kind_2_i == stream_pkg::KindSquares ? acc_squares : acc;
      else if (ctrl_i.index) a2 = keep_q;
      else a2 = fp_pkg::Widen(ctrl_i.dtype_0, Source(ctrl_i.source, raw_0_i, iota_i, start_q, random));
      scalar = ctrl_i.scalars ? scalar_q : ctrl_i.imm_0;
      along  = ctrl_i.read_1 ? fp_pkg::Widen(ctrl_i.dtype_1, raw_1_i)
             : ctrl_i.two ? ctrl_i.imm_1 : scalar;
      if (!ctrl_i.stats) y2 = ctrl_i.two ? scalar : along;
      else if (!element_2) y2 = ctrl_i.imm_0;
      else y2 = first_2_i ? a2 : keep_q;  // the first element of a group is its pivot
      c2 = ctrl_i.fused ? along
         : ctrl_i.stats && kind_2_i == stream_pkg::KindMean ? keep_q
         : Flip(ctrl_i.stats, y2);
    end
  end

  // The same for the second of a pair. What stands still is the first one's.
  function automatic logic [15:0] Above(input logic pair16, input logic [31:8] raw);
    Above = pair16 ? raw[31:16] : {8'b0, raw[15:8]};
  endfunction
  logic [31:0] second_a2, second_along, second_y2, second_c2;
  always_comb begin
    second_a2    = '0;
    second_along = '0;
    second_y2    = '0;
    second_c2    = '0;
    if (valid_i[2] && ctrl_i.pairs) begin
      second_a2    = ctrl_i.still_0 ? a2
                   : fp_pkg::WidenShort(ctrl_i.dtype_0, Above(ctrl_i.pair16_0, raw_0_i[31:8]));
      second_along = ctrl_i.still_1 || !ctrl_i.read_1 ? along
                   : fp_pkg::WidenShort(ctrl_i.dtype_1, Above(ctrl_i.pair16_1, raw_1_i[31:8]));
      second_y2    = ctrl_i.two ? scalar : second_along;
      second_c2    = ctrl_i.fused ? second_along : second_y2;
    end
  end

  always_ff @(posedge clk_i) begin
    if (prepare_i) begin
      if (scalar_we_i) scalar_q <= scalar_i;
      if (iota_load_i) start_q <= '0;
      else if (iota_add_i && lane_i[part_bit_i]) start_q <= start_q + part_step_i;
      if (bus_valid_i && ctrl_i.index && bus_lane_i == (scalar_q[6:0] & RowMask)) keep_q <= bus_i;
    end
    if (en_i) begin
      if (valid_i[2]) begin
        a3_q <= Flip(ctrl_i.step_0.neg_a, a2);
        y3_q <= y2;
        if (ctrl_i.step_0.fma) c3_q <= Flip(ctrl_i.step_0.neg_c, c2);
        if (ctrl_i.deep && ctrl_i.read_1) b3_q <= along;
        if (ctrl_i.stats && first_2_i) keep_q <= a2;
      end
      if (valid_i[3] && !ctrl_i.step_0.fma) begin
        alt4_q <= ctrl_i.transpose ? turned_i : ctrl_i.bus && !ctrl_i.index ? bus_i
                : vector_pkg::Simple(ctrl_i.step_0.func, ctrl_i.step_0.swap, a3_q, y3_q);
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
    .op_i (fma_op_3_i),
    .a_i  (a3_q),
    .b_i  (y3_q),
    .c_i  (c3_q),
    .res_o(fma_0)
  );
  // Statistics add up what step 0 has made.
  logic        acc_valid, acc_first;
  logic [31:0] acc_x;
  always_comb begin
    acc_valid = 1'b0;
    acc_first = 1'b0;
    acc_x     = '0;
    if (ctrl_i.stats && valid_i[6]) begin
      acc_valid = kind_6_i == stream_pkg::KindElement;
      acc_first = first_6_i;
      acc_x     = fma_0;
    end else if (ctrl_i.reduce && valid_i[4]) begin
      acc_valid = !ctrl_i.argmax;
      acc_first = first_4_i;
      acc_x     = alt4_q;
    end
  end
  sum_acc u_acc (
    .clk_i,
    .en_i   (en_i && acc_valid),
    .first_i(acc_first),
    .op_i   (ctrl_i.acc_op),
    .x_i    (acc_x),
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

  // ---- step 1, stages 6 to 9; in pairs the second element's 3 to 6 ----
  logic [31:0] t6, x6, a6, y6, c6, t9, squared;
  always_comb begin
    t6 = '0;
    x6 = '0;
    a6 = '0;
    y6 = '0;
    c6 = '0;
    if (valid_i[6]) begin
      t6 = ctrl_i.step_0.fma ? fma_0
         : ctrl_i.reduce && !skid_i ? (ctrl_i.argmax ? arg : acc) : alt6_q;
    end
    if (step_1_i[6]) begin
      // No reduction has a step 1: its sum's path ends in the narrowing.
      x6 = ctrl_i.pairs ? b5_q : ctrl_i.step_0.fma ? fma_0 : alt6_q;
      a6 = Flip(neg_6_i && !ctrl_i.pairs, x6);
      y6 = ctrl_i.read_1 || ctrl_i.pairs ? b6_q : ctrl_i.imm_1;
      c6 = ctrl_i.pairs ? b4_q : ctrl_i.stats ? squares_q : Flip(ctrl_i.step_1.neg_c, y6);
    end
  end

  always_ff @(posedge clk_i) begin
    if (en_i && (ctrl_i.deep || ctrl_i.pairs)) begin
      if (ctrl_i.pairs) begin
        if (valid_i[2]) begin
          if (ctrl_i.step_0.fma) b4_q <= Flip(ctrl_i.step_0.neg_c, second_c2);
          b5_q <= Flip(ctrl_i.step_0.neg_a, second_a2);
          b6_q <= second_y2;
        end
      end else if (ctrl_i.read_1) begin
        if (valid_i[3]) b4_q <= b3_q;
        if (valid_i[4]) b5_q <= b4_q;
        if (valid_i[5]) b6_q <= b5_q;
      end
      if (step_1_i[6]) begin
        if (ctrl_i.stats && kind_6_i == stream_pkg::KindSquares) squares_q <= x6;
        // The mean goes round the multiplier.
        if (ctrl_i.stats) alt7_q <= x6;
        else if (!ctrl_i.step_1.fma) begin
          alt7_q <= vector_pkg::Simple(ctrl_i.step_1.func, ctrl_i.step_1.swap, x6, y6);
        end
      end
      if (ctrl_i.stats || !ctrl_i.step_1.fma) begin
        if (step_1_i[7]) alt8_q <= alt7_q;
        if (step_1_i[8]) alt9_q <= alt8_q;
      end
    end
  end

  fp32_fma u_fma_1 (
    .clk_i,
    .en_i (en_i && (ctrl_i.deep || ctrl_i.pairs) && ctrl_i.step_1.fma && step_1_i[8:6] != '0),
    .op_i (fma_op_6_i),
    .a_i  (a6),
    .b_i  (ctrl_i.stats ? x6 : y6),
    .c_i  (c6),
    .res_o(fma_1)
  );
  always_comb begin
    squared = '0;
    t9      = '0;
    if (step_1_i[9]) begin
      squared = fma_1;
      // A variance that rounding has made negative is +0.
      t9 = !ctrl_i.step_1.fma || (ctrl_i.stats && kind_9_i == stream_pkg::KindMean) ? alt9_q
         : ctrl_i.stats && fma_1[31] ? '0 : fma_1;
    end
  end
  sum_acc u_acc_squares (
    .clk_i,
    .en_i   (en_i && ctrl_i.stats && step_1_i[9] && kind_9_i == stream_pkg::KindElement),
    .first_i(first_9_i),
    .op_i   (2'(dither_pkg::RedFuncSum)),
    .x_i    (squared),
    .res_o  (acc_squares)
  );

  logic        take, narrow_advance;
  logic [31:0] result;
  logic [15:0] second_q;  // of a pair
  assign take = en_i && (ctrl_i.deep ? step_1_i[9] && write_9_i : valid_i[6] && write_6_i);
  lane_output u_output (
    .clk_i,
    .take_i   (take),
    .fp32_i   (ctrl_i.deep ? t9 : t6),
    .dtype_i  (ctrl_i.dtype_d),
    .round_i  (ctrl_i.round),
    .sat_i    (ctrl_i.sat),
    .bits_o   (result),
    .random_i (random),
    .advance_o(narrow_advance)
  );
  always_ff @(posedge clk_i) begin
    if (take && ctrl_i.pairs) begin
      second_q <= rounder_pkg::NarrowShort(ctrl_i.dtype_d, ctrl_i.round, ctrl_i.sat, random_2, t9);
    end
  end
  always_comb begin
    result_o = result;
    if (ctrl_i.pairs && ctrl_i.pair16_d) result_o[31:16] = second_q;
    else if (ctrl_i.pairs) result_o[15:8] = second_q[7:0];
  end
  assign advance_o = narrow_advance || (en_i && draw);
endmodule
