// Vector engine: elementwise functions and reductions, one element of every lane per cycle.
//
//   instr -> stream_unit -> raw elements -> vector_lane x Rows -> stream_unit -> SBUF, PSUM
//
// Timing  n elements take n + 8 cycles when every request is granted at once; the next instruction
//         starts right behind. gnt to instr_ready_o, done_o, stall_o, work_o combinationally.
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
  localparam int unsigned Stages = 7;

  // ---- decode, held during the instruction ----
  dither_pkg::instr_t instr;
  logic               accept, unused_instr;
  logic               read_1, reduce, fma, minmax, min;
  logic [1:0]         fma_op, acc_op;
  logic               read_1_q, reduce_q, fma_q, minmax_q, min_q, sat_q;
  logic [1:0]         fma_op_q, acc_op_q, round_q;
  logic [3:0]         dtype_0_q, dtype_1_q, dtype_d_q;
  logic [31:0]        imm_q;
  assign instr        = instr_i;
  assign unused_instr = ^instr;  // stream_unit takes the addresses

  vector_decode u_decode (
    .opcode_i  (instr.opcode),
    .func_i    (instr.func),
    .src1_imm_i(instr.src1_imm),
    .read_1_o  (read_1),
    .reduce_o  (reduce),
    .fma_o     (fma),
    .fma_op_o  (fma_op),
    .minmax_o  (minmax),
    .min_o     (min),
    .acc_op_o  (acc_op)
  );
  always_ff @(posedge clk_i) begin
    if (accept) begin
      read_1_q  <= read_1;
      reduce_q  <= reduce;
      fma_q     <= fma;
      fma_op_q  <= fma_op;
      minmax_q  <= minmax;
      min_q     <= min;
      acc_op_q  <= acc_op;
      dtype_0_q <= instr.dtype_0;
      dtype_1_q <= instr.dtype_1;
      dtype_d_q <= instr.dtype_d;
      round_q   <= instr.round;
      sat_q     <= instr.sat;
      imm_q     <= instr.imm0;
    end
  end

  // ---- operands ----
  logic               en, skid_q, unused_flags;
  logic [Stages:1]    valid, first, write;
  logic [Rows-1:0]    lanes;
  logic [Rows*32-1:0] raw_0, raw_1, results;
  assign unused_flags = ^{valid[Stages], valid[1], first[Stages:5], first[3:1], write[Stages],
                          write[5:1]};

  // Two sources in step often want the same bank: source 1 gets out of the way by reading ahead.
  stream_unit #(
    .Rows(Rows), .SbufBytes(SbufBytes), .Stages(Stages), .Prefetch(1'b1)
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
    .accept_o(accept),
    .read_1_i(read_1),
    .group_i (reduce),
    .reduce_i(reduce),
    .deep_i  (1'b1),
    .en_o    (en),
    .valid_o (valid),
    .first_o (first),
    .write_o (write),
    .lanes_o (lanes),
    .raw_0_o (raw_0),
    .raw_1_o (raw_1),
    .result_i(results),
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
  logic [Rows*24-1:0] random;
  lane_rng #(.Rows(Rows), .FirstLane(0), .Lanes(2 * Rows), .Whiten(Whiten)) u_rng (
    .clk_i,
    .rst_ni,
    .advance_i(advance),
    .word_o   (random),
    .we_i     (rng_we_i),
    .lane_i   (rng_lane_i),
    .wdata_i  (rng_wdata_i),
    .rdata_o  (rng_rdata_o)
  );

  // ---- lanes ----
  for (genvar l = 0; l < Rows; l++) begin : gen_lane
    vector_lane u_lane (
      .clk_i,
      .en_i       (en),
      .valid_i    (lanes[l] ? valid[6:2] : 5'd0),
      .first_4_i  (first[4]),
      .write_6_i  (write[6]),
      .skid_i     (skid_q),
      .raw_0_i    (raw_0[32*l +: 32]),
      .raw_1_i    (raw_1[32*l +: 32]),
      .dtype_0_i  (dtype_0_q),
      .dtype_1_i  (dtype_1_q),
      .dtype_d_i  (dtype_d_q),
      .round_i    (round_q),
      .sat_i      (sat_q),
      .read_1_i   (read_1_q),
      .imm_i      (imm_q),
      .reduce_i   (reduce_q),
      .fma_i      (fma_q),
      .fma_op_i   (fma_op_q),
      .minmax_i   (minmax_q),
      .min_i      (min_q),
      .acc_op_i   (acc_op_q),
      .result_o   (results[32*l +: 32]),
      .random_i   (random[24*l +: 24]),
      .advance_o  (advance[l])
    );
  end
endmodule
