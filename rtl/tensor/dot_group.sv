// Dot product of D pairs with a common exponent, as it is synthesised: exponents, multipliers, alignment, one sum.
//
//   exponents --- dot_exponent: add, maximum, distances ---[shift]---+
//                                                                     v
//   significands ------------------------ multiply --[CutProd]-- align, negate -- add up ---[reg]--> sum
//
// With Pairs the high and the low byte of a row's product are aligned and added as two rows of the sum. A bf16 product
// is both; two fp8 products are one each, as the multiplier's digits split 4 x 4; of two int8 products each is a
// row, the second from a multiplier of its own.
// Written for area (docs/blocks/pe_array.md, how it works; figures in docs/exploration.md). A simulator takes
// dot_group_model or pair_group_model, which compute the same in fewer operations; tests run on all.
// Timing  exponents at step 0, significands at step Early, exp_o at step Early+Late-1, sum_o and flags_o at
//         Early+Late (array_pkg). One dot product each cycle; nothing holds, valid or not.
// Model   sim/model/column_sum.hpp (AddGroup)      Test  tb/tensor/pe_array_test.cpp
`default_nettype none
module dot_group #(
  parameter  int unsigned D     = 16,  // a power of two, 1..32
  parameter  int unsigned Frac  = 12,  // bits kept below a product's last bit, at most 12
  parameter  logic [6:0]  Cuts  = array_pkg::Cuts,
  parameter  bit          Fast  = array_pkg::Fast,
  parameter  bit          Pairs = 1'b0,
  localparam int unsigned Late  = array_pkg::LateCycles(Cuts),
  localparam int unsigned SumW  = 17 + Frac + $clog2(D) + 32'(Pairs)
) (
  input  logic              clk_i,
  input  logic [1:0]        mode_i,    // {int8 pairs, fp8 pairs}
  input  logic [D*8-1:0]    xe_i,      // exponents of x: 0 zero, 255 infinity
  input  logic [D-1:0]      xnz_i,     // x is not zero
  input  logic [D-1:0]      xinf_i,    // x is infinite
  input  logic [D-1:0]      xs_i,      // signs
  input  logic [D*8-1:0]    xm_i,      // significands
  input  logic [D*10-1:0]   xt_i,      // three times the significands
  input  logic [D*8-1:0]    we_i,      // with xe_i
  input  logic [D-1:0]      ws_i,
  input  logic [D*8-1:0]    wm_i,      // with xm_i
  // Pairs only; a row's part of each:
  input  logic [D*8-1:0]    xp_i,      // with xe_i, lane 1: {sign, infinite, not zero, exponent[5]}, of int8 its sign
  input  logic [D*3-1:0]    wp_i,      // {sign, exponent[4:3]}, the rest is in bits 7:5 of we_i
  input  logic [D*35-1:0]   xq_i,      // with xm_i: {triple, second int8 or 0, triple and x for wm_i's upper digits}
  input  logic [D*8-1:0]    wb_i,      // with wm_i: second int8 number
  output logic [8:0]        exp_o,     // largest exponent of a product, 0 if all are zero
  output logic [SumW-1:0]   sum_o,     // two's complement; value = sum * 2^(exp - 268 - Frac)
  output logic [2:0]        flags_o    // infinity times zero, +infinity, -infinity
);
  localparam int unsigned MagW = 16 + Frac;

  if (D > 32 || (D & (D - 1)) != 0 || Frac > 12) begin : gen_bad_size
    $error("dot_group: D must be a power of two up to 32, Frac at most 12");
  end

  if (array_pkg::EarlyCycles(Cuts) == 0) begin : gen_bad_cuts
    $error("dot_group: CutProd goes with CutExp, CutMax or CutLast");
  end

  logic [D*5-1:0] shift;
  logic [D-1:0]   sign;
  logic [8:0]     largest;
  logic [2:0]     flags;
  logic [1:0]     mode;
  logic [D*5-1:0] shift1;
  logic [D-1:0]   sign1;
  dot_exponent #(.D(D), .Cuts(Cuts), .Fast(Fast), .Pairs(Pairs)) u_exponent (
    .clk_i,
    .mode_i,
    .xe_i,
    .xnz_i,
    .xinf_i,
    .xs_i,
    .we_i,
    .ws_i,
    .xp_i,
    .wp_i,
    .mode_o    (mode),
    .shift_o   (shift),
    .sign_o    (sign),
    .shift1_o  (shift1),
    .sign1_o   (sign1),
    .largest_o (largest),
    .flags_o   (flags)
  );

  function automatic logic [9:0] digit(input logic [1:0] d, input logic [7:0] x,
                                       input logic [9:0] triple);
    digit = ({10{d == 2'd1}} & {2'b0, x}) | ({10{d == 2'd2}} & {1'b0, x, 1'b0})
          | ({10{d == 2'd3}} & triple);
  endfunction

  // Product by base-4 digits of w; the triple of x comes ready-made, shared by all columns of the broadcast.
  // Four rows of digits: two levels of carry-save, a carry-propagate adder.
  function automatic logic [15:0] add_rows(input logic [15:0] r0, input logic [15:0] r1, input logic [15:0] r2,
                                           input logic [15:0] r3);
    logic [15:0] half, s1, c1, s2, c2;
    logic        carry;
    half = r0 ^ r1;
    s1   = half ^ r2;
    c1   = ((r0 & r1) | (r2 & half)) << 1;
    half = s1 ^ r3;
    s2   = half ^ c1;
    c2   = ((s1 & r3) | (c1 & half)) << 1;
    carry = 1'b0;
    for (int unsigned i = 0; i < 16; i++) begin
      add_rows[i] = s2[i] ^ c2[i] ^ carry;
      carry = (s2[i] & c2[i]) | (carry & (s2[i] ^ c2[i]));
    end
    if (Fast) add_rows = 16'(array_pkg::PrefixAdd(40'(s2), 40'(c2), 1'b0));
  endfunction
  // Product by base-4 digits of w; the triple of x comes ready-made, shared by all columns of the broadcast. The upper
  // two digits take their own multiples, the same ones but for fp8 pairs.
  function automatic logic [15:0] product(input logic [7:0] x, input logic [9:0] triple,
                                          input logic [7:0] x1, input logic [9:0] triple1, input logic [7:0] w);
    product = add_rows(16'(digit(w[1:0], x, triple)), 16'(digit(w[3:2], x, triple)) << 2,
                       16'(digit(w[5:4], x1, triple1)) << 4, 16'(digit(w[7:6], x1, triple1)) << 6);
  endfunction
  // The second product of int8 pairs: magnitudes up to 128, so the upper digit is never 3.
  function automatic logic [14:0] product_int8(input logic [7:0] x, input logic [8:0] triple, input logic [7:0] w);
    logic [8:0] last;
    last = ({9{w[6]}} & {1'b0, x}) | ({9{w[7]}} & {x, 1'b0});
    product_int8 = 15'(add_rows(16'(digit(w[1:0], x, {1'b0, triple})), 16'(digit(w[3:2], x, {1'b0, triple})) << 2,
                                16'(digit(w[5:4], x, {1'b0, triple})) << 4, 16'(last) << 6));
  endfunction
  localparam int unsigned ProdW = Pairs ? 31 : 16;  // {second int8 product, product}
  logic [D*ProdW-1:0] prod, prod_1;
  always_comb begin : multiply
    logic [7:0] x, w;
    logic [9:0] t;
    for (int unsigned i = 0; i < D; i++) begin
      x = xm_i[8*i +: 8];
      t = xt_i[10*i +: 10];
      w = wm_i[8*i +: 8];
      if (Pairs) begin
        prod[ProdW*i +: 16] = product(x, t, xq_i[35*i +: 8], xq_i[35*i+8 +: 10], w);
        prod[ProdW*i+16 +: 15] = product_int8(xq_i[35*i+18 +: 8], xq_i[35*i+26 +: 9], wb_i[8*i +: 8]);
      end else begin
        prod[ProdW*i +: 16] = product(x, t, x, t, w);
      end
    end
  end
  if (Cuts[array_pkg::CutProd]) begin : gen_cut_prod
    // In the step in which dot_exponent finds the distances.
    logic [D*ProdW-1:0] prod_q;
    always_ff @(posedge clk_i) prod_q <= prod;
    assign prod_1 = prod_q;
  end else begin : gen_no_cut_prod
    assign prod_1 = prod;
  end

  // Aligned magnitudes lose bits toward zero. Negative ones are inverted, the one that is missing comes as a row's
  // single bit; the inverted sign above the magnitude is its sign extension but for a constant, subtracted below.
  localparam int unsigned Lanes = 1 + 32'(Pairs);
  localparam int unsigned RowW  = MagW + 1;
  logic [Lanes*D*RowW-1:0] rows;
  logic [Lanes*D-1:0]      ones;
  if (Pairs) begin : gen_align_bytes
    function automatic logic [14:0] fine(input logic [7:0] p, input logic [2:0] by);
      fine = {p, 7'b0} >> by;
    endfunction
    // A byte at one of four places (none: it is gone), or 16 bits at the top.
    function automatic logic [MagW-1:0] placed(input logic [14:0] f, input logic [3:0] at, input logic whole,
                                               input logic [15:0] p);
      logic [38:0] wide;
      logic        unused_wide;
      wide   = ({f, 24'b0} & {39{at[0]}}) | ({8'b0, f, 16'b0} & {39{at[1]}}) | ({16'b0, f, 8'b0} & {39{at[2]}})
             | ({24'b0, f} & {39{at[3]}}) | ({p, 23'b0} & {39{whole}});
      placed = wide[38 -: MagW];
      unused_wide = ^wide;
    endfunction
    function automatic logic [3:0] place(input logic [1:0] by);
      place = {by == 2'd3, by == 2'd2, by == 2'd1, by == 2'd0};
    endfunction
    always_comb begin : align
      logic [3:0]      at, at1;
      logic [4:0]      by, by1;
      logic [1:0]      neg;
      logic [MagW-1:0] mag, mag1;
      for (int unsigned i = 0; i < D; i++) begin
        by   = shift[5*i +: 5];
        by1  = mode[0] ? shift1[5*i +: 5] : by;
        at   = place(by[4:3]);
        at1  = mode[0] ? place(by1[4:3]) : {at[2:0] & {3{!mode[1]}}, 1'b0};
        mag  = placed(fine(prod_1[ProdW*i+8 +: 8], by[2:0]), at, mode[1], {8'b0, prod_1[ProdW*i +: 8]});
        mag1 = placed(fine(prod_1[ProdW*i +: 8], by1[2:0]), at1, mode[1], {1'b0, prod_1[ProdW*i+16 +: 15]});
        neg  = {sign1[i], sign[i]};
        rows[RowW*2*i +: RowW]     = {!neg[0], mag ^ {MagW{neg[0]}}};
        rows[RowW*(2*i+1) +: RowW] = {!neg[1], mag1 ^ {MagW{neg[1]}}};
        ones[2*i +: 2]             = neg;
      end
    end
  end else begin : gen_align
    function automatic logic [MagW-1:0] aligned(input logic [15:0] p, input logic [4:0] by);
      // Small steps first, on few bits; the large ones as one choice of four.
      logic [22:0]   fine;
      logic [35:0]   wide;
      fine = {p, 7'b0} >> by[2:0];
      wide = {fine, 13'b0};
      wide = (wide & {36{by[4:3] == 2'd0}}) | ((wide >> 8) & {36{by[4:3] == 2'd1}})
           | ((wide >> 16) & {36{by[4:3] == 2'd2}}) | ((wide >> 24) & {36{by[4:3] == 2'd3}});
      aligned = wide[35 -: MagW];
    endfunction
    always_comb begin : align
      logic [MagW-1:0] mag;
      for (int unsigned i = 0; i < D; i++) begin
        mag = aligned(prod_1[16*i +: 16], shift[5*i +: 5]);
        rows[RowW*i +: RowW] = {!sign[i], mag ^ {MagW{sign[i]}}};
      end
    end
    assign ones = sign;
    logic unused_pairs;
    assign unused_pairs = ^{mode, shift1, sign1, xq_i, wb_i};
  end
  logic [SumW-1:0] raw, sum_q;
  carry_save_sum #(
    .N(Lanes * D), .W(RowW), .O(SumW), .CutTree(Cuts[array_pkg::CutTree]), .CutAdd(Cuts[array_pkg::CutAdd]),
    .Fast(Fast)
  ) u_sum (
    .clk_i, .rows_i (rows), .ones_i (ones), .sum_o (raw)
  );
  always_ff @(posedge clk_i) sum_q <= {raw[SumW-1:MagW] - (SumW-MagW)'(Lanes * D), raw[MagW-1:0]};
  assign sum_o = sum_q;

  // Exponent and flags wait for the sum; the exponent is wanted a cycle before it.
  localparam int unsigned Wait = Late - 32'(Cuts[array_pkg::CutProd]);
  logic [11:0] wait_q [Wait];
  always_ff @(posedge clk_i) begin
    wait_q[0] <= {flags, largest};
    for (int unsigned k = 1; k < Wait; k++) wait_q[k] <= wait_q[k-1];
  end
  if (Wait == 1) begin : gen_now
    assign exp_o = largest;
  end else begin : gen_later
    assign exp_o = wait_q[Wait-2][8:0];
  end
  logic unused_exp;
  assign unused_exp = ^wait_q[Wait-1][8:0];
  assign flags_o    = wait_q[Wait-1][11:9];
endmodule
