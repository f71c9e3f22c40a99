// A row of the PE array's tiles: ColGroups column groups of G columns, one dot_pe (D rows) high.
//
// Moving data and weights enter from the west and leave registered to the east, sums run from north to south. A
// tile is the unit of hierarchical verilation: one compiled model serves all tiles of a large array.
// Timing  column group c works a cycle after c-1: its PEs see bits c and up of v_i, w_shift_i and w_swap_i.
// Model   sim/model/column_sum.hpp       Test  tb/tensor/pe_array_test.cpp
`default_nettype none
// Hierarchical verilation reads the block's file ahead of the packages.
`include "array_pkg.sv"
module pe_tile #(
  parameter  int unsigned ColGroups = 2,
  parameter  int unsigned D         = 16,  // rows
  parameter  int unsigned G         = 8,   // columns that share a broadcast
  parameter  int unsigned Frac      = array_pkg::Frac,
  parameter  int unsigned SumW      = 33,
  parameter  logic [6:0]  Cuts      = array_pkg::Cuts,
  parameter  bit          Fast      = array_pkg::Fast,
  parameter  bit          Pairs     = 1'b0,
  localparam int unsigned ExpW      = Pairs ? 12 : 9,   // of a row: {lane 1: sign, exponent[4:3]}, sign, exponent
  localparam int unsigned SigW      = Pairs ? 37 : 18,  // {second int8 with triple, bits 5:4 of the upper triple},
                                                        // 3 * significand, significand
  localparam int unsigned Cols      = ColGroups * G,
  localparam int unsigned Early     = array_pkg::EarlyCycles(Cuts),
  localparam int unsigned Steps     = Early + array_pkg::LateCycles(Cuts) + array_pkg::MergeCycles(Cuts)
) (
  input  logic                       clk_i,
  input  logic [Steps+ColGroups-2:0] v_i,        // bit k: the moving column at step k is valid
  input  logic [Early+ColGroups-1:0] w_shift_i,  // bit k: weights move east at step k
  input  logic [Early+ColGroups-1:0] w_swap_i,   // bit k: shadow weights become active at step k
  input  logic [2*(Early+ColGroups)-1:0] mode_i,  // entry k: mode of the moving column at step k, 0 without Pairs
  input  logic [D*ExpW-1:0]          xe_i,       // {lane 1, signs, exponents}, step 0
  input  logic [D*SigW-1:0]          xm_i,       // {lane 1, 3 * significands, significands}, step Early
  output logic [D*ExpW-1:0]          xe_o,       // the same ColGroups cycles later
  output logic [D*SigW-1:0]          xm_o,
  input  logic [D*ExpW-1:0]          we_i,       // {lane 1, signs, exponents}
  input  logic [D*8-1:0]             wm_i,       // significands
  output logic [D*ExpW-1:0]          we_o,
  output logic [D*8-1:0]             wm_o,
  input  logic [Cols*9-1:0]          n_exp_i,
  input  logic [Cols*SumW-1:0]       n_sum_i,
  input  logic [Cols*3-1:0]          n_flags_i,
  output logic [Cols*9-1:0]          s_exp_o,
  output logic [Cols*SumW-1:0]       s_sum_o,
  output logic [Cols*3-1:0]          s_flags_o
);
  /*verilator hier_block*/
  for (genvar c = 0; c < ColGroups; c++) begin : gen_group
    // Moving data of this group, and the register towards the next one.
    logic [D*ExpW-1:0] xe, xe_q;
    logic [D*SigW-1:0] xm, xm_q;
    logic [D-1:0]    xnz, xinf;
    logic [D*ExpW-1:0] we_west, we_b_q;
    logic [D*8-1:0]  wm_west, wm_b_q;
    if (c == 0) begin : gen_west
      assign xe      = xe_i;
      assign xm      = xm_i;
      assign we_west = we_i;
      assign wm_west = wm_i;
    end else begin : gen_inner
      assign xe      = gen_group[c-1].xe_q;
      assign xm      = gen_group[c-1].xm_q;
      assign we_west = gen_group[c-1].we_b_q;
      assign wm_west = gen_group[c-1].wm_b_q;
    end
    always_ff @(posedge clk_i) begin
      if (v_i[c])       xe_q <= xe;
      if (v_i[Early+c]) xm_q <= xm;
    end
    // What the PEs of the group share: flags of x, and where its bits lie in the present mode.
    logic [1:0]      mode;
    logic [D*8-1:0]  x_exp, x_sig;
    logic [D*10-1:0] x_triple;
    logic [D*8-1:0]  xp;
    logic [D*35-1:0] xq;
    assign mode = mode_i[2*c +: 2];
    always_comb begin
      for (int unsigned i = 0; i < D; i++) begin
        xnz[i]  = x_exp[8*i +: 8] != '0;
        xinf[i] = xe[8*i +: 8] == '1 || (x_exp[8*i +: 8] == 8'd31 && mode[0]);
      end
    end
    if (Pairs) begin : gen_pairs
      logic split;  // fp8, step Early
      assign split = mode_i[2*(Early+c)];
      always_comb begin
        logic [4:0] e1;
        logic [9:0] t;
        logic [1:0] high;  // bits 5:4 of the upper multiple
        for (int unsigned i = 0; i < D; i++) begin
          e1 = {xe[9*D+3*i +: 2], xe[8*i+5 +: 3]} & {5{mode[0]}};
          x_exp[8*i +: 8] = {xe[8*i+5 +: 3] & {3{!mode[0]}}, xe[8*i +: 5]};
          xp[8*i +: 8]    = {xe[9*D+3*i+2], e1 == '1, e1 != '0, e1};
          t    = xm[8*D+10*i +: 10];
          high = xm[18*D+19*i +: 2];
          x_sig[8*i +: 8]      = {xm[8*i+4 +: 4] & {4{!split}}, xm[8*i +: 4]};
          x_triple[10*i +: 10] = {t[9:6] & {4{!split}}, t[5:0]};
          xq[35*i +: 35] = {xm[18*D+19*i+2 +: 17], t[9:6], high, t[3:0] & {4{!split}},
                            xm[8*i+4 +: 4], xm[8*i +: 4] & {4{!split}}};
        end
      end
    end else begin : gen_single
      assign x_exp    = xe[D*8-1:0];
      assign x_sig    = xm[D*8-1:0];
      assign x_triple = xm[D*18-1:D*8];
      assign xp = '0;
      assign xq = '0;
      logic unused_mode;
      assign unused_mode = ^mode_i;
    end

    for (genvar j = 0; j < G; j++) begin : gen_pe
      localparam int unsigned Col = G * c + j;
      logic [D*ExpW-1:0] we_in, we_east;
      logic [D*3-1:0]    wp_in, wp_east;
      logic [D*8-1:0] wm_in, wm_east;
      if (j == 0) begin : gen_w_west
        assign we_in = we_west;
        assign wm_in = wm_west;
      end else begin : gen_w_pe
        assign we_in = gen_group[c].gen_pe[j-1].we_east;
        assign wm_in = gen_group[c].gen_pe[j-1].wm_east;
      end
      if (Pairs) begin : gen_pair_weights
        assign wp_in = we_in[D*ExpW-1 -: D*3];
        assign we_east[D*ExpW-1 -: D*3] = wp_east;
      end else begin : gen_no_pair_weights
        logic unused_wp;
        assign unused_wp = ^wp_east;
        assign wp_in = '0;
      end
      dot_pe #(.D(D), .Frac(Frac), .SumW(SumW), .Cuts(Cuts), .Fast(Fast), .Pairs(Pairs)) u_pe (
        .clk_i,
        .we_shift_i (w_shift_i[c]),
        .we_swap_i  (w_swap_i[c]),
        .wm_shift_i (w_shift_i[Early+c]),
        .wm_swap_i  (w_swap_i[Early+c]),
        .we_i       (we_in[D*8-1:0]),
        .ws_i       (we_in[D*9-1:D*8]),
        .wm_i       (wm_in),
        .we_o       (we_east[D*8-1:0]),
        .ws_o       (we_east[D*9-1:D*8]),
        .wm_o       (wm_east),
        .wp_i       (wp_in),
        .wp_o       (wp_east),
        .mode_i     (mode),
        .v_i        (v_i[c +: Steps]),
        .xe_i       (x_exp),
        .xnz_i      (xnz),
        .xinf_i     (xinf),
        .xs_i       (xe[D*9-1:D*8]),
        .xm_i       (x_sig),
        .xt_i       (x_triple),
        .xp_i       (xp),
        .xq_i       (xq),
        .n_exp_i    (n_exp_i[9*Col +: 9]),
        .n_sum_i    (n_sum_i[SumW*Col +: SumW]),
        .n_flags_i  (n_flags_i[3*Col +: 3]),
        .s_exp_o    (s_exp_o[9*Col +: 9]),
        .s_sum_o    (s_sum_o[SumW*Col +: SumW]),
        .s_flags_o  (s_flags_o[3*Col +: 3])
      );
    end
    // Weights cross to the next column group through a register, as moving data does.
    always_ff @(posedge clk_i) begin
      if (w_shift_i[c])       we_b_q <= gen_group[c].gen_pe[G-1].we_east;
      if (w_shift_i[Early+c]) wm_b_q <= gen_group[c].gen_pe[G-1].wm_east;
    end
  end
  assign xe_o = gen_group[ColGroups-1].xe_q;
  assign xm_o = gen_group[ColGroups-1].xm_q;
  assign we_o = gen_group[ColGroups-1].we_b_q;
  assign wm_o = gen_group[ColGroups-1].wm_b_q;
endmodule
