// Single-port synchronous SRAM of Lanes parallel macros that share address and byte mask.
//
// Timing  write at the edge; rdata_o holds the word read at the last edge with req_i and not we_i.
// Contents are undefined after power-up. For synthesis this module is a black box (Depth*Lanes*Width bits).
// Test    tb/sbuf/sbuf_test.cpp
`default_nettype none
module sram_1rw #(
  parameter  int unsigned Depth = 1024,           // words of each lane, >= 2
  parameter  int unsigned Lanes = 1,              // macros side by side
  parameter  int unsigned Width = 64,             // bits of a lane, a multiple of 8
  localparam int unsigned AddrW = $clog2(Depth)   // derived
) (
  input  logic                   clk_i,
  input  logic                   req_i,
  input  logic                   we_i,
  input  logic [AddrW-1:0]       addr_i,
  input  logic [Lanes-1:0]       lanes_i,  // lanes to write
  input  logic [Width/8-1:0]     bytes_i,  // bytes to write in each written lane
  input  logic [Lanes*Width-1:0] wdata_i,
  output logic [Lanes*Width-1:0] rdata_o
);
  // Lane l's word a lies at l*Depth + a: one array simulates faster than Lanes arrays.
  logic [Width-1:0]       mem [Lanes*Depth] /*verilator public_flat_rw*/;
  logic [Lanes*Width-1:0] rdata_q;
  logic [Width-1:0]       mask;

  always_comb begin
    for (int unsigned b = 0; b < Width / 8; b++) mask[8*b +: 8] = {8{bytes_i[b]}};
  end

  always_ff @(posedge clk_i) begin
    if (req_i) begin
      if (we_i) begin
        for (int unsigned l = 0; l < Lanes; l++) begin
          if (lanes_i[l]) begin
            mem[l*Depth + 32'(addr_i)] <= (mem[l*Depth + 32'(addr_i)] & ~mask)
                                        | (wdata_i[Width*l +: Width] & mask);
          end
        end
      end else begin
        for (int unsigned l = 0; l < Lanes; l++) begin
          rdata_q[Width*l +: Width] <= mem[l*Depth + 32'(addr_i)];
        end
      end
    end
  end
  assign rdata_o = rdata_q;
endmodule
