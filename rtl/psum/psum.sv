// Partial-sum buffer: 8 banks x 512 words of 32 bits in every partition, one read and one write port a bank.
//
// The tensor engine's ports (te_r, te_w) are always served. On a bank that it leaves free, the other reads
// (ve_0, ve_1, se_0) and writes (ve_w, se_w) are granted in turn: after a grant a requester is last in line.
// Timing  grants are combinational from requests; read data is valid in the cycle after the grant only. A read of
//         a word being written returns the old word.
// Test    tb/psum/psum_test.cpp
`default_nettype none
`include "chk.svh"
module psum #(
  parameter  int unsigned Rows  = 16,
  localparam int unsigned Banks = dither_pkg::PsumBanks,
  localparam int unsigned Words = dither_pkg::PsumBankWords,
  localparam int unsigned BankW = $clog2(Banks),
  localparam int unsigned WordW = $clog2(Words),
  localparam int unsigned AddrW = BankW + WordW,
  localparam int unsigned RowW  = Rows * 32
) (
  input  logic             clk_i,
  input  logic             rst_ni,
  input  logic             te_r_req_i,
  input  logic [AddrW-1:0] te_r_addr_i,
  output logic [RowW-1:0]  te_r_data_o,
  input  logic             te_w_req_i,
  input  logic [AddrW-1:0] te_w_addr_i,
  input  logic [Rows-1:0]  te_w_lanes_i,
  input  logic [RowW-1:0]  te_w_data_i,
  input  logic             ve_0_req_i,
  input  logic [AddrW-1:0] ve_0_addr_i,
  output logic             ve_0_gnt_o,
  output logic [RowW-1:0]  ve_0_data_o,
  input  logic             ve_1_req_i,
  input  logic [AddrW-1:0] ve_1_addr_i,
  output logic             ve_1_gnt_o,
  output logic [RowW-1:0]  ve_1_data_o,
  input  logic             se_0_req_i,
  input  logic [AddrW-1:0] se_0_addr_i,
  output logic             se_0_gnt_o,
  output logic [RowW-1:0]  se_0_data_o,
  input  logic             ve_w_req_i,
  input  logic [AddrW-1:0] ve_w_addr_i,
  input  logic [Rows-1:0]  ve_w_lanes_i,
  input  logic [RowW-1:0]  ve_w_data_i,
  output logic             ve_w_gnt_o,
  input  logic             se_w_req_i,
  input  logic [AddrW-1:0] se_w_addr_i,
  input  logic [Rows-1:0]  se_w_lanes_i,
  input  logic [RowW-1:0]  se_w_data_i,
  output logic             se_w_gnt_o
);
  logic [BankW-1:0] te_r_bank, te_w_bank, ve_0_bank, ve_1_bank, se_0_bank, ve_w_bank, se_w_bank;
  assign te_r_bank = te_r_addr_i[AddrW-1 -: BankW];
  assign te_w_bank = te_w_addr_i[AddrW-1 -: BankW];
  assign ve_0_bank = ve_0_addr_i[AddrW-1 -: BankW];
  assign ve_1_bank = ve_1_addr_i[AddrW-1 -: BankW];
  assign se_0_bank = se_0_addr_i[AddrW-1 -: BankW];
  assign ve_w_bank = ve_w_addr_i[AddrW-1 -: BankW];
  assign se_w_bank = se_w_addr_i[AddrW-1 -: BankW];

  // Requests that the tensor engine's bank does not shut out.
  logic v0, v1, s0, vw, sw;
  assign v0 = ve_0_req_i && !(te_r_req_i && te_r_bank == ve_0_bank);
  assign v1 = ve_1_req_i && !(te_r_req_i && te_r_bank == ve_1_bank);
  assign s0 = se_0_req_i && !(te_r_req_i && te_r_bank == se_0_bank);
  assign vw = ve_w_req_i && !(te_w_req_i && te_w_bank == ve_w_bank);
  assign sw = se_w_req_i && !(te_w_req_i && te_w_bank == se_w_bank);

  // Pairwise order on a shared bank; x_first_q is 1 when the first of the pair goes first.
  logic v0_over_v1_q, v0_over_s0_q, v1_over_s0_q, vw_over_sw_q;
  logic v0_v1, v0_s0, v1_s0;
  assign v0_v1 = v1 && ve_0_bank == ve_1_bank;
  assign v0_s0 = s0 && ve_0_bank == se_0_bank;
  assign v1_s0 = s0 && ve_1_bank == se_0_bank;
  assign ve_0_gnt_o = v0 && !(v0_v1 && !v0_over_v1_q) && !(v0_s0 && !v0_over_s0_q);
  assign ve_1_gnt_o = v1 && !(v0 && v0_v1 && v0_over_v1_q) && !(v1_s0 && !v1_over_s0_q);
  assign se_0_gnt_o = s0 && !(v0 && v0_s0 && v0_over_s0_q) && !(v1 && v1_s0 && v1_over_s0_q);
  assign ve_w_gnt_o = vw && !(sw && ve_w_bank == se_w_bank && !vw_over_sw_q);
  assign se_w_gnt_o = sw && !(vw && ve_w_bank == se_w_bank && vw_over_sw_q);

  // Granted: behind the others. The three bits stay a total order, since only the winner moves, to the end.
  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      v0_over_v1_q <= 1'b1;
      v0_over_s0_q <= 1'b1;
      v1_over_s0_q <= 1'b1;
      vw_over_sw_q <= 1'b1;
    end else begin
      if (ve_0_gnt_o != ve_1_gnt_o) v0_over_v1_q <= ve_1_gnt_o;
      if (ve_0_gnt_o != se_0_gnt_o) v0_over_s0_q <= se_0_gnt_o;
      if (ve_1_gnt_o != se_0_gnt_o) v1_over_s0_q <= se_0_gnt_o;
      if (ve_w_gnt_o != se_w_gnt_o) vw_over_sw_q <= se_w_gnt_o;
    end
  end

  logic [BankW-1:0] te_r_bank_q, ve_0_bank_q, ve_1_bank_q, se_0_bank_q;
  always_ff @(posedge clk_i) begin
    if (te_r_req_i) te_r_bank_q <= te_r_bank;
    if (ve_0_gnt_o) ve_0_bank_q <= ve_0_bank;
    if (ve_1_gnt_o) ve_1_bank_q <= ve_1_bank;
    if (se_0_gnt_o) se_0_bank_q <= se_0_bank;
  end

  logic [RowW-1:0] rdata [Banks];
  for (genvar b = 0; b < Banks; b++) begin : gen_bank
    logic             te_r, te_w, r0, r1, r2, w0, w1, re, we;
    logic [WordW-1:0] raddr, waddr;
    logic [Rows-1:0]  lanes;
    logic [RowW-1:0]  wdata;
    assign te_r = te_r_req_i && te_r_bank == BankW'(b);
    assign te_w = te_w_req_i && te_w_bank == BankW'(b);
    assign r0   = ve_0_gnt_o && ve_0_bank == BankW'(b);
    assign r1   = ve_1_gnt_o && ve_1_bank == BankW'(b);
    assign r2   = se_0_gnt_o && se_0_bank == BankW'(b);
    assign w0   = ve_w_gnt_o && ve_w_bank == BankW'(b);
    assign w1   = se_w_gnt_o && se_w_bank == BankW'(b);
    assign re   = te_r || r0 || r1 || r2;
    assign we   = te_w || w0 || w1;
    // Zero, not a source, when idle: an idle bank toggles nothing and costs the simulation nothing.
    always_comb begin
      raddr = '0;
      waddr = '0;
      lanes = '0;
      wdata = '0;
      if (te_r)    raddr = te_r_addr_i[WordW-1:0];
      else if (r0) raddr = ve_0_addr_i[WordW-1:0];
      else if (r1) raddr = ve_1_addr_i[WordW-1:0];
      else if (r2) raddr = se_0_addr_i[WordW-1:0];
      if (te_w) begin
        waddr = te_w_addr_i[WordW-1:0];
        lanes = te_w_lanes_i;
        wdata = te_w_data_i;
      end else if (w0) begin
        waddr = ve_w_addr_i[WordW-1:0];
        lanes = ve_w_lanes_i;
        wdata = ve_w_data_i;
      end else if (w1) begin
        waddr = se_w_addr_i[WordW-1:0];
        lanes = se_w_lanes_i;
        wdata = se_w_data_i;
      end
    end
    sram_1r1w #(.Depth(Words), .Lanes(Rows), .Width(32)) u_ram (
      .clk_i,
      .re_i    (re),
      .raddr_i (raddr),
      .rdata_o (rdata[b]),
      .we_i    (we),
      .waddr_i (waddr),
      .lanes_i (lanes),
      .wdata_i (wdata)
    );
  end

  assign te_r_data_o = rdata[te_r_bank_q];
  assign ve_0_data_o = rdata[ve_0_bank_q];
  assign ve_1_data_o = rdata[ve_1_bank_q];
  assign se_0_data_o = rdata[se_0_bank_q];

  // A bank serves one read and one write a cycle.
  `CHK(OneReadV0V1_A, !(ve_0_gnt_o && ve_1_gnt_o && ve_0_bank == ve_1_bank))
  `CHK(OneReadV0S0_A, !(ve_0_gnt_o && se_0_gnt_o && ve_0_bank == se_0_bank))
  `CHK(OneReadV1S0_A, !(ve_1_gnt_o && se_0_gnt_o && ve_1_bank == se_0_bank))
  `CHK(OneWrite_A, !(ve_w_gnt_o && se_w_gnt_o && ve_w_bank == se_w_bank))
endmodule
