// Vector engine: elementwise functions in one or two steps, reductions, scans, statistics, counted
// and random tensors, moves between partitions; one element of every lane per cycle, or a pair of
// short ones.
//
//   instr -> stream_unit -> raw elements -> vector_lane x Rows -> stream_unit -> SBUF, PSUM
//                                      `-> lane_bus, lane_transpose -^
//
// Timing  n elements take n + 8 cycles when every request is granted at once, in two steps n + 11,
//         in pairs n / 2 + 8;
//         docs/blocks/vector_engine.md has the rest. The next instruction starts right behind.
//         gnt to instr_ready_o, done_o, stall_o, work_o combinationally.
// Test    tb/vector/vector_engine_test.cpp
`default_nettype none
module vector_engine #(
  parameter  int unsigned Rows      = 16,                             // lanes, power of two, 2..128
  parameter  int unsigned SbufBytes = dither_pkg::SbufBytesOf(Rows),  // of a partition, above 8192
  parameter  bit          Whiten    = 1'b1,                           // of the random words
  localparam int unsigned AddrW     = $clog2(SbufBytes)               // derived
) (
  input  logic               clk_i,
  input  logic               rst_ni,
  // Sequencer.
  input  logic               instr_valid_i,
  input  logic [511:0]       instr_i,
  output logic               instr_ready_o,
  output logic               done_o,
  output logic               busy_o,
  output logic               stall_o,
  output logic [7:0]         work_o,
  // Rounder states of the lanes, for the CSRs; write while idle.
  input  logic               rng_we_i,
  input  logic [7:0]         rng_lane_i,
  input  logic [31:0]        rng_wdata_i,
  output logic [31:0]        rng_rdata_o,
  // Source 0, source 1 and destination in SBUF.
  output logic               sbuf_0_req_o,
  output logic [AddrW-4:0]   sbuf_0_addr_o,
  input  logic               sbuf_0_gnt_i,
  input  logic [Rows*64-1:0] sbuf_0_data_i,
  output logic               sbuf_1_req_o,
  output logic [AddrW-4:0]   sbuf_1_addr_o,
  input  logic               sbuf_1_gnt_i,
  input  logic [Rows*64-1:0] sbuf_1_data_i,
  output logic               sbuf_w_req_o,
  output logic [AddrW-4:0]   sbuf_w_addr_o,
  output logic [Rows-1:0]    sbuf_w_lanes_o,
  output logic [7:0]         sbuf_w_bytes_o,
  output logic [Rows*64-1:0] sbuf_w_data_o,
  input  logic               sbuf_w_gnt_i,
  // The same in PSUM.
  output logic               psum_0_req_o,
  output logic [11:0]        psum_0_addr_o,
  input  logic               psum_0_gnt_i,
  input  logic [Rows*32-1:0] psum_0_data_i,
  output logic               psum_1_req_o,
  output logic [11:0]        psum_1_addr_o,
  input  logic               psum_1_gnt_i,
  input  logic [Rows*32-1:0] psum_1_data_i,
  output logic               psum_w_req_o,
  output logic [11:0]        psum_w_addr_o,
  output logic [Rows-1:0]    psum_w_lanes_o,
  output logic [Rows*32-1:0] psum_w_data_o,
  input  logic               psum_w_gnt_i
);
  localparam int unsigned Stages = 10;
  localparam int unsigned Short  = 7;
  localparam int unsigned LaneW  = $clog2(Rows);

  // ---- decode, held during the instruction ----
  dither_pkg::instr_t instr;
  vector_pkg::ctrl_t  ctrl, ctrl_q;
  logic               accept, unused_instr;
  logic               read_0, read_1, group, reduce, stats, deep, scalars, twice, iota, pairs;
  logic [3:0]         wait_cycles;
  logic [LaneW-1:0]   part_0_q;
  assign instr        = instr_i;
  assign unused_instr = ^instr;  // stream_unit takes the addresses

  vector_decode #(.Rows(Rows)) u_decode (
    .instr_i,
    .ctrl_o   (ctrl),
    .read_0_o (read_0),
    .read_1_o (read_1),
    .group_o  (group),
    .reduce_o (reduce),
    .stats_o  (stats),
    .deep_o   (deep),
    .scalars_o(scalars),
    .twice_o  (twice),
    .iota_o   (iota),
    .wait_o   (wait_cycles),
    .pairs_o  (pairs)
  );
  always_ff @(posedge clk_i) begin
    if (accept) begin
      ctrl_q   <= ctrl;
      part_0_q <= instr.part_0[LaneW-1:0];
    end
  end

  // ---- operands ----
  logic                en, skid_q, hold, scalars_arrive, unused_flags;
  logic [Stages:1]     valid, first, write, second;
  logic [Short:1]      pair;
  logic [2*Stages-1:0] kind;
  logic [23:0]         iota_2;
  logic [Rows-1:0]     lanes;
  logic [Rows*32-1:0]  raw_0, raw_1, results;
  assign unused_flags = ^{valid[Stages], first, write[Stages], write[8:7], write[5:1],
                          second[Stages:3], kind, pair[Short], pair[5:1]};

  // Two sources in step often want the same bank: source 1 gets out of the way by reading ahead.
  stream_unit #(
    .Rows(Rows), .SbufBytes(SbufBytes), .Stages(Stages), .Short(Short), .Prefetch(1'b1),
    .Pairs(1'b1)
  ) u_stream (
    .clk_i,
    .rst_ni,
    .instr_valid_i,
    .instr_i,
    .instr_ready_o,
    .done_o,
    .busy_o,
    .stall_o,
    .work_o,
    .accept_o (accept),
    .read_0_i (read_0),
    .read_1_i (read_1),
    .group_i  (group),
    .reduce_i (reduce),
    .stats_i  (stats),
    .deep_i   (deep),
    .scalars_i(scalars),
    .twice_i  (twice),
    .iota_i   (iota),
    .wait_i   (wait_cycles),
    .pairs_i  (pairs),
    .hold_i   (hold),
    .en_o     (en),
    .valid_o  (valid),
    .first_o  (first),
    .write_o  (write),
    .kind_o   (kind),
    .second_o (second),
    .pair_o   (pair),
    .scalars_o(scalars_arrive),
    .iota_o   (iota_2),
    .lanes_o  (lanes),
    .raw_0_o  (raw_0),
    .raw_1_o  (raw_1),
    .result_i (results),
    .sbuf_0_req_o,
    .sbuf_0_addr_o,
    .sbuf_0_gnt_i,
    .sbuf_0_data_i,
    .sbuf_1_req_o,
    .sbuf_1_addr_o,
    .sbuf_1_gnt_i,
    .sbuf_1_data_i,
    .sbuf_w_req_o,
    .sbuf_w_addr_o,
    .sbuf_w_lanes_o,
    .sbuf_w_bytes_o,
    .sbuf_w_data_o,
    .sbuf_w_gnt_i,
    .psum_0_req_o,
    .psum_0_addr_o,
    .psum_0_gnt_i,
    .psum_0_data_i,
    .psum_1_req_o,
    .psum_1_addr_o,
    .psum_1_gnt_i,
    .psum_1_data_i,
    .psum_w_req_o,
    .psum_w_addr_o,
    .psum_w_lanes_o,
    .psum_w_data_o,
    .psum_w_gnt_i
  );

  // The element in stage 6 was there in the cycle before.
  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) skid_q <= 1'b0;
    else         skid_q <= !en;
  end

  // ---- rounder states ----
  // Vector and scalar lanes share one set of disjoint random sequences: vector first.
  logic [Rows-1:0]    advance;
  logic [Rows*24-1:0] random, random_2;
  lane_rng #(
    .Rows(Rows), .FirstLane(0), .Lanes(2 * Rows), .Whiten(Whiten), .Pairs(1'b1)
  ) u_rng (
    .clk_i,
    .rst_ni,
    .advance_i(advance),
    .two_i    (ctrl_q.pairs && pair[6]),
    .word_o   (random),
    .word_2_o (random_2),
    .we_i     (rng_we_i),
    .lane_i   (rng_lane_i),
    .wdata_i  (rng_wdata_i),
    .rdata_o  (rng_rdata_o)
  );

  // ---- what all lanes share ----
  // The elements that end a group of statistics take sums apart with the steps' multipliers.
  logic [1:0] fma_op_3, fma_op_6;
  logic       neg_6;
  always_comb begin
    fma_op_3 = ctrl_q.step_0.fma_op;
    fma_op_6 = ctrl_q.step_1.fma_op;
    neg_6    = ctrl_q.step_1.neg_a;
    if (ctrl_q.stats) begin
      if (kind[4 +: 2] == stream_pkg::KindMean) fma_op_3 = 2'd0;
      else if (kind[4 +: 2] != stream_pkg::KindElement) fma_op_3 = 2'd1;
      if (kind[10 +: 2] == stream_pkg::KindVariance) begin
        fma_op_6 = 2'd0;
        neg_6    = 1'b1;
      end
    end
  end

  // Number of the element in its group, for argmax.
  logic [23:0] index_q, index_4;
  assign index_4 = first[4] ? '0 : index_q;
  always_ff @(posedge clk_i) begin
    if (en && valid[4] && ctrl_q.argmax) index_q <= index_4 + 24'd1;
  end

  // Each lane's distance from lane 0 in a counted source: step * lane, a bit of the number per cycle.
  logic [15:0]    part_step;
  logic [23:0]    part_step_q;
  logic [LaneW:0] part_bit_q;   // one-hot; 0 when done
  logic [2:0]     part_bit;
  assign part_step = instr.str_0[3];
  always_comb begin
    part_bit = '0;
    for (int unsigned b = 0; b < LaneW; b++) if (part_bit_q[b]) part_bit = 3'(b);
  end
  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) part_bit_q <= '0;
    else if (accept) part_bit_q <= {{LaneW{1'b0}}, iota};
    else part_bit_q <= part_bit_q << 1;
  end
  always_ff @(posedge clk_i) begin
    if (accept && iota) part_step_q <= 24'($signed(part_step));
    else if (part_bit_q != '0) part_step_q <= part_step_q << 1;
  end
  logic iota_add;
  assign iota_add = part_bit_q[LaneW-1:0] != '0;

  logic prepare;
  assign prepare = scalars_arrive || (accept && iota) || iota_add || bus_valid;

  // The half of the SBUF word that holds the partitions' words.
  logic scalar_high_q;
  always_ff @(posedge clk_i) begin
    if (accept) scalar_high_q <= instr.imm0[2];
  end

  // ---- between lanes ----
  logic               bus_valid;
  logic [6:0]         bus_lane;
  logic [31:0]        bus;
  logic [Rows*32-1:0] turned;
  lane_bus #(.Rows(Rows)) u_bus (
    .clk_i,
    .rst_ni,
    .en_i     (en),
    .on_i     (ctrl_q.bus),
    .index_i  (ctrl_q.index),
    .lane_i   (part_0_q),
    .valid_2_i(valid[2]),
    .raw_i    (raw_0),
    .hold_o   (hold),
    .valid_o  (bus_valid),
    .lane_o   (bus_lane),
    .bus_o    (bus)
  );
  lane_transpose #(.Rows(Rows)) u_transpose (
    .clk_i,
    .load_i    (accept),
    .on_i      (ctrl_q.transpose),
    .part_0_i  (instr.part_0[LaneW-1:0]),
    .part_d_i  (instr.part_d[LaneW-1:0]),
    .n_i       (instr.parts),
    .en_i      (en),
    .valid_1_i (valid[1]),
    .second_1_i(second[1]),
    .valid_2_i (valid[2]),
    .second_2_i(second[2]),
    .raw_i     (raw_0),
    .turned_o  (turned)
  );

  // ---- lanes ----
  // Step 1's four stages lie behind step 0's, or in pairs beside them.
  logic [9:6] valid_1;
  assign valid_1 = ctrl_q.pairs ? valid[6:3] : valid[9:6];
  for (genvar l = 0; l < Rows; l++) begin : gen_lane
    vector_lane #(.Rows(Rows)) u_lane (
      .clk_i,
      .lane_i     (7'(l)),
      .en_i       (en),
      .valid_i    (lanes[l] ? valid[6:2] : 5'd0),
      .step_1_i   (lanes[l] ? valid_1 : 4'd0),
      .first_2_i  (first[2]),
      .first_4_i  (first[4]),
      .first_6_i  (first[6]),
      .first_9_i  (first[9]),
      .kind_2_i   (kind[2 +: 2]),
      .kind_6_i   (kind[10 +: 2]),
      .kind_9_i   (kind[16 +: 2]),
      .fma_op_3_i (fma_op_3),
      .fma_op_6_i (fma_op_6),
      .neg_6_i    (neg_6),
      .write_6_i  (write[6]),
      .write_9_i  (write[9]),
      .skid_i     (skid_q),
      .index_4_i  (index_4),
      .raw_0_i    (raw_0[32*l +: 32]),
      .raw_1_i    (raw_1[32*l +: 32]),
      .iota_i     (iota_2),
      .prepare_i  (prepare),
      .iota_load_i(accept && iota),
      .iota_add_i (iota_add),
      .part_step_i(part_step_q),
      .part_bit_i (part_bit),
      .scalar_we_i(scalars_arrive),
      .scalar_i   (scalar_high_q ? sbuf_0_data_i[64*l + 32 +: 32] : sbuf_0_data_i[64*l +: 32]),
      .bus_valid_i(bus_valid),
      .bus_lane_i (bus_lane),
      .bus_i      (bus),
      .turned_i   (turned[32*l +: 32]),
      .ctrl_i     (ctrl_q),
      .result_o   (results[32*l +: 32]),
      .random_i   (random[24*l +: 24]),
      .random_2_i (random_2[24*l +: 24]),
      .advance_o  (advance[l])
    );
  end
endmodule
