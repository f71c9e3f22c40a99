// Test bench of the DMA: two channels, both AXI muxes (a third read master is driven by the test)
// and an SBUF whose grants the test decides. Ports of channel c lie at [Width*c +: Width].
`default_nettype none
module dma_tb #(
  parameter  int unsigned Rows      = 8,
  parameter  int unsigned SbufBytes = 8192,
  parameter  int unsigned AxiBits   = 128,
  parameter  int unsigned MaxBurst  = 16,
  localparam int unsigned Beat      = AxiBits / 8,
  localparam int unsigned ChunkW    = $clog2(SbufBytes / Beat),
  localparam int unsigned AtW       = $clog2(Rows * SbufBytes / Beat)
) (
  input  logic               clk_i,
  input  logic               rst_ni,
  input  logic [1:0]         instr_valid_i,
  output logic [1:0]         instr_ready_o,
  input  logic [511:0]       instr0_i,
  input  logic [511:0]       instr1_i,
  output logic [1:0]         done_o,
  output logic [1:0]         err_o,
  output logic [15:0]        err_cause_o,
  output logic [47:0]        err_addr0_o,
  output logic [47:0]        err_addr1_o,
  output logic [1:0]         busy_o,
  output logic [1:0]         stall_o,
  output logic [15:0]        work_o,
  input  logic [31:0]        watchdog_i,
  input  logic [1:0]         allow_i,      // SBUF may grant channel c
  output logic [1:0]         sbuf_req_o,
  input  logic               fetch_valid_i,
  output logic               fetch_ready_o,
  input  logic [43:0]        fetch_addr_i,
  input  logic [7:0]         fetch_len_i,
  output logic               fetch_r_valid_o,
  input  logic               fetch_r_ready_i,
  output logic               ar_valid_o,
  input  logic               ar_ready_i,
  output logic [1:0]         ar_id_o,
  output logic [43:0]        ar_addr_o,
  output logic [7:0]         ar_len_o,
  output logic [2:0]         ar_size_o,
  output logic [1:0]         ar_burst_o,
  input  logic               r_valid_i,
  output logic               r_ready_o,
  input  logic [1:0]         r_id_i,
  input  logic [AxiBits-1:0] r_data_i,
  input  logic [1:0]         r_resp_i,
  input  logic               r_last_i,
  output logic               aw_valid_o,
  input  logic               aw_ready_i,
  output logic [1:0]         aw_id_o,
  output logic [43:0]        aw_addr_o,
  output logic [7:0]         aw_len_o,
  output logic [2:0]         aw_size_o,
  output logic [1:0]         aw_burst_o,
  output logic               w_valid_o,
  input  logic               w_ready_i,
  output logic [AxiBits-1:0] w_data_o,
  output logic [Beat-1:0]    w_strb_o,
  output logic               w_last_o,
  input  logic               b_valid_i,
  output logic               b_ready_o,
  input  logic [1:0]         b_id_i,
  input  logic [1:0]         b_resp_i
);
  // Partition p's chunk c lies at p*(SbufBytes/Beat) + c.
  logic [AxiBits-1:0] sbuf [Rows*SbufBytes/Beat] /*verilator public_flat_rw*/;
  logic [AxiBits-1:0] rdata_q [2];
  logic [1:0]         got_q;

  logic [1:0]           we, gnt, ar_valid, ar_ready, r_valid, r_ready, aw_valid, aw_ready;
  logic [1:0]           w_valid, w_ready, w_last, b_valid, b_ready, b_resp, r_resp;
  logic [15:0]          part, ar_len, aw_len;
  logic [2*ChunkW-1:0]  addr;
  logic [2*AxiBits-1:0] wdata, rdata, w_data;
  logic [2*Beat-1:0]    wbe, w_strb;
  logic [87:0]          ar_addr, aw_addr;
  logic [AxiBits-1:0]   r_data;
  logic                 r_last;
  logic [1023:0]        instr;
  logic [95:0]          err_addr;

  assign instr = {instr1_i, instr0_i};
  assign {err_addr1_o, err_addr0_o} = err_addr;
  assign gnt   = sbuf_req_o & allow_i;
  // What was not read is no data.
  assign rdata = {got_q[1] ? rdata_q[1] : {Beat{8'hbd}}, got_q[0] ? rdata_q[0] : {Beat{8'hbd}}};

  for (genvar c = 0; c < 2; c++) begin : gen_channel
    logic [AtW-1:0] at;
    assign at = AtW'(part[8*c +: 8]) * AtW'(SbufBytes / Beat) + AtW'(addr[ChunkW*c +: ChunkW]);
    always_ff @(posedge clk_i) begin
      got_q[c] <= gnt[c] && !we[c];
      if (gnt[c] && !we[c]) rdata_q[c] <= sbuf[at];
      if (gnt[c] && we[c]) begin
        for (int unsigned b = 0; b < Beat; b++) begin
          if (wbe[Beat*c + b]) sbuf[at][8*b +: 8] <= wdata[AxiBits*c + 8*b +: 8];
        end
      end
    end
    dma #(.Rows(Rows), .SbufBytes(SbufBytes), .AxiBits(AxiBits), .MaxBurst(MaxBurst)) u_dma (
      .clk_i, .rst_ni,
      .instr_valid_i(instr_valid_i[c]), .instr_ready_o(instr_ready_o[c]),
      .instr_i(instr[512*c +: 512]),
      .done_o(done_o[c]), .err_o(err_o[c]), .err_cause_o(err_cause_o[8*c +: 8]),
      .err_addr_o(err_addr[48*c +: 48]), .busy_o(busy_o[c]), .stall_o(stall_o[c]),
      .work_o(work_o[8*c +: 8]), .watchdog_i,
      .sbuf_req_o(sbuf_req_o[c]), .sbuf_we_o(we[c]), .sbuf_part_o(part[8*c +: 8]),
      .sbuf_addr_o(addr[ChunkW*c +: ChunkW]), .sbuf_wdata_o(wdata[AxiBits*c +: AxiBits]),
      .sbuf_wbe_o(wbe[Beat*c +: Beat]), .sbuf_gnt_i(gnt[c]),
      .sbuf_rdata_i(rdata[AxiBits*c +: AxiBits]),
      .ar_valid_o(ar_valid[c]), .ar_ready_i(ar_ready[c]), .ar_addr_o(ar_addr[44*c +: 44]),
      .ar_len_o(ar_len[8*c +: 8]),
      .r_valid_i(r_valid[c]), .r_ready_o(r_ready[c]), .r_data_i(r_data), .r_resp_i(r_resp),
      .r_last_i(r_last),
      .aw_valid_o(aw_valid[c]), .aw_ready_i(aw_ready[c]), .aw_addr_o(aw_addr[44*c +: 44]),
      .aw_len_o(aw_len[8*c +: 8]),
      .w_valid_o(w_valid[c]), .w_ready_i(w_ready[c]), .w_data_o(w_data[AxiBits*c +: AxiBits]),
      .w_strb_o(w_strb[Beat*c +: Beat]), .w_last_o(w_last[c]),
      .b_valid_i(b_valid[c]), .b_ready_o(b_ready[c]), .b_resp_i(b_resp));
  end

  axi_read_mux #(.Masters(3), .AxiBits(AxiBits)) u_read (
    .clk_i, .rst_ni,
    .m_ar_valid_i({fetch_valid_i, ar_valid}), .m_ar_ready_o({fetch_ready_o, ar_ready}),
    .m_ar_addr_i({fetch_addr_i, ar_addr}), .m_ar_len_i({fetch_len_i, ar_len}),
    .m_r_valid_o({fetch_r_valid_o, r_valid}), .m_r_ready_i({fetch_r_ready_i, r_ready}),
    .m_r_data_o(r_data), .m_r_resp_o(r_resp), .m_r_last_o(r_last),
    .ar_valid_o, .ar_ready_i, .ar_id_o, .ar_addr_o, .ar_len_o, .ar_size_o, .ar_burst_o,
    .r_valid_i, .r_ready_o, .r_id_i, .r_data_i, .r_resp_i, .r_last_i);
  axi_write_mux #(.AxiBits(AxiBits)) u_write (
    .clk_i, .rst_ni,
    .m_aw_valid_i(aw_valid), .m_aw_ready_o(aw_ready), .m_aw_addr_i(aw_addr), .m_aw_len_i(aw_len),
    .m_w_valid_i(w_valid), .m_w_ready_o(w_ready), .m_w_data_i(w_data), .m_w_strb_i(w_strb),
    .m_w_last_i(w_last), .m_b_valid_o(b_valid), .m_b_ready_i(b_ready), .m_b_resp_o(b_resp),
    .aw_valid_o, .aw_ready_i, .aw_id_o, .aw_addr_o, .aw_len_o, .aw_size_o, .aw_burst_o,
    .w_valid_o, .w_ready_i, .w_data_o, .w_strb_o, .w_last_o,
    .b_valid_i, .b_ready_o, .b_id_i, .b_resp_i);
endmodule
