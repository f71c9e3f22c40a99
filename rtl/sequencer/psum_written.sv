// Which PSUM banks hold something: set by writes, cleared by the core's reset only.
//
// A matmul's banks count from its dispatch on, since it writes before any later one of its queue reads; those of the
// vector and scalar engine when the instruction that wrote them is done. So a semaphore that it signals orders them,
// and what is still on its way counts for nobody.
// Timing  written_o two cycles after the last granted write, one after done_i; te_banks_i: the next cycle.
// Model   FunctionalModel::psum_written        Test  tb/sequencer/front_end_test.cpp, tb/system/bad_input_test.cpp
`default_nettype none
module psum_written (
  input  logic       clk_i,
  input  logic       rst_ni,
  input  logic [7:0] te_banks_i,      // of the matmul that is dispatched in this cycle
  input  logic [1:0] write_i,         // vector, scalar: a word is written
  input  logic [5:0] bank_i,          // its bank, vector in 2:0
  input  logic [1:0] done_i,          // an instruction is done; its last write was in the cycle before
  output logic [7:0] written_o
);
  logic [7:0]  written_q;
  logic [1:0]  write_q;               // a grant comes late in its cycle
  logic [5:0]  bank_q;
  logic [15:0] reached_q, reached_d;  // banks that a word was written to, for each engine
  always_comb begin
    reached_d = reached_q;
    for (int unsigned e = 0; e < 2; e++) begin
      if (write_q[e]) reached_d[8*e + 32'(bank_q[3*e +: 3])] = 1'b1;
    end
  end

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      written_q <= '0;
      write_q   <= '0;
      reached_q <= '0;
    end else begin
      write_q   <= write_i;
      reached_q <= reached_d;
      written_q <= written_q | te_banks_i | (reached_d[7:0] & {8{done_i[0]}}) | (reached_d[15:8] & {8{done_i[1]}});
    end
  end
  always_ff @(posedge clk_i) begin
    if (write_i != '0) bank_q <= bank_i;
  end
  assign written_o = written_q;
endmodule
