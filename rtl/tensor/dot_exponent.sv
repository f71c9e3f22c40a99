// Exponents of a dot product: the largest one, how far each product shifts to it, signs, infinities.
//
//   x, w --(add)--[CutExp]--(maximum)--[CutMax]--(maximum)--[CutLast]--(last level, distances)--[reg]--> shift
//
// With Pairs a row may hold two fp8 products with exponents of 5 bits: its own are lane 0, its second ones lane 1.
// Timing  1 + CutExp + CutMax + CutLast cycles.
// Model   sim/model/column_sum.hpp (AddGroup)      Test  tb/tensor/pe_array_test.cpp
`default_nettype none
module dot_exponent #(
  parameter  int unsigned D     = 16,  // products, a power of two
  parameter  logic [6:0]  Cuts  = array_pkg::Cuts,
  parameter  bit          Fast  = array_pkg::Fast,
  parameter  bit          Pairs = 1'b0
) (
  input  logic              clk_i,
  input  logic [1:0]        mode_i,     // array_pkg: {int8 pairs, fp8 pairs}
  input  logic [D*8-1:0]    xe_i,       // exponents: 0 zero, 255 infinity
  input  logic [D-1:0]      xnz_i,      // x is not zero
  input  logic [D-1:0]      xinf_i,     // x is infinite
  input  logic [D-1:0]      xs_i,       // signs
  input  logic [D*8-1:0]    we_i,
  input  logic [D-1:0]      ws_i,
  input  logic [D*8-1:0]    xp_i,       // lane 1 of a row: {sign, infinite, not zero, exponent[5]}
  input  logic [D*3-1:0]    wp_i,       // {sign, exponent[4:3]}, the rest is in bits 7:5 of we_i
  output logic [1:0]        mode_o,     // with shift_o
  output logic [D*5-1:0]    shift_o,    // 28 or more: nothing of the product is left
  output logic [D-1:0]      sign_o,
  output logic [D*5-1:0]    shift1_o,   // lane 1
  output logic [D-1:0]      sign1_o,
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
  logic [2:0]     flags, flags1;
  always_comb begin : exponents
    logic         nonzero, infinite;
    logic [7:0]   we;
    logic [D-1:0] nan, pos, neg;
    for (int unsigned i = 0; i < D; i++) begin
      we              = we_i[8*i +: 8];
      infinite        = xinf_i[i] || we == '1;
      if (Pairs) begin
        infinite = xinf_i[i] || (we[4:0] == '1 && (mode_i[0] || we[7:5] == '1));
        we[7:5]  = we[7:5] & {3{!mode_i[0]}};
      end
      nonzero         = xnz_i[i] && we != '0;
      sum[9*i +: 9]   = 9'(xe_i[8*i +: 8]) + 9'(we);
      seen[9*i +: 9]  = nonzero ? sum[9*i +: 9] : '0;
      sign[i]         = xs_i[i] ^ ws_i[i];
      nan[i]          = infinite && !nonzero;
      pos[i]          = infinite && !sign[i];
      neg[i]          = infinite && sign[i];
    end
    flags = {|nan, |pos, |neg} | flags1;
  end

  // Lane 1. What of it travels beside the tree: {signs, exponents, modes}.
  localparam int unsigned Extra = Pairs ? D * 7 + 2 : 2;
  logic [D*6-1:0]    sum1, seen1;
  logic [Extra-1:0] extra, extra_1, extra_2, extra_3;
  if (Pairs) begin : gen_lane_1
    logic [D-1:0] sign1;
    always_comb begin : exponents_1
      logic         nonzero, infinite;
      logic [4:0]   we;
      logic [D-1:0] nan, pos, neg;
      for (int unsigned i = 0; i < D; i++) begin
        we             = {wp_i[3*i +: 2], we_i[8*i+5 +: 3]};
        nonzero        = xp_i[8*i+5] && we != '0;
        infinite       = xp_i[8*i+6] || (we == '1 && mode_i[0]);
        sum1[6*i +: 6]  = 6'(xp_i[8*i +: 5]) + 6'(we);
        seen1[6*i +: 6] = nonzero ? sum1[6*i +: 6] : '0;
        sign1[i]       = xp_i[8*i+7] ^ wp_i[3*i+2];
        nan[i]         = infinite && !nonzero;
        pos[i]         = infinite && !sign1[i];
        neg[i]         = infinite && sign1[i];
      end
      flags1 = {|nan, |pos, |neg};
    end
    assign extra = {sign1, sum1, mode_i};
  end else begin : gen_no_lane_1
    logic unused_lane_1;
    assign unused_lane_1 = ^{mode_i, xp_i, wp_i};
    assign sum1   = '0;
    assign seen1  = '0;
    assign flags1 = '0;
    assign extra  = '0;
  end

  logic [D*9-1:0] sum_1, seen_1, sum_2;
  logic [D*6-1:0] seen1_1;
  logic [D-1:0]   sign_1, sign_2;
  logic [2:0]     flags_1, flags_2;
  if (CutExp) begin : gen_cut_exp
    logic [D*9-1:0]    seen_q;
    logic [D-1:0]      sign_q;
    logic [2:0]        flags_q;
    logic [Extra-1:0] extra_q;
    logic [D*6-1:0]    seen1_q;
    always_ff @(posedge clk_i) begin
      seen_q  <= seen;
      sign_q  <= sign;
      flags_q <= flags;
      extra_q <= extra;
      seen1_q <= seen1;
    end
    assign {sum_1, seen_1, sign_1, flags_1} = {seen_q, seen_q, sign_q, flags_q};
    // A zero product's distance does not matter, so one register serves exponent and candidate.
    if (Pairs) begin : gen_extra
      assign extra_1 = {extra_q[Extra-1 -: D], seen1_q, extra_q[1:0]};
      logic unused_sum1;
      assign unused_sum1 = ^extra_q[D*6+1:2];
    end else begin : gen_no_extra
      assign extra_1 = extra_q;
    end
    assign seen1_1 = seen1_q;
  end else begin : gen_no_cut_exp
    assign {sum_1, seen_1, sign_1, flags_1} = {sum, seen, sign, flags};
    assign extra_1 = extra;
    assign seen1_1 = seen1;
  end

  // The larger of a row's two, in 6 bits: where lane 1 has something the upper three of lane 0 are clear.
  logic [D*9-1:0] first, second_in, second, third_in, third;
  logic [D*9-1:0] row_1, sum_3;
  logic [D-1:0]   sign_3;
  logic [2:0]     flags_3;
  always_comb begin : rows
    logic above;
    row_1 = seen_1;
    if (Pairs) begin
      for (int unsigned i = 0; i < D; i++) begin
        above = 1'b0;
        for (int unsigned b = 0; b < 6; b++) begin
          above = ~((~seen_1[9*i+b] & seen1_1[6*i+b]) | (~above & ~(seen_1[9*i+b] ^ seen1_1[6*i+b])));
        end
        if (Fast) above = array_pkg::Above(9'(seen_1[9*i +: 6]), 9'(seen1_1[6*i +: 6]));
        if (!above) row_1[9*i +: 6] = seen1_1[6*i +: 6];
      end
    end
  end
  assign first = tree(row_1, 0, Half);
  exponent_cut #(.D(D), .Live(D >> Half), .Extra(Extra), .Cut(CutMax)) u_cut_max (
    .clk_i,
    .d_i ({first, sum_1, sign_1, flags_1, extra_1}),
    .q_o ({second_in, sum_2, sign_2, flags_2, extra_2})
  );
  assign second = tree(second_in, Half, Most);
  exponent_cut #(.D(D), .Live(D >> Most), .Extra(Extra), .Cut(CutLast)) u_cut_last (
    .clk_i,
    .d_i ({second, sum_2, sign_2, flags_2, extra_2}),
    .q_o ({third_in, sum_3, sign_3, flags_3, extra_3})
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

  // The exponent is the array's, value = sum * 2^(exp - 268 - Frac), whatever the mode: an fp8 operand's 5 bits stand
  // for 112 more (docs/numerics.md), and integers have e = 2.
  logic [8:0] largest;
  logic [2:0] flags_4;
  if (Pairs) begin : gen_distance_1
    logic [D*5-1:0] shift1;
    always_comb begin : distances_1
      logic [5:0] far;
      for (int unsigned i = 0; i < D; i++) begin
        if (Fast) far = 6'(array_pkg::PrefixAdd(40'(third[5:0]), {34'b0, ~extra_3[6*i+2 +: 6]}, 1'b1));
        else      far = third[5:0] + ~extra_3[6*i+2 +: 6] + 6'd1;
        shift1[5*i +: 5] = {far[4:2] | {3{far[5]}}, far[1:0]};
      end
    end
    always_ff @(posedge clk_i) begin
      shift1_o <= shift1;
      sign1_o  <= extra_3[Extra-1 -: D];
      mode_o   <= extra_3[1:0];
    end
    assign largest = extra_3[1] ? 9'd2
                   : extra_3[0] && third[5:0] != '0 ? {third[5], {3{!third[5]}}, third[4:0]} : third[8:0];
    assign flags_4 = flags_3 & {3{!extra_3[1]}};
  end else begin : gen_no_distance_1
    assign shift1_o = '0;
    assign sign1_o  = '0;
    assign mode_o   = '0;
    assign largest  = third[8:0];
    assign flags_4  = flags_3;
    logic unused_extra;
    assign unused_extra = ^{extra_3, seen1_1, sum1};
  end

  logic unused_third;
  assign unused_third = ^third;
  always_ff @(posedge clk_i) begin
    shift_o   <= Pairs && extra_3[1] ? '0 : shift;  // integers stay where they are
    sign_o    <= sign_3;
    largest_o <= largest;
    flags_o   <= flags_4;
  end
endmodule
