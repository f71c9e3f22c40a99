// Synchronous SRAMs side by side, each with a read address of its own and a common write address.
//
// Timing  write at the edge; rdata_o holds the words read at the last edge with re_i. A read of the word
//         being written returns the old word.
// Contents are undefined after power-up. For synthesis this module is a black box (Depth*Lanes*Width bits).
// Test    tb/vector/vector_engine_test.cpp
`default_nettype none
module sram_banks #(
  parameter  int unsigned Depth = 16,             // words of each bank, >= 2
  parameter  int unsigned Lanes = 16,             // banks
  parameter  int unsigned Width = 32,             // bits of a word
  localparam int unsigned AddrW = $clog2(Depth)   // derived
) (
  input  logic                   clk_i,
  input  logic                   re_i,
  input  logic [Lanes*AddrW-1:0] raddr_i,
  output logic [Lanes*Width-1:0] rdata_o,
  input  logic                   we_i,
  input  logic [AddrW-1:0]       waddr_i,
  input  logic [Lanes*Width-1:0] wdata_i
);
  // Bank l's word a lies at l*Depth + a, as in sram_1r1w.
  logic [Width-1:0]       mem [Lanes*Depth] /*verilator public_flat_rw*/;
  logic [Lanes*Width-1:0] rdata_q;

  always_ff @(posedge clk_i) begin
    if (re_i) begin
      for (int unsigned l = 0; l < Lanes; l++) begin
        rdata_q[Width*l +: Width] <= mem[l*Depth + 32'(raddr_i[AddrW*l +: AddrW])];
      end
    end
    if (we_i) begin
      for (int unsigned l = 0; l < Lanes; l++) begin
        mem[l*Depth + 32'(waddr_i)] <= wdata_i[Width*l +: Width];
      end
    end
  end
  assign rdata_o = rdata_q;
endmodule
