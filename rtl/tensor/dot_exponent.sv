// Exponents of a dot product: the largest one, how far each product shifts to it, signs, infinities.
//
//   x, w --(add)--[CutExp]--(maximum)--[CutMax]--(maximum)--[CutLast]--(last level, distances)--[reg]--> shift
//
// Timing  1 + CutExp + CutMax + CutLast cycles.
// Model   sim/model/column_sum.hpp (AddGroup)      Test  tb/tensor/pe_array_test.cpp
`default_nettype none
module dot_exponent #(
  parameter  int unsigned D     = 16,  // products, a power of two
  parameter  logic [6:0]  Cuts  = array_pkg::Cuts,
  parameter  bit          Fast  = array_pkg::Fast
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
  localparam bit          CutExp  = Cuts[array_pkg::CutExp];
  localparam bit          CutMax  = Cuts[array_pkg::CutMax];
  localparam bit          CutLast = Cuts[array_pkg::CutLast];
  // Levels of the tree in front of CutMax and in front of CutLast.
  localparam int unsigned Levels  = $clog2(D);
  localparam int unsigned Half    = CutLast ? Levels / 2 : CutExp && CutMax ? (Levels + 1) / 2 : Levels / 2;
  localparam int unsigned Most    = CutLast && Levels > 0 ? Levels - 1 : Levels;

  // Larger of a and b; the comparison is a borrow chain, which maps smaller than `>`.
  function automatic logic [8:0] larger(input logic [8:0] a, input logic [8:0] b);
    logic above;
    above = 1'b0;
    for (int unsigned i = 0; i < 9; i++) above = ~((~a[i] & b[i]) | (~above & ~(a[i] ^ b[i])));
    if (Fast) above = array_pkg::Above(a, b);
    larger = above ? a : b;
  endfunction
  // Levels from .. to-1 of the tree; 9-bit entry i of the result is valid for i < D >> to.
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
    logic         nonzero, infinite;
    logic [D-1:0] nan, pos, neg;
    for (int unsigned i = 0; i < D; i++) begin
      nonzero         = xnz_i[i] && we_i[8*i +: 8] != '0;
      infinite        = xinf_i[i] || we_i[8*i +: 8] == '1;
      sum[9*i +: 9]   = 9'(xe_i[8*i +: 8]) + 9'(we_i[8*i +: 8]);
      seen[9*i +: 9]  = nonzero ? sum[9*i +: 9] : '0;
      sign[i]         = xs_i[i] ^ ws_i[i];
      nan[i]          = infinite && !nonzero;
      pos[i]          = infinite && !sign[i];
      neg[i]          = infinite && sign[i];
    end
    flags = {|nan, |pos, |neg};
  end

  logic [D*9-1:0] sum_1, seen_1, sum_2;
  logic [D-1:0]   sign_1, sign_2;
  logic [2:0]     flags_1, flags_2;
  if (CutExp) begin : gen_cut_exp
    logic [D*9-1:0] seen_q;
    logic [D-1:0]   sign_q;
    logic [2:0]     flags_q;
    always_ff @(posedge clk_i) begin
      seen_q  <= seen;
      sign_q  <= sign;
      flags_q <= flags;
    end
    assign {sum_1, seen_1, sign_1, flags_1} = {seen_q, seen_q, sign_q, flags_q};
  end else begin : gen_no_cut_exp
    assign {sum_1, seen_1, sign_1, flags_1} = {sum, seen, sign, flags};
  end

  logic [D*9-1:0] first, second_in, second, third_in, third;
  logic [D*9-1:0] sum_3;
  logic [D-1:0]   sign_3;
  logic [2:0]     flags_3;
  assign first = tree(seen_1, 0, Half);
  exponent_cut #(.D(D), .Live(D >> Half), .Cut(CutMax)) u_cut_max (
    .clk_i,
    .d_i ({first, sum_1, sign_1, flags_1}),
    .q_o ({second_in, sum_2, sign_2, flags_2})
  );
  assign second = tree(second_in, Half, Most);
  exponent_cut #(.D(D), .Live(D >> Most), .Cut(CutLast)) u_cut_last (
    .clk_i,
    .d_i ({second, sum_2, sign_2, flags_2}),
    .q_o ({third_in, sum_3, sign_3, flags_3})
  );
  assign third = tree(third_in, Most, Levels);

  // Distances of 32 and more set the upper three bits: 28 or more.
  logic [D*5-1:0] shift;
  always_comb begin : distances
    logic [8:0] distance;
    for (int unsigned i = 0; i < D; i++) begin
      if (Fast) distance = 9'(array_pkg::PrefixAdd(40'(third[8:0]), {31'b0, ~sum_3[9*i +: 9]}, 1'b1));
      else      distance = third[8:0] + ~sum_3[9*i +: 9] + 9'd1;
      shift[5*i +: 5] = {distance[4:2] | {3{|distance[8:5]}}, distance[1:0]};
    end
  end

  logic unused_third;
  assign unused_third = ^third;
  always_ff @(posedge clk_i) begin
    shift_o   <= shift;
    sign_o    <= sign_3;
    largest_o <= third[8:0];
    flags_o   <= flags_3;
  end
endmodule
