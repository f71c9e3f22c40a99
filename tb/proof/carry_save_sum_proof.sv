// carry_save_sum is the sum of its rows and single bits, modulo 2^O.
`default_nettype none
module carry_save_sum_proof #(
  parameter int unsigned N = 4,
  parameter int unsigned W = 8,
  parameter int unsigned O = W + $clog2(N) + 1,
  parameter bit          Fast = 1'b0
) (
  input logic           clk_i,
  input logic [N*W-1:0] rows_i,
  input logic [N-1:0]   ones_i
);
  logic [O-1:0] sum, plain;
  carry_save_sum #(.N(N), .W(W), .O(O), .Fast(Fast)) u_sum (.clk_i, .rows_i, .ones_i, .sum_o (sum));
  always_comb begin
    plain = '0;
    for (int unsigned i = 0; i < N; i++) plain = plain + O'(rows_i[W*i +: W]) + O'(ones_i[i]);
    Sum_A: assert (sum == plain);
    // Everything set: the largest sum there is.
    Largest_C: cover (plain == O'(N * 2 ** W));
  end
endmodule
