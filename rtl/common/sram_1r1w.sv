// Synchronous SRAM with one read and one write port, of Lanes parallel macros that share addresses.
//
// Timing  write at the edge; rdata_o holds the word read at the last edge with re_i. A read of the word
//         being written returns the old word.
// Contents are undefined after power-up. For synthesis this module is a black box (Depth*Lanes*Width bits).
// Test    tb/psum/psum_test.cpp
`default_nettype none
module sram_1r1w #(
  parameter  int unsigned Depth = 512,            // words of each lane, >= 2
  parameter  int unsigned Lanes = 1,              // macros side by side
  parameter  int unsigned Width = 32,             // bits of a lane
  localparam int unsigned AddrW = $clog2(Depth)   // derived
) (
  input  logic                   clk_i,
  input  logic                   re_i,
  input  logic [AddrW-1:0]       raddr_i,
  output logic [Lanes*Width-1:0] rdata_o,
  input  logic                   we_i,
  input  logic [AddrW-1:0]       waddr_i,
  input  logic [Lanes-1:0]       lanes_i,  // lanes to write
  input  logic [Lanes*Width-1:0] wdata_i
);
  // Lane l's word a lies at l*Depth + a: one array simulates faster than Lanes arrays.
  logic [Width-1:0]       mem [Lanes*Depth] /*verilator public_flat_rw*/;
  logic [Lanes*Width-1:0] rdata_q;

  always_ff @(posedge clk_i) begin
    if (re_i) begin
      for (int unsigned l = 0; l < Lanes; l++) begin
        rdata_q[Width*l +: Width] <= mem[l*Depth + 32'(raddr_i)];
      end
    end
    if (we_i) begin
      for (int unsigned l = 0; l < Lanes; l++) begin
        if (lanes_i[l]) mem[l*Depth + 32'(waddr_i)] <= wdata_i[Width*l +: Width];
      end
    end
  end
  assign rdata_o = rdata_q;
endmodule
