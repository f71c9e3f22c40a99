// Processing element: dot product of D floating-point pairs, added to the partial sum from the north.
//
//   x exponents ------+                                 north exponent --+         north sum --+
//                     v                                                  v                     v
//   w (shadow, active) --- dot_group: one sum, one exponent ---> larger exponent, distance --> shift, add ---> south
//                     ^
//   x significands ---+
//
// Nothing is normalised or rounded: the sum stays a two's-complement number beside its exponent until the foot of
// the column. Exponents run ahead of the significands, so that only shift amounts are stored a product.
// An operand is (-1)^sign * significand * 2^(exponent - 134): exponent 0 is zero, 255 infinity; 8 significand bits with
// the leading one explicit, so that subnormals, fp8 and int8 need nothing of their own. NaN never comes here.
// Timing  with Early, Late, Merge as in array_pkg: exponents enter at step 0 (v_i[0]), significands at step Early,
//         the north at step Early + Late, its exponent a step before; south follows the north by Merge cycles.
// Model   sim/model/column_sum.hpp (AddGroup)      Test  tb/tensor/pe_array_test.cpp
`default_nettype none
module dot_pe #(
  parameter  int unsigned D     = 16,  // pairs per PE: a power of two, 1..32
  parameter  int unsigned Frac  = 12,  // bits kept below a product's last bit, at most 12
  parameter  int unsigned SumW  = 33,  // bits of the partial sum: array_pkg::SumBits
  parameter  logic [6:0]  Cuts  = array_pkg::Cuts,
  // 1: the merge's registers hold in bubbles, which saves a simulator the work; 0: they follow the operands, which hold
  // themselves, and save the area of an enable. Results are the same.
`ifdef YOSYS
  parameter  bit          Hold  = 1'b0,
