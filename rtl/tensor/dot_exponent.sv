// Exponents of a dot product: the largest one, how far each product shifts to it, signs, infinities.
//
//   x, w --(add)--[CutExp]--(maximum of half the tree)--[CutMax]--(rest of the tree)--(largest - own)--[reg]--> shift
//
// Timing  array_pkg::EarlyCycles(Cuts) cycles.
// Model   sim/model/column_sum.hpp (AddGroup)      Test  tb/tensor/pe_array_test.cpp
`default_nettype none
module dot_exponent #(
  parameter  int unsigned D     = 16,  // products, a power of two
  parameter  logic [5:0]  Cuts  = array_pkg::Cuts
) (
  input  logic              clk_i,
  input  logic [D*8-1:0]    xe_i,       // exponents: 0 zero, 255 infinity
  input  logic [D-1:0]      xnz_i,      // x is not zero
  input  logic [D-1:0]      xinf_i,     // x is infinite
  input  logic [D-1:0]      xs_i,       // signs
  input  logic [D*8-1:0]    we_i,
  input  logic [D-1:0]      ws_i,
  output logic [D*5-1:0]    shift_o,    // 28 or more: nothing of the product is left
  output logic [D-1:0]      sign_o,
  output logic [8:0]        largest_o,  // 0 if every product is zero
  output logic [2:0]        flags_o     // infinity times zero, +infinity, -infinity among the products
);
  localparam int unsigned Levels = $clog2(D);
  localparam int unsigned Half   = array_pkg::EarlyCycles(Cuts) == 3 ? (Levels + 1) / 2 : Levels / 2;
  localparam int unsigned Wide   = D >> Half;  // candidates behind the first half of the tree

  // Larger of a and b; the comparison is a borrow chain, which maps smaller than `>`.
  function automatic logic [8:0] larger(input logic [8:0] a, input logic [8:0] b);
    logic above;
    above = 1'b0;
    for (int unsigned i = 0; i < 9; i++) above = ~((~a[i] & b[i]) | (~above & ~(a[i] ^ b[i])));
    larger = above ? a : b;
  endfunction
  // `levels` levels of the tree; 9-bit entry i of the result is valid for i < D >> levels.
  function automatic logic [D*9-1:0] tree(input logic [D*9-1:0] e, input int unsigned from, input int unsigned to);
    tree = e;
    for (int unsigned l = 0; l < Levels; l++) begin
      if (l >= from && l < to) begin
        for (int unsigned i = 0; i < D / 2; i++) begin
          if (i < (D >> (l + 1))) tree[9*i +: 9] = larger(tree[18*i +: 9], tree[18*i+9 +: 9]);
        end
      end
    end
  endfunction

  // Sums of the exponents. A zero product must not lift the maximum; its shift doesn't matter.
  logic [D*9-1:0] sum, seen;
  logic [D-1:0]   sign;
  logic [2:0]     flags;
  always_comb begin : exponents
    logic nonzero, infinite;
    flags = '0;
    for (int unsigned i = 0; i < D; i++) begin
      nonzero         = xnz_i[i] && we_i[8*i +: 8] != '0;
      infinite        = xinf_i[i] || we_i[8*i +: 8] == '1;
      sum[9*i +: 9]   = 9'(xe_i[8*i +: 8]) + 9'(we_i[8*i +: 8]);
      seen[9*i +: 9]  = nonzero ? sum[9*i +: 9] : '0;
      sign[i]         = xs_i[i] ^ ws_i[i];
      flags = flags | {infinite && !nonzero, infinite && !sign[i], infinite && sign[i]};
    end
  end

  logic [D*9-1:0] sum_1, seen_1, sum_2;
  logic [D-1:0]   sign_1, sign_2;
  logic [2:0]     flags_1, flags_2;
  if (Cuts[array_pkg::CutExp]) begin : gen_cut_exp
    logic [D*9-1:0] sum_q;
    logic [D-1:0]   sign_q, nonzero_q;
    logic [2:0]     flags_q;
    always_ff @(posedge clk_i) begin
      sum_q   <= sum;
      sign_q  <= sign;
      flags_q <= flags;
      for (int unsigned i = 0; i < D; i++) nonzero_q[i] <= xnz_i[i] && we_i[8*i +: 8] != '0;
    end
    always_comb begin
      for (int unsigned i = 0; i < D; i++) seen_1[9*i +: 9] = nonzero_q[i] ? sum_q[9*i +: 9] : '0;
    end
    assign {sum_1, sign_1, flags_1} = {sum_q, sign_q, flags_q};
  end else begin : gen_no_cut_exp
    assign {sum_1, seen_1, sign_1, flags_1} = {sum, seen, sign, flags};
  end

  logic [D*9-1:0]    first, second, second_in;
  assign first = tree(seen_1, 0, Half);
  if (Cuts[array_pkg::CutMax]) begin : gen_cut_max
    logic [Wide*9-1:0] first_q;
    logic [D*9-1:0]    sum_q;
    logic [D-1:0]      sign_q;
    logic [2:0]        flags_q;
    always_ff @(posedge clk_i) begin
      first_q <= first[Wide*9-1:0];
      sum_q   <= sum_1;
      sign_q  <= sign_1;
      flags_q <= flags_1;
    end
    assign second_in = (D*9)'(first_q);
    assign {sum_2, sign_2, flags_2} = {sum_q, sign_q, flags_q};
  end else begin : gen_no_cut_max
    assign second_in = first;
    assign {sum_2, sign_2, flags_2} = {sum_1, sign_1, flags_1};
  end
  assign second = tree(second_in, Half, Levels);

  // Distances of 32 and more set the upper three bits: 28 or more.
  logic [D*5-1:0] shift;
  always_comb begin : distances
    logic [8:0] distance;
    for (int unsigned i = 0; i < D; i++) begin
      distance = second[8:0] + ~sum_2[9*i +: 9] + 9'd1;
      shift[5*i +: 5] = {distance[4:2] | {3{|distance[8:5]}}, distance[1:0]};
    end
  end

  logic unused_second;
  assign unused_second = ^{second, first};
  always_ff @(posedge clk_i) begin
    shift_o   <= shift;
    sign_o    <= sign_2;
    largest_o <= second[8:0];
    flags_o   <= flags_2;
  end
endmodule
