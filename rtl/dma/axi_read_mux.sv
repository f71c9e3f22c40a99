// Joins the read channels of several masters to one AXI4 read port; the ID is the master's number.
//
// Timing  combinational both ways. AR: round robin, an offer once made is kept. R: routed by its
//         ID, bursts of different masters may interleave.
// Test    tb/dma/dma_test.cpp
`default_nettype none
`include "chk.svh"
module axi_read_mux #(
  parameter  int unsigned Masters = 3,      // 2..4
  parameter  int unsigned AxiBits = 128,    // 128, 256 or 512
  localparam int unsigned IdW     = 2       // derived
) (
  input  logic                  clk_i,
  input  logic                  rst_ni,
  // masters: master i's bits of a flat port lie at [Width*i +: Width]
  input  logic [Masters-1:0]    m_ar_valid_i,
  output logic [Masters-1:0]    m_ar_ready_o,
  input  logic [44*Masters-1:0] m_ar_addr_i,
  input  logic [8*Masters-1:0]  m_ar_len_i,
  output logic [Masters-1:0]    m_r_valid_o,
  input  logic [Masters-1:0]    m_r_ready_i,
  output logic [AxiBits-1:0]    m_r_data_o,   // the same for all
  output logic [1:0]            m_r_resp_o,
  output logic                  m_r_last_o,
  // memory
  output logic                  ar_valid_o,
  input  logic                  ar_ready_i,
  output logic [IdW-1:0]        ar_id_o,
  output logic [43:0]           ar_addr_o,
  output logic [7:0]            ar_len_o,
  output logic [2:0]            ar_size_o,
  output logic [1:0]            ar_burst_o,
  input  logic                  r_valid_i,
  output logic                  r_ready_o,
  input  logic [IdW-1:0]        r_id_i,
  input  logic [AxiBits-1:0]    r_data_i,
  input  logic [1:0]            r_resp_i,
  input  logic                  r_last_i
);
  if (Masters < 2 || Masters > 4) begin : gen_bad_masters
    $error("axi_read_mux: Masters must be in 2..4");
  end
  // last_q was served last; while held_q is set it is being served.
  logic [IdW-1:0] last_q, pick;
  logic           held_q;

  // The search ends at last_q + 1, so that the nearest one behind last_q wins.
  always_comb begin
    pick = last_q;
    if (!held_q) begin
      for (int unsigned k = Masters; k >= 1; k--) begin
        for (int unsigned m = 0; m < Masters; m++) begin
          if (m_ar_valid_i[m] && (32'(last_q) + k) % Masters == m) pick = IdW'(m);
        end
      end
    end
  end
  assign ar_valid_o = |m_ar_valid_i;
  assign ar_id_o    = pick;
  assign ar_size_o  = 3'($clog2(AxiBits / 8));
  assign ar_burst_o = 2'b01;
  always_comb begin
    ar_addr_o    = m_ar_addr_i[43:0];
    ar_len_o     = m_ar_len_i[7:0];
    m_ar_ready_o = '0;
    for (int unsigned m = 0; m < Masters; m++) begin
      if (pick == IdW'(m)) begin
        ar_addr_o       = m_ar_addr_i[44*m +: 44];
        ar_len_o        = m_ar_len_i[8*m +: 8];
        m_ar_ready_o[m] = ar_ready_i;
      end
    end
  end
  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      last_q <= '0;
      held_q <= 1'b0;
    end else if (ar_valid_o) begin
      last_q <= pick;
      held_q <= !ar_ready_i;
    end
  end

  assign m_r_data_o = r_data_i;
  assign m_r_resp_o = r_resp_i;
  assign m_r_last_o = r_last_i;
  always_comb begin
    m_r_valid_o = '0;
    r_ready_o   = 1'b0;
    for (int unsigned m = 0; m < Masters; m++) begin
      if (r_id_i == IdW'(m)) begin
        m_r_valid_o[m] = r_valid_i;
        r_ready_o      = m_r_ready_i[m];
      end
    end
  end

  // The master whose offer stands is still offering.
  `CHK(HeldGrant_A, !held_q || m_ar_valid_i[last_q])
endmodule
