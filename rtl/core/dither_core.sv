// The whole core: front end, tensor, vector and scalar engine, SBUF, PSUM, two DMA rings, AXI4 and AXI4-Lite.
//
//   AXI4-Lite -> front_end -> engines <-> sbuf, psum          dma 0, dma 1, fetch <-> AXI4
//
// Wiring only. The AXI4 IDs are 0 and 1 for the DMA rings and 2 for instruction fetch.
// retire_*_o tell simulations which instruction's effects are in memory from the next cycle on.
// Test    tb/system/ (programs on this core in lockstep with sim/model/functional.hpp)
`default_nettype none
module dither_core #(
  parameter  int unsigned Rows      = 16,                             // 8, 16, 32 or 128
  parameter  int unsigned SbufBytes = dither_pkg::SbufBytesOf(Rows),  // of a partition
  parameter  int unsigned AxiBits   = dither_pkg::AxiBitsOf(Rows),
  parameter  bit          Pairs     = 1'b0,                           // 8-bit matmuls at twice the rate
  parameter  bit          Whiten    = 1'b1,                           // of the rounders' random words
  localparam int unsigned Queues    = dither_pkg::NumQueues,
  localparam int unsigned Beat      = AxiBits / 8
) (
  input  logic                 clk_i,
  input  logic                 rst_ni,
  // Registers: AXI4-Lite
  input  logic                 s_aw_valid_i,
  output logic                 s_aw_ready_o,
  input  logic [15:0]          s_aw_addr_i,
  input  logic                 s_w_valid_i,
  output logic                 s_w_ready_o,
  input  logic [31:0]          s_w_data_i,
  input  logic [3:0]           s_w_strb_i,
  output logic                 s_b_valid_o,
  input  logic                 s_b_ready_i,
  output logic [1:0]           s_b_resp_o,
  input  logic                 s_ar_valid_i,
  output logic                 s_ar_ready_o,
  input  logic [15:0]          s_ar_addr_i,
  output logic                 s_r_valid_o,
  input  logic                 s_r_ready_i,
  output logic [31:0]          s_r_data_o,
  output logic [1:0]           s_r_resp_o,
  output logic                 irq_o,
  // Memory: AXI4
  output logic                 ar_valid_o,
  input  logic                 ar_ready_i,
  output logic [1:0]           ar_id_o,
  output logic [43:0]          ar_addr_o,
  output logic [7:0]           ar_len_o,
  output logic [2:0]           ar_size_o,
  output logic [1:0]           ar_burst_o,
  input  logic                 r_valid_i,
  output logic                 r_ready_o,
  input  logic [1:0]           r_id_i,
  input  logic [AxiBits-1:0]   r_data_i,
  input  logic [1:0]           r_resp_i,
  input  logic                 r_last_i,
  output logic                 aw_valid_o,
  input  logic                 aw_ready_i,
  output logic [1:0]           aw_id_o,
  output logic [43:0]          aw_addr_o,
  output logic [7:0]           aw_len_o,
  output logic [2:0]           aw_size_o,
  output logic [1:0]           aw_burst_o,
  output logic                 w_valid_o,
  input  logic                 w_ready_i,
  output logic [AxiBits-1:0]   w_data_o,
  output logic [Beat-1:0]      w_strb_o,
  output logic                 w_last_o,
  input  logic                 b_valid_i,
  output logic                 b_ready_o,
  input  logic [1:0]           b_id_i,
  input  logic [1:0]           b_resp_i,
  // Retire trace
  output logic [Queues-1:0]    retire_valid_o,
  output logic [32*Queues-1:0] retire_index_o
);
  localparam int unsigned WordW  = $clog2(SbufBytes / 8);
  localparam int unsigned ChunkW = $clog2(SbufBytes / Beat);
  localparam int unsigned PartW  = $clog2(Rows);
  localparam int unsigned Tensor = 32'(dither_pkg::QueueTensor);
  localparam int unsigned Vector = 32'(dither_pkg::QueueVector);
  localparam int unsigned Scalar = 32'(dither_pkg::QueueScalar);
  localparam int unsigned Dma    = 32'(dither_pkg::QueueDma0);  // and the next

  // Sequencers and engines
  logic [Queues-1:0]     instr_valid, instr_ready, done, err;
  logic [Queues-1:0]     busy /*verilator public_flat_rd*/, stall /*verilator public_flat_rd*/;
  logic                  v_done, v_busy, s_done, s_busy;
  logic [512*Queues-1:0] instr;
  logic [8*Queues-1:0]   err_cause;
  logic [8*Queues-1:0]   work /*verilator public_flat_rd*/;  // simulations time the array's columns
  logic [48*Queues-1:0]  err_addr;
  logic [31:0]           watchdog;
  logic [3:0]            conflicts;
  logic [1:0]            psum_write;
  logic [5:0]            psum_bank;
  logic                  nonfinite_valid;
  logic [31:0]           nonfinite_count;
  logic                  rng_scalar, rng_we;
  logic [6:0]            rng_lane;
  logic [31:0]           rng_wdata, rng_vector_rdata, rng_scalar_rdata;
  // Reads of fetch
  logic                  f_ar_valid, f_ar_ready, f_r_valid, f_r_ready, f_r_last;
  logic [43:0]           f_ar_addr;
  logic [7:0]            f_ar_len;
  logic [1:0]            f_r_resp, unused_f_ar_id, unused_f_ar_burst;
  logic [2:0]            unused_f_ar_size;
  logic [AxiBits-1:0]    f_r_data;

  front_end #(.Rows(Rows), .AxiBits(AxiBits), .Pairs(Pairs), .Whiten(Whiten)) u_front_end (
    .clk_i, .rst_ni,
    .s_aw_valid_i, .s_aw_ready_o, .s_aw_addr_i, .s_w_valid_i, .s_w_ready_o, .s_w_data_i, .s_w_strb_i,
    .s_b_valid_o, .s_b_ready_i, .s_b_resp_o, .s_ar_valid_i, .s_ar_ready_o, .s_ar_addr_i,
    .s_r_valid_o, .s_r_ready_i, .s_r_data_o, .s_r_resp_o, .irq_o,
    .ar_valid_o(f_ar_valid), .ar_ready_i(f_ar_ready), .ar_id_o(unused_f_ar_id), .ar_addr_o(f_ar_addr),
    .ar_len_o(f_ar_len), .ar_size_o(unused_f_ar_size), .ar_burst_o(unused_f_ar_burst),
    .r_valid_i(f_r_valid), .r_ready_o(f_r_ready), .r_data_i(f_r_data), .r_resp_i(f_r_resp), .r_last_i(f_r_last),
    .instr_valid_o(instr_valid), .instr_ready_i(instr_ready), .instr_o(instr), .done_i(done), .err_i(err),
    .err_cause_i(err_cause), .err_addr_i(err_addr), .busy_i(busy), .stall_i(stall), .work_i(work),
    .conflicts_i(conflicts_q), .watchdog_o(watchdog),
    .psum_write_i(psum_write), .psum_bank_i(psum_bank),
    .nonfinite_valid_i(nonfinite_valid), .nonfinite_count_i(nonfinite_count),
    .rng_scalar_o(rng_scalar), .rng_lane_o(rng_lane), .rng_we_o(rng_we), .rng_wdata_o(rng_wdata),
    .rng_vector_rdata_i(rng_vector_rdata), .rng_scalar_rdata_i(rng_scalar_rdata),
    .retire_valid_o, .retire_index_o
  );

  // SBUF word ports
  logic te_x_req, te_x_gnt, te_w_req, te_w_gnt, ve_0_req, ve_0_gnt, ve_1_req, ve_1_gnt, se_0_req, se_0_gnt,
    se_1_req, se_1_gnt, ve_w_req, ve_w_gnt, se_w_req, se_w_gnt;
  logic [WordW-1:0] te_x_addr, te_w_addr, ve_0_addr, ve_1_addr, se_0_addr, se_1_addr, ve_w_addr, se_w_addr;
  logic [64*Rows-1:0] te_x_data, te_w_data, ve_0_data, ve_1_data, se_0_data, se_1_data, ve_w_data, se_w_data;
  logic [Rows-1:0] ve_w_lanes, se_w_lanes;
  logic [7:0] ve_w_bytes, se_w_bytes;
  // SBUF chunk ports: ring 0 in the low half
  logic [1:0]           d_req, d_we, d_gnt;
  logic [15:0]          d_part;
  logic                 unused_d_part;
  assign unused_d_part = ^d_part;  // fewer bits than MaxRows needs
  logic [2*ChunkW-1:0]  d_addr;
  logic [2*AxiBits-1:0] d_wdata, d_rdata;
  logic [2*Beat-1:0]    d_wbe;

  sbuf #(.Rows(Rows), .SbufBytes(SbufBytes), .ChunkBytes(Beat)) u_sbuf (
    .clk_i, .rst_ni,
    .te_x_req_i(te_x_req), .te_x_addr_i(te_x_addr), .te_x_gnt_o(te_x_gnt), .te_x_data_o(te_x_data),
    .te_w_req_i(te_w_req), .te_w_addr_i(te_w_addr), .te_w_gnt_o(te_w_gnt), .te_w_data_o(te_w_data),
    .ve_0_req_i(ve_0_req), .ve_0_addr_i(ve_0_addr), .ve_0_gnt_o(ve_0_gnt), .ve_0_data_o(ve_0_data),
    .ve_1_req_i(ve_1_req), .ve_1_addr_i(ve_1_addr), .ve_1_gnt_o(ve_1_gnt), .ve_1_data_o(ve_1_data),
    .se_0_req_i(se_0_req), .se_0_addr_i(se_0_addr), .se_0_gnt_o(se_0_gnt), .se_0_data_o(se_0_data),
    .se_1_req_i(se_1_req), .se_1_addr_i(se_1_addr), .se_1_gnt_o(se_1_gnt), .se_1_data_o(se_1_data),
    .ve_w_req_i(ve_w_req), .ve_w_addr_i(ve_w_addr), .ve_w_lanes_i(ve_w_lanes), .ve_w_bytes_i(ve_w_bytes),
    .ve_w_data_i(ve_w_data), .ve_w_gnt_o(ve_w_gnt),
    .se_w_req_i(se_w_req), .se_w_addr_i(se_w_addr), .se_w_lanes_i(se_w_lanes), .se_w_bytes_i(se_w_bytes),
    .se_w_data_i(se_w_data), .se_w_gnt_o(se_w_gnt),
    .d0_req_i(d_req[0]), .d0_we_i(d_we[0]), .d0_part_i(d_part[0 +: PartW]),
    .d0_addr_i(d_addr[0*ChunkW +: ChunkW]), .d0_wdata_i(d_wdata[0*AxiBits +: AxiBits]),
    .d0_wbe_i(d_wbe[0*Beat +: Beat]), .d0_gnt_o(d_gnt[0]), .d0_rdata_o(d_rdata[0*AxiBits +: AxiBits]),
    .d1_req_i(d_req[1]), .d1_we_i(d_we[1]), .d1_part_i(d_part[8 +: PartW]),
    .d1_addr_i(d_addr[1*ChunkW +: ChunkW]), .d1_wdata_i(d_wdata[1*AxiBits +: AxiBits]),
    .d1_wbe_i(d_wbe[1*Beat +: Beat]), .d1_gnt_o(d_gnt[1]), .d1_rdata_o(d_rdata[1*AxiBits +: AxiBits]),
    .conflicts_o(conflicts)
  );

  // PSUM ports
  logic p_te_r_req, p_te_w_req, p_ve_0_req, p_ve_1_req, p_se_0_req, p_ve_w_req, p_se_w_req;
  logic p_ve_0_gnt, p_ve_1_gnt, p_se_0_gnt, p_ve_w_gnt, p_se_w_gnt;
  logic [11:0] p_te_r_addr, p_te_w_addr, p_ve_0_addr, p_ve_1_addr, p_se_0_addr, p_ve_w_addr, p_se_w_addr;
  logic [32*Rows-1:0] p_te_r_data, p_te_w_data, p_ve_0_data, p_ve_1_data, p_se_0_data, p_ve_w_data, p_se_w_data;
  logic [Rows-1:0] p_te_w_lanes, p_ve_w_lanes, p_se_w_lanes;
  psum #(.Rows(Rows)) u_psum (
    .clk_i, .rst_ni,
    .te_r_req_i(p_te_r_req), .te_r_addr_i(p_te_r_addr), .te_r_data_o(p_te_r_data),
    .te_w_req_i(p_te_w_req), .te_w_addr_i(p_te_w_addr), .te_w_lanes_i(p_te_w_lanes), .te_w_data_i(p_te_w_data),
    .ve_0_req_i(p_ve_0_req), .ve_0_addr_i(p_ve_0_addr), .ve_0_gnt_o(p_ve_0_gnt), .ve_0_data_o(p_ve_0_data),
    .ve_1_req_i(p_ve_1_req), .ve_1_addr_i(p_ve_1_addr), .ve_1_gnt_o(p_ve_1_gnt), .ve_1_data_o(p_ve_1_data),
    .se_0_req_i(p_se_0_req), .se_0_addr_i(p_se_0_addr), .se_0_gnt_o(p_se_0_gnt), .se_0_data_o(p_se_0_data),
    .ve_w_req_i(p_ve_w_req), .ve_w_addr_i(p_ve_w_addr), .ve_w_lanes_i(p_ve_w_lanes), .ve_w_data_i(p_ve_w_data),
    .ve_w_gnt_o(p_ve_w_gnt),
    .se_w_req_i(p_se_w_req), .se_w_addr_i(p_se_w_addr), .se_w_lanes_i(p_se_w_lanes), .se_w_data_i(p_se_w_data),
    .se_w_gnt_o(p_se_w_gnt)
  );

  assign psum_write = {p_se_w_req && p_se_w_gnt, p_ve_w_req && p_ve_w_gnt};
  assign psum_bank  = {p_se_w_addr[11:9], p_ve_w_addr[11:9]};

  tensor_engine #(.Rows(Rows), .SbufBytes(SbufBytes), .Pairs(Pairs)) u_tensor (
    .clk_i, .rst_ni,
    .instr_valid_i(instr_valid[Tensor]), .instr_i(instr[512*Tensor +: 512]), .instr_ready_o(instr_ready[Tensor]),
    .done_o(done[Tensor]), .busy_o(busy[Tensor]), .stall_o(stall[Tensor]), .work_o(work[8*Tensor +: 8]),
    .nonfinite_valid_o(nonfinite_valid), .nonfinite_count_o(nonfinite_count),
    .te_x_req_o(te_x_req), .te_x_addr_o(te_x_addr), .te_x_gnt_i(te_x_gnt), .te_x_data_i(te_x_data),
    .te_w_req_o(te_w_req), .te_w_addr_o(te_w_addr), .te_w_gnt_i(te_w_gnt), .te_w_data_i(te_w_data),
    .te_r_req_o(p_te_r_req), .te_r_addr_o(p_te_r_addr), .te_r_data_i(p_te_r_data),
    .te_w_psum_req_o(p_te_w_req), .te_w_psum_addr_o(p_te_w_addr), .te_w_psum_lanes_o(p_te_w_lanes),
    .te_w_psum_data_o(p_te_w_data)
  );

  vector_engine #(.Rows(Rows), .SbufBytes(SbufBytes), .Whiten(Whiten)) u_vector (
    .clk_i, .rst_ni,
    .instr_valid_i(instr_valid[Vector]), .instr_i(instr[512*Vector +: 512]), .instr_ready_o(instr_ready[Vector]),
    .done_o(v_done), .busy_o(v_busy), .stall_o(stall[Vector]), .work_o(work[8*Vector +: 8]),
    .rng_we_i(rng_we && !rng_scalar), .rng_lane_i({1'b0, rng_lane}), .rng_wdata_i(rng_wdata),
    .rng_rdata_o(rng_vector_rdata),
    .sbuf_0_req_o(ve_0_req), .sbuf_0_addr_o(ve_0_addr), .sbuf_0_gnt_i(ve_0_gnt), .sbuf_0_data_i(ve_0_data),
    .sbuf_1_req_o(ve_1_req), .sbuf_1_addr_o(ve_1_addr), .sbuf_1_gnt_i(ve_1_gnt), .sbuf_1_data_i(ve_1_data),
    .sbuf_w_req_o(ve_w_req), .sbuf_w_addr_o(ve_w_addr), .sbuf_w_lanes_o(ve_w_lanes), .sbuf_w_bytes_o(ve_w_bytes),
    .sbuf_w_data_o(ve_w_data), .sbuf_w_gnt_i(ve_w_gnt),
    .psum_0_req_o(p_ve_0_req), .psum_0_addr_o(p_ve_0_addr), .psum_0_gnt_i(p_ve_0_gnt), .psum_0_data_i(p_ve_0_data),
    .psum_1_req_o(p_ve_1_req), .psum_1_addr_o(p_ve_1_addr), .psum_1_gnt_i(p_ve_1_gnt), .psum_1_data_i(p_ve_1_data),
    .psum_w_req_o(p_ve_w_req), .psum_w_addr_o(p_ve_w_addr), .psum_w_lanes_o(p_ve_w_lanes),
    .psum_w_data_o(p_ve_w_data), .psum_w_gnt_i(p_ve_w_gnt)
  );

  scalar_engine #(.Rows(Rows), .SbufBytes(SbufBytes), .Whiten(Whiten)) u_scalar (
    .clk_i, .rst_ni,
    .instr_valid_i(instr_valid[Scalar]), .instr_i(instr[512*Scalar +: 512]), .instr_ready_o(instr_ready[Scalar]),
    .done_o(s_done), .err_o(err[Scalar]), .err_cause_o(err_cause[8*Scalar +: 8]),
    .err_addr_o(err_addr[48*Scalar +: 48]),
    .busy_o(s_busy), .stall_o(stall[Scalar]), .work_o(work[8*Scalar +: 8]),
    .rng_we_i(rng_we && rng_scalar), .rng_lane_i({1'b0, rng_lane}), .rng_wdata_i(rng_wdata),
    .rng_rdata_o(rng_scalar_rdata),
    .sbuf_0_req_o(se_0_req), .sbuf_0_addr_o(se_0_addr), .sbuf_0_gnt_i(se_0_gnt), .sbuf_0_data_i(se_0_data),
    .sbuf_1_req_o(se_1_req), .sbuf_1_addr_o(se_1_addr), .sbuf_1_gnt_i(se_1_gnt), .sbuf_1_data_i(se_1_data),
    .sbuf_w_req_o(se_w_req), .sbuf_w_addr_o(se_w_addr), .sbuf_w_lanes_o(se_w_lanes), .sbuf_w_bytes_o(se_w_bytes),
    .sbuf_w_data_o(se_w_data), .sbuf_w_gnt_i(se_w_gnt),
    .psum_0_req_o(p_se_0_req), .psum_0_addr_o(p_se_0_addr), .psum_0_gnt_i(p_se_0_gnt), .psum_0_data_i(p_se_0_data),
    .psum_w_req_o(p_se_w_req), .psum_w_addr_o(p_se_w_addr), .psum_w_lanes_o(p_se_w_lanes),
    .psum_w_data_o(p_se_w_data), .psum_w_gnt_i(p_se_w_gnt)
  );

  // Vector and scalar done come from a memory grant late in the cycle: registered before they retire an instruction.
  // The tensor engine's comes from a register, and its next instruction may write in the very next cycle.
  logic       v_done_q, s_done_q;
  logic [3:0] conflicts_q;
  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      v_done_q    <= 1'b0;
      s_done_q    <= 1'b0;
      conflicts_q <= '0;
    end else begin
      v_done_q    <= v_done;
      s_done_q    <= s_done;
      conflicts_q <= conflicts;
    end
  end
  assign done[Vector] = v_done_q;
  assign busy[Vector] = v_busy || v_done_q;
  assign done[Scalar] = s_done_q;
  assign busy[Scalar] = s_busy || s_done_q;

  // Scalar engine and DMA meet errors that the checks before execution can't see.
  assign err[Scalar-1:0] = '0;
  assign err_cause[8*Scalar-1:0] = '0;
  assign err_addr[48*Scalar-1:0] = '0;

  // DMA rings and AXI4
  logic [1:0]           m_aw_valid, m_aw_ready, m_w_valid, m_w_ready, m_w_last, m_b_valid, m_b_ready, m_b_resp;
  logic [2:0]           m_ar_valid, m_ar_ready, m_r_valid, m_r_ready;
  logic [3*44-1:0]      m_ar_addr;
  logic [3*8-1:0]       m_ar_len;
  logic [2*44-1:0]      m_aw_addr;
  logic [2*8-1:0]       m_aw_len;
  logic [AxiBits-1:0]   m_r_data;
  logic [1:0]           m_r_resp;
  logic                 m_r_last;
  logic [2*AxiBits-1:0] m_w_data;
  logic [2*Beat-1:0]    m_w_strb;
  for (genvar d = 0; d < 2; d++) begin : gen_dma
    dma #(.Rows(Rows), .SbufBytes(SbufBytes), .AxiBits(AxiBits)) u_dma (
      .clk_i, .rst_ni,
      .instr_valid_i(instr_valid[Dma+d]), .instr_ready_o(instr_ready[Dma+d]), .instr_i(instr[512*(Dma+d) +: 512]),
      .done_o(done[Dma+d]), .err_o(err[Dma+d]), .err_cause_o(err_cause[8*(Dma+d) +: 8]),
      .err_addr_o(err_addr[48*(Dma+d) +: 48]), .busy_o(busy[Dma+d]), .stall_o(stall[Dma+d]),
      .work_o(work[8*(Dma+d) +: 8]), .watchdog_i(watchdog),
      .sbuf_req_o(d_req[d]), .sbuf_we_o(d_we[d]), .sbuf_part_o(d_part[8*d +: 8]),
      .sbuf_addr_o(d_addr[ChunkW*d +: ChunkW]), .sbuf_wdata_o(d_wdata[AxiBits*d +: AxiBits]),
      .sbuf_wbe_o(d_wbe[Beat*d +: Beat]), .sbuf_gnt_i(d_gnt[d]), .sbuf_rdata_i(d_rdata[AxiBits*d +: AxiBits]),
      .ar_valid_o(m_ar_valid[d]), .ar_ready_i(m_ar_ready[d]), .ar_addr_o(m_ar_addr[44*d +: 44]),
      .ar_len_o(m_ar_len[8*d +: 8]),
      .r_valid_i(m_r_valid[d]), .r_ready_o(m_r_ready[d]), .r_data_i(m_r_data), .r_resp_i(m_r_resp),
      .r_last_i(m_r_last),
      .aw_valid_o(m_aw_valid[d]), .aw_ready_i(m_aw_ready[d]), .aw_addr_o(m_aw_addr[44*d +: 44]),
      .aw_len_o(m_aw_len[8*d +: 8]),
      .w_valid_o(m_w_valid[d]), .w_ready_i(m_w_ready[d]), .w_data_o(m_w_data[AxiBits*d +: AxiBits]),
      .w_strb_o(m_w_strb[Beat*d +: Beat]), .w_last_o(m_w_last[d]),
      .b_valid_i(m_b_valid[d]), .b_ready_o(m_b_ready[d]), .b_resp_i(m_b_resp)
    );
  end
  assign m_ar_valid[2]         = f_ar_valid;
  assign f_ar_ready            = m_ar_ready[2];
  assign m_ar_addr[44*2 +: 44] = f_ar_addr;
  assign m_ar_len[8*2 +: 8]    = f_ar_len;
  assign f_r_valid             = m_r_valid[2];
  assign m_r_ready[2]          = f_r_ready;
  assign f_r_data              = m_r_data;
  assign f_r_resp              = m_r_resp;
  assign f_r_last              = m_r_last;

  axi_read_mux #(.Masters(3), .AxiBits(AxiBits)) u_read_mux (
    .clk_i, .rst_ni,
    .m_ar_valid_i(m_ar_valid), .m_ar_ready_o(m_ar_ready), .m_ar_addr_i(m_ar_addr), .m_ar_len_i(m_ar_len),
    .m_r_valid_o(m_r_valid), .m_r_ready_i(m_r_ready), .m_r_data_o(m_r_data), .m_r_resp_o(m_r_resp),
    .m_r_last_o(m_r_last),
    .ar_valid_o, .ar_ready_i, .ar_id_o, .ar_addr_o, .ar_len_o, .ar_size_o, .ar_burst_o,
    .r_valid_i, .r_ready_o, .r_id_i, .r_data_i, .r_resp_i, .r_last_i
  );
  axi_write_mux #(.AxiBits(AxiBits)) u_write_mux (
    .clk_i, .rst_ni,
    .m_aw_valid_i(m_aw_valid), .m_aw_ready_o(m_aw_ready), .m_aw_addr_i(m_aw_addr), .m_aw_len_i(m_aw_len),
    .m_w_valid_i(m_w_valid), .m_w_ready_o(m_w_ready), .m_w_data_i(m_w_data), .m_w_strb_i(m_w_strb),
    .m_w_last_i(m_w_last), .m_b_valid_o(m_b_valid), .m_b_ready_i(m_b_ready), .m_b_resp_o(m_b_resp),
    .aw_valid_o, .aw_ready_i, .aw_id_o, .aw_addr_o, .aw_len_o, .aw_size_o, .aw_burst_o,
    .w_valid_o, .w_ready_i, .w_data_o, .w_strb_o, .w_last_o, .b_valid_i, .b_ready_o, .b_id_i, .b_resp_i
  );
endmodule