`else
  parameter  bit          Hold  = 1'b1,
`endif
  parameter  bit          Fast  = array_pkg::Fast,
  parameter  bit          Pairs = 1'b0,  // 8-bit operands in pairs at twice the rate
  localparam int unsigned Early = array_pkg::EarlyCycles(Cuts),
  localparam int unsigned Late  = array_pkg::LateCycles(Cuts),
  localparam int unsigned Merge = array_pkg::MergeCycles(Cuts),
  localparam int unsigned Steps = Early + Late + Merge
) (
  input  logic             clk_i,
  input  logic             we_shift_i,  // exponents: take we_i into the shadow weights
  input  logic             we_swap_i,   // exponents: shadow weights (as before this cycle) become active
  input  logic             wm_shift_i,  // significands: the same, Early cycles later
  input  logic             wm_swap_i,
  input  logic [D*8-1:0]   we_i,        // exponents
  input  logic [D-1:0]     ws_i,        // signs, with the exponents
  input  logic [D*8-1:0]   wm_i,        // significands
  input  logic [D*3-1:0]   wp_i,        // with Pairs, and the exponents: {sign, exponent[4:3]} of lane 1
  output logic [D*8-1:0]   we_o,        // shadow weights, to the east
  output logic [D-1:0]     ws_o,
  output logic [D*8-1:0]   wm_o,
  output logic [D*3-1:0]   wp_o,
  input  logic [1:0]       mode_i,      // step 0: array_pkg, 0 without Pairs
  input  logic [Steps-1:0] v_i,         // bit k: the data of step k is valid
  input  logic [D*8-1:0]   xe_i,        // step 0: exponents,
  input  logic [D-1:0]     xnz_i,       //         whether they are not zero
  input  logic [D-1:0]     xinf_i,      //         or 255, once for all columns of the broadcast,
  input  logic [D-1:0]     xs_i,        //         and signs
  input  logic [D*8-1:0]   xm_i,        // step Early: significands and
  input  logic [D*10-1:0]  xt_i,        //         three times them
  input  logic [D*8-1:0]   xp_i,        // step 0, Pairs: see dot_group
  input  logic [D*35-1:0]  xq_i,        // step Early, Pairs
  input  logic [8:0]       n_exp_i,     // step Early + Late - 1; 0: nothing added yet
  input  logic [SumW-1:0]  n_sum_i,     // step Early + Late; value = sum * 2^(exp - 268 - Frac)
  input  logic [2:0]       n_flags_i,   // NaN, +infinity, -infinity seen
  output logic [8:0]       s_exp_o,
  output logic [SumW-1:0]  s_sum_o,
  output logic [2:0]       s_flags_o
);
  localparam int unsigned GroupW = 17 + Frac + $clog2(D) + 32'(Pairs);

  if (SumW < GroupW) begin : gen_bad_size
    $error("dot_pe: SumW must be at least 17 + Frac + log2 D, one more with Pairs");
  end

  // ------------------------------------------------------------------------------------------ weights
  // No reset: they are loaded before they are used.
  logic [D*8-1:0] we_shadow_q, we_q, wm_shadow_q, wm_q;
  logic [D-1:0]   ws_shadow_q, ws_q;
  always_ff @(posedge clk_i) begin
    if (we_shift_i) {ws_shadow_q, we_shadow_q} <= {ws_i, we_i};
    if (we_swap_i)  {ws_q, we_q} <= {ws_shadow_q, we_shadow_q};
    if (wm_shift_i) wm_shadow_q <= wm_i;
    if (wm_swap_i)  wm_q <= wm_shadow_q;
  end
  // Lane 1 of pairs. Its int8 number lies in the exponent's place and is wanted with the significands.
  logic [D*3-1:0] wp_q;
  logic [D*8-1:0] wb;
  if (Pairs) begin : gen_pair_weights
    logic [D*3-1:0] wp_shadow_q;
    logic [D*8-1:0] wb_q [Early];
    always_ff @(posedge clk_i) begin
      if (we_shift_i) wp_shadow_q <= wp_i;
      if (we_swap_i)  wp_q <= wp_shadow_q;
      wb_q[0] <= we_q;
      for (int unsigned k = 1; k < Early; k++) wb_q[k] <= wb_q[k-1];
    end
    assign wp_o = wp_shadow_q;
    assign wb   = wb_q[Early-1];
  end else begin : gen_no_pair_weights
    assign wp_q = '0;
    assign wp_o = '0;
    assign wb   = '0;
    logic unused_pairs;
    assign unused_pairs = ^{wp_i, mode_i, xp_i, xq_i};
  end
  assign we_o = we_shadow_q;
  assign ws_o = ws_shadow_q;
  assign wm_o = wm_shadow_q;

  // -------------------------------------------------------------------------------------------- group
  logic [8:0]        group_exp;    // step Early + Late - 1
  logic [GroupW-1:0] group_sum;    // step Early + Late
  logic [2:0]        group_flags;
`ifdef YOSYS
  dot_group #(.D(D), .Frac(Frac), .Cuts(Cuts), .Fast(Fast), .Pairs(Pairs)) u_group (
    .clk_i,
    .mode_i,
    .xe_i,
    .xnz_i,
    .xinf_i,
    .xs_i,
    .xm_i,
    .xt_i,
    .we_i    (we_q),
    .ws_i    (ws_q),
    .wm_i    (wm_q),
    .xp_i,
    .wp_i    (wp_q),
    .xq_i,
    .wb_i    (wb),
    .exp_o   (group_exp),
    .sum_o   (group_sum),
    .flags_o (group_flags)
  );
`else
  logic unused_shared;
  assign unused_shared = ^{xnz_i, xinf_i, xt_i};
  if (Pairs) begin : gen_pair_model
    pair_group_model #(.D(D), .Frac(Frac), .Cuts(Cuts)) u_group (
      .clk_i,
      .v_i     (v_i[Early+Late-1:0]),
      .mode_i,
      .xe_i,
      .xs_i,
      .xm_i,
      .we_i    (we_q),
      .ws_i    (ws_q),
      .wm_i    (wm_q),
      .xp_i,
      .wp_i    (wp_q),
      .xq_i,
      .wb_i    (wb),
      .exp_o   (group_exp),
      .sum_o   (group_sum),
      .flags_o (group_flags)
    );
  end else begin : gen_model
    dot_group_model #(.D(D), .Frac(Frac), .Cuts(Cuts)) u_group (
      .clk_i,
      .v_i     (v_i[Early+Late-1:0]),
      .xe_i,
      .xs_i,
      .xm_i,
      .we_i    (we_q),
      .ws_i    (ws_q),
      .wm_i    (wm_q),
      .exp_o   (group_exp),
      .sum_o   (group_sum),
      .flags_o (group_flags)
    );
    logic unused_pair_weights;
    assign unused_pair_weights = ^{wp_q, wb};
  end
