// Joins the write channels of two masters to one AXI4 write port; the ID is the master's number.
//
// Timing  AW through one register, round robin; W combinational, in the order of AW; B by its ID.
//         W doesn't wait until AW is accepted: a memory may want to see data first.
// Test    tb/dma/dma_test.cpp
`default_nettype none
`include "chk.svh"
module axi_write_mux #(
  parameter  int unsigned AxiBits = 128,           // 128, 256 or 512
  parameter  int unsigned Ahead   = 8,             // addresses ahead of their data, a power of two
  localparam int unsigned Beat    = AxiBits / 8,   // derived
  localparam int unsigned IdW     = 2              // derived
) (
  input  logic                 clk_i,
  input  logic                 rst_ni,
  // masters: master i's bits of a flat port lie at [Width*i +: Width]
  input  logic [1:0]           m_aw_valid_i,
  output logic [1:0]           m_aw_ready_o,
  input  logic [2*44-1:0]      m_aw_addr_i,
  input  logic [2*8-1:0]       m_aw_len_i,
  input  logic [1:0]           m_w_valid_i,
  output logic [1:0]           m_w_ready_o,
  input  logic [2*AxiBits-1:0] m_w_data_i,
  input  logic [2*Beat-1:0]    m_w_strb_i,
  input  logic [1:0]           m_w_last_i,
  output logic [1:0]           m_b_valid_o,
  input  logic [1:0]           m_b_ready_i,
  output logic [1:0]           m_b_resp_o,         // the same for both
  // memory
  output logic                 aw_valid_o,
  input  logic                 aw_ready_i,
  output logic [IdW-1:0]       aw_id_o,
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
  input  logic [IdW-1:0]       b_id_i,
  input  logic [1:0]           b_resp_i
);
  localparam int unsigned PtrW = $clog2(Ahead);
  logic        last_q, pick, take, aw_valid_q, aw_id_q;
  logic [43:0] aw_addr_q;
  logic [7:0]  aw_len_q;
  logic        order_mem [Ahead];  // masters whose data is still to come
  logic [PtrW:0] w_q, r_q;
  logic        none, full, turn;

  assign none = w_q == r_q;
  assign full = w_q == {~r_q[PtrW], r_q[PtrW-1:0]};
  assign pick = m_aw_valid_i[~last_q] ? ~last_q : last_q;
  assign take = |m_aw_valid_i && !full && (!aw_valid_q || aw_ready_i);
  assign m_aw_ready_o = {take && pick, take && !pick};
  assign turn = order_mem[r_q[PtrW-1:0]];

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      last_q     <= 1'b0;
      aw_valid_q <= 1'b0;
      w_q        <= '0;
      r_q        <= '0;
    end else begin
      if (take) begin
        last_q     <= pick;
        aw_valid_q <= 1'b1;
        w_q        <= w_q + 1'b1;
      end else if (aw_ready_i) aw_valid_q <= 1'b0;
      if (w_valid_o && w_ready_i && w_last_o) r_q <= r_q + 1'b1;
    end
  end
  always_ff @(posedge clk_i) begin
    if (take) begin
      aw_id_q   <= pick;
      aw_addr_q <= pick ? m_aw_addr_i[87:44] : m_aw_addr_i[43:0];
      aw_len_q  <= pick ? m_aw_len_i[15:8] : m_aw_len_i[7:0];
      order_mem[w_q[PtrW-1:0]] <= pick;
    end
  end
  assign aw_valid_o = aw_valid_q;
  assign aw_id_o    = {1'b0, aw_id_q};
  assign aw_addr_o  = aw_addr_q;
  assign aw_len_o   = aw_len_q;
  assign aw_size_o  = 3'($clog2(Beat));
  assign aw_burst_o = 2'b01;

  assign w_valid_o   = !none && m_w_valid_i[turn];
  assign w_data_o    = turn ? m_w_data_i[AxiBits +: AxiBits] : m_w_data_i[AxiBits-1:0];
  assign w_strb_o    = turn ? m_w_strb_i[Beat +: Beat] : m_w_strb_i[Beat-1:0];
  assign w_last_o    = m_w_last_i[turn];
  assign m_w_ready_o = {!none && turn && w_ready_i, !none && !turn && w_ready_i};

  assign m_b_valid_o = {b_valid_i && b_id_i == IdW'(1), b_valid_i && b_id_i == IdW'(0)};
  assign b_ready_o   = m_b_ready_i[b_id_i[0]];
  assign m_b_resp_o  = b_resp_i;

  // Data follows in the order of the addresses.
  `CHK(OrderInside_A, !take || !full)
  // Answers carry an ID that was used.
  `CHK(KnownId_A, !b_valid_i || b_id_i < IdW'(2))
endmodule
