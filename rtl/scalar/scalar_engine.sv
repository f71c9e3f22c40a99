// Scalar engine: dst = func(src0 * scale + bias), one element of every lane per cycle.
//
//   instr -> stream_unit -> raw elements -> scalar_lane x Rows -> stream_unit -> SBUF, PSUM
//        `-> func_loader (load) -> tables in the lanes, headers here
//
// Timing  n elements take n + 9 cycles when every request is granted at once, n + 23 with a table
//         or a sum; the next instruction starts right behind. An act whose function is not loaded, and
//         a load of a damaged set, end with err_o two cycles later and change nothing.
//         gnt to instr_ready_o, done_o, stall_o, work_o combinationally.
// Test    tb/scalar/scalar_engine_test.cpp
`default_nettype none
`include "chk.svh"
module scalar_engine #(
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
  output logic               err_o,        // instead of done_o, from a register
  output logic [7:0]         err_cause_o,
  output logic [47:0]        err_addr_o,
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
  // Source 0 and destination in PSUM.
  output logic               psum_0_req_o,
  output logic [11:0]        psum_0_addr_o,
  input  logic               psum_0_gnt_i,
  input  logic [Rows*32-1:0] psum_0_data_i,
  output logic               psum_w_req_o,
  output logic [11:0]        psum_w_addr_o,
  output logic [Rows-1:0]    psum_w_lanes_o,
  output logic [Rows*32-1:0] psum_w_data_o,
  input  logic               psum_w_gnt_i
);
  localparam int unsigned Short  = 8;    // stages of what needs neither table nor sum
  localparam int unsigned Stages = 22;
  localparam int unsigned PartW  = $clog2(Rows);

  // ---- decode, held during the instruction ----
  dither_pkg::instr_t instr;
  logic               accept, unused_instr;
  logic               read_1_q, sat_q, table_q, relu_q, sum_q, deep_q, odd_q;
  logic [1:0]         round_q;
  logic [3:0]         dtype_0_q, dtype_1_q, dtype_d_q;
  logic [31:0]        scale_q, bias_q;
  logic               table_in, sum_in, load_in;
  assign instr        = instr_i;
  assign unused_instr = ^instr;  // stream_unit takes the addresses
  assign table_in     = instr.func > dither_pkg::ActFuncRelu;
  assign sum_in       = instr.sum != dither_pkg::ActSumNone;
  assign load_in      = instr.opcode == dither_pkg::OpLoad;

  always_ff @(posedge clk_i) begin
    if (accept) begin
      read_1_q  <= !instr.src1_imm;
      table_q   <= table_in;
      relu_q    <= instr.func == dither_pkg::ActFuncRelu;
      sum_q     <= sum_in;
      deep_q    <= table_in || sum_in;
      // What is narrowed to nearest or toward zero must not have been rounded to nearest before.
      odd_q     <= !sum_in && instr.round != dither_pkg::RoundSr
                && dither_pkg::DtypeBytes(instr.dtype_d) != 3'd4;
      dtype_0_q <= instr.dtype_0;
      dtype_1_q <= instr.dtype_1;
      dtype_d_q <= instr.dtype_d;
      round_q   <= instr.round;
      sat_q     <= instr.sat;
      scale_q   <= instr.imm0;
      bias_q    <= {instr.str_1[1], instr.str_1[0]};  // imm1 lies over the unused strides
    end
  end

  // ---- what an instruction starts: the stream, the loader, or an error ----
  logic                             stream_ready, stream_done, stream_busy, loader_busy, loader_done, bad;
  logic                             free, take, missing, refuse_q, err_q;
  logic [dither_pkg::FuncCodes-1:0] loaded;
  logic [7:0]                       cause_q;
  logic [23:0]                      addr_q;
  assign free          = !loader_busy && !refuse_q && !err_q;
  assign missing       = !load_in && table_in && !loaded[instr.func[4:0]];
  assign instr_ready_o = stream_ready && free;
  assign take          = instr_valid_i && instr_ready_o;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      refuse_q <= 1'b0;
      err_q    <= 1'b0;
    end else begin
      refuse_q <= take && missing;
      err_q    <= refuse_q || bad;
    end
  end
  always_ff @(posedge clk_i) begin
    if (take) begin
      cause_q <= load_in ? dither_pkg::ErrBadTable : dither_pkg::ErrFuncNotLoaded;
      addr_q  <= load_in ? instr.off_0 : {16'b0, instr.func};
    end
  end
  assign err_o       = err_q;
  assign err_cause_o = cause_q;
  assign err_addr_o  = {24'b0, addr_q};
  assign done_o      = stream_done || loader_done;
  assign busy_o      = stream_busy || loader_busy || refuse_q || err_q;

  // ---- tables ----
  logic                              loader_req, stream_req;
  logic [AddrW-4:0]                  loader_addr, stream_addr;
  logic                              header_we, entries_we, segment_we, header_arrive_q;
  logic [255:0]                      header, header_read;
  logic [51:0]                       entries;
  logic [127:0]                      segment;
  logic [func_pkg::EntryAddrW-3:0]   entries_addr;
  logic [func_pkg::SegmentAddrW-1:0] segment_addr;
  func_pkg::header_t                 header_q;
  func_loader #(.Rows(Rows), .AddrW(AddrW)) u_loader (
    .clk_i,
    .rst_ni,
    .start_i       (take && load_in),
    .offset_i      (instr.off_0[AddrW-1:3]),
    .part_i        (instr.part_0[PartW-1:0]),
    .parts_i       (instr.parts),
    .size_i        (instr.size[0][15:1]),
    .busy_o        (loader_busy),
    .done_o        (loader_done),
    .bad_o         (bad),
    .sbuf_req_o    (loader_req),
    .sbuf_addr_o   (loader_addr),
    .sbuf_gnt_i    (sbuf_0_gnt_i),
    .sbuf_data_i   (sbuf_0_data_i),
    .loaded_o      (loaded),
    .header_we_o   (header_we),
    .header_o      (header),
    .entries_we_o  (entries_we),
    .entries_addr_o(entries_addr),
    .entries_o     (entries),
    .segment_we_o  (segment_we),
    .segment_addr_o(segment_addr),
    .segment_o     (segment)
  );
  assign sbuf_0_req_o  = stream_req || loader_req;
  assign sbuf_0_addr_o = loader_busy ? loader_addr : stream_addr;

  sram_1r1w #(.Depth(dither_pkg::FuncCodes), .Width(256)) u_headers (
    .clk_i,
    .re_i   (accept && table_in),
    .raddr_i(instr.func[4:0]),
    .rdata_o(header_read),
    .we_i   (header_we),
    .waddr_i(header[4:0]),
    .lanes_i(1'b1),
    .wdata_i(header)
  );
  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) header_arrive_q <= 1'b0;
    else         header_arrive_q <= accept && table_in;
  end
  always_ff @(posedge clk_i) begin
    if (header_arrive_q) header_q <= header_read;
  end

  // ---- operands ----
  logic                en, skid_q, unused_flags, unused_psum_1_req, unused_scalars;
  logic [2*Stages-1:0] unused_kind;
  logic [Stages:1]     unused_second;
  logic [Short:1]      unused_pair;
  logic [23:0]         unused_iota;
  logic [11:0]         unused_psum_1_addr;
  logic [Stages:1]     valid, first, write;
  logic [Rows-1:0]     lanes;
  logic [Rows*32-1:0]  raw_0, raw_1, results;
  assign unused_flags = ^{valid[Stages], valid[1], first[Stages:20], first[18:1], write[Stages], write[20:8],
                          write[6:1]};

  stream_unit #(.Rows(Rows), .SbufBytes(SbufBytes), .Stages(Stages), .Short(Short)) u_stream (
    .clk_i,
    .rst_ni,
    .instr_valid_i(instr_valid_i && free && !load_in && !missing),
    .instr_i,
    .instr_ready_o(stream_ready),
    .done_o       (stream_done),
    .busy_o       (stream_busy),
    .stall_o      (stream_stall),
    .work_o,
    .accept_o (accept),
    .read_0_i (1'b1),
    .read_1_i (!instr.src1_imm),
    .group_i  (sum_in),
    .reduce_i (instr.sum == dither_pkg::ActSumTotal),
    .stats_i  (1'b0),
    .deep_i   (table_in || sum_in),
    .scalars_i(1'b0),
    .twice_i  (1'b0),
    .iota_i   (1'b0),
    .wait_i   (4'd0),
    .pairs_i  (1'b0),
    .hold_i   (1'b0),
    .en_o     (en),
    .valid_o  (valid),
    .first_o  (first),
    .write_o  (write),
    .kind_o   (unused_kind),
    .second_o (unused_second),
    .pair_o   (unused_pair),
    .scalars_o(unused_scalars),
    .iota_o   (unused_iota),
    .lanes_o  (lanes),
    .raw_0_o  (raw_0),
    .raw_1_o  (raw_1),
    .result_i (results),
    .sbuf_0_req_o (stream_req),
    .sbuf_0_addr_o(stream_addr),
    .sbuf_0_gnt_i (sbuf_0_gnt_i && !loader_busy),
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
    .psum_1_req_o (unused_psum_1_req),
    .psum_1_addr_o(unused_psum_1_addr),
    .psum_1_gnt_i (1'b0),
    .psum_1_data_i({Rows*32{1'b0}}),
    .psum_w_req_o,
    .psum_w_addr_o,
    .psum_w_lanes_o,
    .psum_w_data_o,
    .psum_w_gnt_i
  );

  logic stream_stall;
  assign stall_o = stream_stall || (loader_req && !sbuf_0_gnt_i);

  // The element in the last stage but one was there in the cycle before.
  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) skid_q <= 1'b0;
    else         skid_q <= !en;
  end

  // ---- rounder states ----
  // Vector and scalar lanes share one set of disjoint random sequences: vector first.
  logic [Rows-1:0]    advance;
  logic [Rows*24-1:0] random, unused_random_2;
  lane_rng #(.Rows(Rows), .FirstLane(Rows), .Lanes(2 * Rows), .Whiten(Whiten)) u_rng (
    .clk_i,
    .rst_ni,
    .advance_i(advance),
    .two_i    (1'b0),
    .word_o   (random),
    .word_2_o (unused_random_2),
    .we_i     (rng_we_i),
    .lane_i   (rng_lane_i),
    .wdata_i  (rng_wdata_i),
    .rdata_o  (rng_rdata_o)
  );

  // ---- lanes ----
  for (genvar l = 0; l < Rows; l++) begin : gen_lane
    scalar_lane u_lane (
      .clk_i,
      .en_i       (en),
      .valid_i    (lanes[l] ? valid[Stages-1:2] : {Stages-2{1'b0}}),
      .first_19_i (first[19]),
      .write_7_i  (write[7]),
      .write_21_i (write[21]),
      .skid_i     (skid_q),
      .raw_0_i    (raw_0[32*l +: 32]),
      .raw_1_i    (raw_1[32*l +: 32]),
      .dtype_0_i  (dtype_0_q),
      .dtype_1_i  (dtype_1_q),
      .dtype_d_i  (dtype_d_q),
      .round_i    (round_q),
      .sat_i      (sat_q),
      .header_i   (header_q),
      .table_i    (table_q),
      .relu_i     (relu_q),
      .deep_i     (deep_q),
      .sum_i      (sum_q),
      .odd_i      (odd_q),
      .scale_i    (scale_q),
      .read_1_i   (read_1_q),
      .bias_i     (bias_q),
      .result_o   (results[32*l +: 32]),
      .random_i   (random[24*l +: 24]),
      .advance_o  (advance[l]),
      .entries_we_i  (entries_we),
      .entries_addr_i(entries_addr),
      .entries_i     (entries),
      .segment_we_i  (segment_we),
      .segment_addr_i(segment_addr),
      .segment_i     (segment)
    );
  end

  // Source 1 lies in SBUF.
  `CHK(BiasInSbuf_A, !unused_psum_1_req)
  // Stream and loader never run at once, and neither beside an error.
  `CHK(OneAtATime_A, 2'(stream_busy) + 2'(loader_busy) + 2'(refuse_q || err_q) <= 2'd1)
endmodule
