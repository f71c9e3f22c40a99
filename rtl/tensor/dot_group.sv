// Dot product of D pairs with a common exponent, as it is synthesised: exponents, multipliers, alignment, one sum.
//
//   exponents --- dot_exponent: add, maximum, distances ---[shift]---+
//                                                                     v
//   significands ------------------------ multiply --[CutProd]-- align, negate -- add up ---[reg]--> sum
//
// Written for area: products by base-4 digits of w with the triple of x ready-made, alignment in small steps
// first, full adders in the form that maps best (docs/blocks/pe_array.md has the measurements). A simulator takes
// dot_group_model, which computes the same in fewer operations; tests run on both.
// Timing  exponents at step 0, significands at step Early, exp_o at step Early+Late-1, sum_o and flags_o at
//         Early+Late (array_pkg). One dot product each cycle; nothing holds, valid or not.
// Model   sim/model/column_sum.hpp (AddGroup)      Test  tb/tensor/pe_array_test.cpp
`default_nettype none
module dot_group #(
  parameter  int unsigned D     = 16,  // a power of two, 1..32
  parameter  int unsigned Frac  = 12,  // bits kept below a product's last bit, at most 12
  parameter  logic [6:0]  Cuts  = array_pkg::Cuts,
  parameter  bit          Fast  = array_pkg::Fast,
  localparam int unsigned Late  = array_pkg::LateCycles(Cuts),
  localparam int unsigned SumW  = 17 + Frac + $clog2(D)
) (
  input  logic              clk_i,
  input  logic [D*8-1:0]    xe_i,      // exponents of x: 0 zero, 255 infinity
  input  logic [D-1:0]      xnz_i,     // x is not zero
  input  logic [D-1:0]      xinf_i,    // x is infinite
  input  logic [D-1:0]      xs_i,      // signs
  input  logic [D*8-1:0]    xm_i,      // significands
  input  logic [D*10-1:0]   xt_i,      // three times the significands
  input  logic [D*8-1:0]    we_i,      // with xe_i
  input  logic [D-1:0]      ws_i,
  input  logic [D*8-1:0]    wm_i,      // with xm_i
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
  dot_exponent #(.D(D), .Cuts(Cuts), .Fast(Fast)) u_exponent (
    .clk_i,
    .xe_i,
    .xnz_i,
    .xinf_i,
    .xs_i,
    .we_i,
    .ws_i,
    .shift_o   (shift),
    .sign_o    (sign),
    .largest_o (largest),
    .flags_o   (flags)
  );

  function automatic logic [9:0] digit(input logic [1:0] d, input logic [7:0] x,
                                       input logic [9:0] triple);
    digit = ({10{d == 2'd1}} & {2'b0, x}) | ({10{d == 2'd2}} & {1'b0, x, 1'b0})
          | ({10{d == 2'd3}} & triple);
  endfunction

  // Product by base-4 digits of w; the triple of x comes ready-made, shared by all columns of the broadcast.
  function automatic logic [15:0] product(input logic [7:0] x, input logic [9:0] triple, input logic [7:0] w);
    logic [15:0] r0, r1, r2, r3, half, s1, c1, s2, c2;
    logic        carry;
    r0   = 16'(digit(w[1:0], x, triple));
    r1   = 16'(digit(w[3:2], x, triple)) << 2;
    r2   = 16'(digit(w[5:4], x, triple)) << 4;
    r3   = 16'(digit(w[7:6], x, triple)) << 6;
    half = r0 ^ r1;
    s1   = half ^ r2;
    c1   = ((r0 & r1) | (r2 & half)) << 1;
    half = s1 ^ r3;
    s2   = half ^ c1;
    c2   = ((s1 & r3) | (c1 & half)) << 1;
    carry = 1'b0;
    for (int unsigned i = 0; i < 16; i++) begin
      product[i] = s2[i] ^ c2[i] ^ carry;
      carry = (s2[i] & c2[i]) | (carry & (s2[i] ^ c2[i]));
    end
    if (Fast) product = 16'(array_pkg::PrefixAdd(40'(s2), 40'(c2), 1'b0));
  endfunction
  logic [D*16-1:0] prod, prod_1;
  always_comb begin
    for (int unsigned i = 0; i < D; i++) begin
      prod[16*i +: 16] = product(xm_i[8*i +: 8], xt_i[10*i +: 10], wm_i[8*i +: 8]);
    end
  end
  if (Cuts[array_pkg::CutProd]) begin : gen_cut_prod
    // In the step in which dot_exponent finds the distances.
    logic [D*16-1:0] prod_q;
    always_ff @(posedge clk_i) prod_q <= prod;
    assign prod_1 = prod_q;
  end else begin : gen_no_cut_prod
    assign prod_1 = prod;
  end

  // Aligned magnitudes lose bits toward zero. Negative ones are inverted, the one that is missing comes as a row's
  // single bit; the inverted sign above the magnitude is its sign extension but for a constant, subtracted below.
  localparam int unsigned RowW = MagW + 1;
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
  logic [D*RowW-1:0] rows;
  always_comb begin : align
    logic [MagW-1:0] mag;
    for (int unsigned i = 0; i < D; i++) begin
      mag = aligned(prod_1[16*i +: 16], shift[5*i +: 5]);
      rows[RowW*i +: RowW] = {!sign[i], mag ^ {MagW{sign[i]}}};
    end
  end
  logic [SumW-1:0] raw, sum_q;
  carry_save_sum #(
    .N(D), .W(RowW), .O(SumW), .CutTree(Cuts[array_pkg::CutTree]), .CutAdd(Cuts[array_pkg::CutAdd]),
    .Fast(Fast)
  ) u_sum (
    .clk_i, .rows_i (rows), .ones_i (sign), .sum_o (raw)
  );
  always_ff @(posedge clk_i) sum_q <= {raw[SumW-1:MagW] - (SumW-MagW)'(D), raw[MagW-1:0]};
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
