// One level of a carry-save tree: N rows become N - N/3, then the next level; two rows are added.
//
// Full adders are written as two exclusive ors and the inverse of (no carry from a, b) or (none from c): of the forms
// that were tried abc maps this one to the least area.
// Timing  a register before the first level with CutAt rows or fewer, and one before the adder if CutAdd.
`default_nettype none
module carry_save_level #(
  parameter  int unsigned N      = 4,
  parameter  int unsigned W      = 8,
  parameter  int unsigned CutAt  = 0,      // 0: no register
  parameter  bit          CutAdd = 1'b0,
  parameter  bit          Fast   = array_pkg::Fast,
  localparam int unsigned Left   = N - N / 3,
  localparam int unsigned Ones   = N - 1  // places that carry words and the adder leave free
) (
  input  logic            clk_i,
  input  logic [N*W-1:0]  rows_i,
  input  logic [Ones-1:0] ones_i,
  output logic [W-1:0]    sum_o
);
  logic [N*W-1:0]  rows;
  logic [Ones-1:0] ones;
  localparam bit   Cut = (N <= CutAt) || (N == 2 && CutAdd);
  if (Cut) begin : gen_cut
    logic [N*W-1:0]  rows_q;
    logic [Ones-1:0] ones_q;
    always_ff @(posedge clk_i) begin
      rows_q <= rows_i;
      ones_q <= ones_i;
    end
    assign rows = rows_q;
    assign ones = ones_q;
  end else begin : gen_no_cut
    assign rows = rows_i;
    assign ones = ones_i;
  end

  if (N == 2 && Fast) begin : gen_prefix_add
    assign sum_o = W'(array_pkg::PrefixAdd(40'(rows[W-1:0]), 40'(rows[2*W-1:W]), ones[0]));
  end else if (N == 2) begin : gen_add
    always_comb begin : add
      logic carry;
      carry = ones[0];
      for (int unsigned i = 0; i < W; i++) begin
        sum_o[i] = rows[i] ^ rows[W+i] ^ carry;
        carry = (rows[i] & rows[W+i]) | (carry & (rows[i] ^ rows[W+i]));
      end
    end
  end else begin : gen_reduce
    logic [Left*W-1:0] next;
    for (genvar i = 0; i < N / 3; i++) begin : gen_adder
      logic [W-1:0] a, b, c, half, carry;
      assign a     = rows[W*(3*i) +: W];
      assign b     = rows[W*(3*i+1) +: W];
      assign c     = rows[W*(3*i+2) +: W];
      assign half  = a ^ b;
      assign carry = ~((~a & ~b) | (~c & half));
      assign next[W*(2*i) +: W]   = half ^ c;
      assign next[W*(2*i+1) +: W] = {carry[W-2:0], ones[i]};
    end
    for (genvar i = 0; i < N % 3; i++) begin : gen_pass
      assign next[W*(2*(N/3)+i) +: W] = rows[W*(N-N%3+i) +: W];
    end
    carry_save_level #(
      .N(Left), .W(W), .CutAt(N <= CutAt ? 0 : CutAt), .CutAdd(CutAdd), .Fast(Fast)
    ) u_next (
      .clk_i, .rows_i (next), .ones_i (ones[Ones-1:N/3]), .sum_o
    );
  end
endmodule