`endif

  // -------------------------------------------------------------------------------------------- merge
  // The one with the smaller exponent is shifted, toward minus infinity. Exponents meet a cycle ahead of the sums.
  logic       north_big, north_big_q;
  logic [8:0] top, distance;
  logic [5:0] distance_q;
  logic [8:0] exp_q [Merge];
  if (Fast) begin : gen_two_distances
    logic [8:0] over, under;
    assign north_big = array_pkg::Above(n_exp_i, group_exp);
    assign over      = 9'(array_pkg::PrefixAdd(40'(n_exp_i), {31'b0, ~group_exp}, 1'b1));
    assign under     = 9'(array_pkg::PrefixAdd(40'(group_exp), {31'b0, ~n_exp_i}, 1'b1));
    assign distance  = north_big ? over : under;
  end else begin : gen_one_distance
    assign north_big = n_exp_i > group_exp;
    assign distance  = top - (north_big ? group_exp : n_exp_i);
  end
  assign top = north_big ? n_exp_i : group_exp;
  always_ff @(posedge clk_i) begin
    if (!Hold || v_i[Early+Late-1]) begin
      north_big_q <= north_big;
      distance_q  <= distance[5:0] | {6{|distance[8:6]}};
      exp_q[0]    <= top;
    end
    for (int unsigned k = 1; k < Merge; k++) if (!Hold || v_i[Early+Late-1+k]) exp_q[k] <= exp_q[k-1];
  end

  logic signed [SumW-1:0] kept, moved, shifted;
  assign kept     = north_big_q ? n_sum_i : SumW'($signed(group_sum));
  assign moved   = north_big_q ? SumW'($signed(group_sum)) : n_sum_i;
  assign shifted = moved >>> distance_q;

  logic [SumW-1:0] kept_1, shifted_1;
  logic [2:0]      flags_1;
  if (Cuts[array_pkg::CutMerge]) begin : gen_cut_merge
    logic [SumW-1:0] kept_q, shifted_q;
    logic [2:0]      flags_q;
    always_ff @(posedge clk_i) begin
      if (!Hold || v_i[Early+Late]) begin
        kept_q     <= kept;
        shifted_q <= shifted;
        flags_q   <= n_flags_i | group_flags;
      end
    end
    assign {kept_1, shifted_1, flags_1} = {kept_q, shifted_q, flags_q};
  end else begin : gen_no_cut_merge
    assign {kept_1, shifted_1, flags_1} = {kept, shifted, n_flags_i | group_flags};
  end

  logic [SumW-1:0] sum, sum_q;
  logic [2:0]      flags_q;
  if (Fast) begin : gen_prefix_add
    assign sum = SumW'(array_pkg::PrefixAdd(40'(kept_1), 40'(shifted_1), 1'b0));
  end else begin : gen_add
    assign sum = kept_1 + shifted_1;
  end
  always_ff @(posedge clk_i) begin
    if (!Hold || v_i[Steps-1]) begin
      sum_q   <= sum;
      flags_q <= flags_1;
    end
  end
  assign s_exp_o   = exp_q[Merge-1];
  assign s_sum_o   = sum_q;
  assign s_flags_o = flags_q;
endmodule
