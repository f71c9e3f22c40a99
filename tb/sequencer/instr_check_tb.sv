// The checkers of all queues for 8 rows and, with pairs, for 16 rows side by side: bit 5*c + q is queue q of size c.
`default_nettype none
module instr_check_tb (
  input  logic          clk_i,
  input  logic          rst_ni,
  input  logic [9:0]    valid_i,
  input  logic [9:0]    clear_i,
  input  logic [511:0]  instr_i,
  input  logic [43:0]   dram_base_i,
  input  logic [44:0]   dram_limit_i,
  output logic [9:0]    done_o,
  output logic [79:0]   err_o,
  output logic [19:0]   operand_o,
  output logic [479:0]  addr_o,
  output logic [79:0]   banks_o
);
  for (genvar i = 0; i < 10; i++) begin : gen_check
    instr_check #(.Rows(i < 5 ? 8 : 16), .Pairs(i >= 5), .Queue(i % 5)) u_check (
      .clk_i, .rst_ni, .valid_i(valid_i[i]), .clear_i(clear_i[i]), .instr_i, .dram_base_i,
      .dram_limit_i, .done_o(done_o[i]), .err_o(err_o[8*i +: 8]), .operand_o(operand_o[2*i +: 2]),
      .addr_o(addr_o[48*i +: 48]), .banks_o(banks_o[8*i +: 8])
    );
  end
endmodule
