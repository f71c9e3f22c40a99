// Weight-stationary PE array of Rows x Cols with a foot that rounds and accumulates under every column.
//
// D rows fuse into one dot_pe, column groups of them into a pe_tile; sums run down a row group in Merge cycles.
// Moving data and weights enter from the west; they are broadcast to G columns and registered between such groups.
// Exponents run Early cycles ahead of significands. NaN operands come as zero with a side band: one bit a moving
// column, one bit a stationary column; both join the flags at the top of their column.
// Timing  x_i (all rows) at cycle a=0: int_i, shift_i wanted at a=Latency, PSUM word and acc_i at a=Latency+2, result
//         at Latency+5 (array_pkg::Latency). swap_i comes one cycle before the x_i that first uses the new weights.
//         One column of x and one column of w each cycle; nothing stalls.
// Model   sim/model/column_sum.hpp       Test  tb/tensor/pe_array_test.cpp
`default_nettype none
module pe_array #(
  parameter  int unsigned Rows      = 16,                           // a multiple of D
  parameter  int unsigned Cols      = Rows,                         // a multiple of G
  parameter  int unsigned D         = array_pkg::DotWidth(Rows),    // rows per PE
  parameter  int unsigned G         = array_pkg::GroupCols(Cols),   // columns that share a broadcast
  parameter  int unsigned Frac      = array_pkg::Frac,
  parameter  logic [6:0]  Cuts      = array_pkg::Cuts,
  parameter  bit          Fast      = array_pkg::Fast,
  parameter  bit          Pairs     = 1'b0,                         // pairs of 8-bit operands at twice the rate
  localparam int unsigned OperandW  = array_pkg::OperandBits(Pairs)
) (
  input  logic                     clk_i,
  input  logic                     rst_ni,
  input  logic                     w_valid_i,  // shift the stationary columns east by one, w_i enters
  input  logic [Rows*OperandW-1:0] w_i,
  input  logic                     w_nan_i,    // a row of w_i holds a NaN
  input  logic                     swap_i,
  input  logic                     x_valid_i,
  input  logic [Rows*OperandW-1:0] x_i,
  input  logic                     x_nan_i,
  input  logic [1:0]               mode_i,     // with x_i: array_pkg::Mode*, those of the weights it meets as well
  input  logic                     int_i,      // integer results; at a=Latency
  input  logic [1:0]               shift_i,    // bytes by which they are shifted left
  input  logic                     acc_i,      // at a=Latency+2
  input  logic [Cols*32-1:0]       psum_i,     // at a=Latency+2
  output logic [Cols*32-1:0]       res_o       // at a=Latency+5
);
  localparam int unsigned RowGroups = Rows / D;
  localparam int unsigned ColGroups = Cols / G;
  localparam int unsigned TileCols  = ColGroups < 2 ? ColGroups : 2;  // column groups of a pe_tile
  localparam int unsigned SumW      = array_pkg::SumBits(Rows, Frac, Pairs);
  localparam int unsigned Early     = array_pkg::EarlyCycles(Cuts);
  localparam int unsigned Late      = array_pkg::LateCycles(Cuts);
  localparam int unsigned Merge     = array_pkg::MergeCycles(Cuts);
  localparam int unsigned Latency   = array_pkg::Latency(Rows, Cols, D, G, Cuts);

  if (G < 2 || (Cuts[array_pkg::CutLast] && !Cuts[array_pkg::CutMax])
      || (Cuts[array_pkg::CutProd] && !(Cuts[array_pkg::CutExp] || Cuts[array_pkg::CutMax]))
      || (Cuts[array_pkg::CutTree] && D < 8)) begin : gen_bad_cuts
    $error("pe_array: G from 2; CutLast with CutMax, CutProd with CutExp or CutMax, CutTree with D from 8");
  end
  if (Rows % D != 0 || Cols % (G * TileCols) != 0) begin : gen_bad_size
    $error("pe_array: Rows must be a multiple of D and Cols of G, beyond 2 G columns of those");
  end

  // v_q[k]: the moving column that entered k+1 cycles ago was valid. The same for NaN in it, weights and swaps.
  localparam int unsigned Steps = Latency + 4;
  logic [Steps-1:0]   v_q;
  logic [Latency-1:0] ws_q, sw_q;
  logic [Latency-1:0] x_nan_q, w_nan_q;
  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      v_q  <= '0;
      ws_q <= '0;
      sw_q <= '0;
    end else begin
      v_q  <= {v_q[Steps-2:0], x_valid_i};
      ws_q <= {ws_q[Latency-2:0], w_valid_i};
      sw_q <= {sw_q[Latency-2:0], swap_i};
    end
  end
  always_ff @(posedge clk_i) begin
    x_nan_q <= {x_nan_q[Latency-2:0], x_nan_i};
    w_nan_q <= {w_nan_q[Latency-2:0], w_nan_i};
  end

  // Weights enter a cycle ahead of the swap bits, so that a swap always finds the shadow weights settled.
  logic [Latency-1:0] ws;
  assign ws = {ws_q[Latency-2:0], w_valid_i};

  // NaN bits of the stationary columns: moved and swapped like weights, but at the step of the first merge.
  for (genvar c = 0; c < ColGroups; c++) begin : gen_nan_group
    logic [G-1:0] shadow_q, active_q;
    logic         west, cross_q;
    if (c == ColGroups - 1) begin : gen_last
      logic unused_cross;
      assign unused_cross = cross_q;
    end
    if (c == 0) begin : gen_west
      assign west = w_nan_q[Early+Late];
    end else begin : gen_inner
      assign west = gen_nan_group[c-1].cross_q;
    end
    always_ff @(posedge clk_i) begin
      if (ws_q[c+Early+Late]) {cross_q, shadow_q} <= {shadow_q, west};  // the crossing register of weights
      if (sw_q[c+Early+Late]) active_q <= ws_q[c+Early+Late] ? {shadow_q[G-2:0], west} : shadow_q;
    end
  end

  // mode[2*k +: 2]: of the moving column at step k. As long as the PEs ask for it.
  localparam int unsigned ModeSteps = (RowGroups - 1) * Merge + ColGroups + Early;
  logic [2*ModeSteps-1:0] mode;
  if (Pairs) begin : gen_mode
    logic [2*ModeSteps-1:0] mode_q;
    always_ff @(posedge clk_i) mode_q <= {mode_q[2*(ModeSteps-1)-1:0], mode_i};
    assign mode = mode_q;
  end else begin : gen_no_mode
    logic unused_mode;
    assign unused_mode = ^mode_i;
    assign mode = '0;
  end

  localparam int unsigned TileC = TileCols * G;  // columns of a tile
  localparam int unsigned ExpW  = Pairs ? 12 : 9;   // bits of a row
  localparam int unsigned SigW  = Pairs ? 37 : 18;
  for (genvar r = 0; r < RowGroups; r++) begin : gen_row
    // Skew: row group r works r * Merge cycles after the first one; step 0 is a cycle behind the port.
    localparam int unsigned First = r * Merge;
    logic [D*ExpW-1:0] xe, we;
    logic [D*SigW-1:0] xm;
    logic [D*8-1:0]    wm;
    for (genvar k = 0; k < D; k++) begin : gen_skew
      logic [8:0]  xe_q [First + 1];
      logic [7:0]  xm_q [First + Early];
      logic [17:0] xm_last_q;
      // Three times x; of two fp8 significands {of the upper one [5:2], of the lower one [5:0]}.
      logic [7:0]  sig;
      logic [9:0]  triple, stored;
      assign sig    = xm_q[First+Early-1];
      assign triple = 10'(sig) + {1'b0, sig, 1'b0};
      always_ff @(posedge clk_i) begin
        if (x_valid_i) {xe_q[0], xm_q[0]} <= x_i[OperandW*(D*r+k) +: 17];
        for (int unsigned s = 1; s < First + 1; s++) if (v_q[s-1]) xe_q[s] <= xe_q[s-1];
        for (int unsigned s = 1; s < First + Early; s++) if (v_q[s-1]) xm_q[s] <= xm_q[s-1];
        if (v_q[First+Early-1]) xm_last_q <= {stored, sig};
      end
      // Weights wait one register less than x.
      logic [OperandW-1:0] w_in;
      logic [7:0]          wm_q [First + Early];
      assign w_in = w_i[OperandW*(D*r+k) +: OperandW];
      always_ff @(posedge clk_i) begin
        if (ws[0]) wm_q[0] <= w_in[7:0];
        for (int unsigned s = 1; s < First + Early; s++) if (ws[s]) wm_q[s] <= wm_q[s-1];
      end
      if (First == 0) begin : gen_we_now
        assign {we[8*D+k], we[8*k +: 8]} = w_in[16:8];
      end else begin : gen_we_wait
        logic [8:0] we_q [First];
        always_ff @(posedge clk_i) begin
          if (ws[0]) we_q[0] <= w_in[16:8];
          for (int unsigned s = 1; s < First; s++) if (ws[s]) we_q[s] <= we_q[s-1];
        end
        assign {we[8*D+k], we[8*k +: 8]} = we_q[First-1];
      end
      if (Pairs) begin : gen_pair
        // Lane 1: the rest of fp8 exponents and signs; second int8 numbers, which lie in the exponents' place, with
        // their triples; and the two bits of a triple that fp8 pairs have twice.
        logic [2:0]  xp_q [First + 1];
        logic [7:0]  xb_q [First + Early];
        logic [18:0] xq_q;
        logic [1:0]  at_last;
        logic [5:0]  low, high;
        assign at_last = mode[2*(First+Early-1) +: 2];
        assign low    = 6'(sig[3:0]) + {1'b0, sig[3:0], 1'b0};
        assign high   = 6'(sig[7:4]) + {1'b0, sig[7:4], 1'b0};
        assign stored = at_last[0] ? {high[5:2], low} : triple;
        always_ff @(posedge clk_i) begin
          if (x_valid_i) {xp_q[0], xb_q[0]} <= {x_i[OperandW*(D*r+k)+17 +: 3], x_i[OperandW*(D*r+k)+8 +: 8]};
          for (int unsigned s = 1; s < First + 1; s++) if (v_q[s-1]) xp_q[s] <= xp_q[s-1];
          for (int unsigned s = 1; s < First + Early; s++) if (v_q[s-1]) xb_q[s] <= xb_q[s-1];
          if (v_q[First+Early-1]) begin
            xq_q <= {at_last[1] ? 9'(xb_q[First+Early-1]) + {xb_q[First+Early-1], 1'b0} : 9'd0,
                     at_last[1] ? xb_q[First+Early-1] : 8'd0, at_last[0] ? high[1:0] : triple[5:4]};
          end
        end
        assign xe[9*D+3*k +: 3]    = xp_q[First];
        assign xm[18*D+19*k +: 19] = xq_q;
        if (First == 0) begin : gen_wp_now
          assign we[9*D+3*k +: 3] = w_in[OperandW-1 -: 3];
        end else begin : gen_wp_wait
          logic [2:0] wp_q [First];
          always_ff @(posedge clk_i) begin
            if (ws[0]) wp_q[0] <= w_in[OperandW-1 -: 3];
            for (int unsigned s = 1; s < First; s++) if (ws[s]) wp_q[s] <= wp_q[s-1];
          end
          assign we[9*D+3*k +: 3] = wp_q[First-1];
        end
      end else begin : gen_single
        assign stored = triple;
      end
      assign {xe[8*D+k], xe[8*k +: 8]}          = xe_q[First];
      assign {xm[8*D+10*k +: 10], xm[8*k +: 8]} = xm_last_q;
      assign wm[8*k +: 8]                       = wm_q[First+Early-1];
    end

    for (genvar c = 0; c < ColGroups / TileCols; c++) begin : gen_col
      localparam int unsigned Step = First + TileCols * c;  // of the tile's first column group
      logic [D*ExpW-1:0]     xe_west, we_west, xe_east, we_east;
      logic [D*SigW-1:0]     xm_west, xm_east;
      logic [D*8-1:0]        wm_west, wm_east;
      logic [9*TileC-1:0]    n_exp, s_exp;
      logic [SumW*TileC-1:0] n_sum, s_sum;
      logic [3*TileC-1:0]    n_flags, s_flags;
      if (c == 0) begin : gen_west
        assign {xe_west, xm_west, we_west, wm_west} = {xe, xm, we, wm};
      end else begin : gen_inner
        assign xe_west = gen_row[r].gen_col[c-1].xe_east;
        assign xm_west = gen_row[r].gen_col[c-1].xm_east;
        assign we_west = gen_row[r].gen_col[c-1].we_east;
        assign wm_west = gen_row[r].gen_col[c-1].wm_east;
      end
      if (c == ColGroups / TileCols - 1) begin : gen_east
        logic unused_east;
        assign unused_east = ^{xe_east, xm_east, we_east, wm_east};
      end
      if (r == 0) begin : gen_top
        assign n_exp = '0;
        assign n_sum = '0;
        for (genvar j = 0; j < TileC; j++) begin : gen_nan
          localparam int unsigned Group = TileCols * c + j / G;
          assign n_flags[3*j +: 3] = {x_nan_q[Group+Early+Late] || gen_nan_group[Group].active_q[j % G], 2'b00};
        end
      end else begin : gen_north
        assign n_exp   = gen_row[r-1].gen_col[c].s_exp;
        assign n_sum   = gen_row[r-1].gen_col[c].s_sum;
        assign n_flags = gen_row[r-1].gen_col[c].s_flags;
      end
      pe_tile #(
        .ColGroups(TileCols), .D(D), .G(G), .Frac(Frac), .SumW(SumW), .Cuts(Cuts), .Fast(Fast), .Pairs(Pairs)
      ) u_tile (
        .clk_i,
        .v_i       (v_q[Step +: Early + Late + Merge + TileCols - 1]),
        .w_shift_i (ws[Step +: Early + TileCols]),
        .w_swap_i  (sw_q[Step +: Early + TileCols]),
        .mode_i    (mode[2*Step +: 2*(Early+TileCols)]),
        .xe_i      (xe_west),
        .xm_i      (xm_west),
        .xe_o      (xe_east),
        .xm_o      (xm_east),
        .we_i      (we_west),
        .wm_i      (wm_west),
        .we_o      (we_east),
        .wm_o      (wm_east),
        .n_exp_i   (n_exp),
        .n_sum_i   (n_sum),
        .n_flags_i (n_flags),
        .s_exp_o   (s_exp),
        .s_sum_o   (s_sum),
        .s_flags_o (s_flags)
      );
    end
  end

  // Mode of the feet: bit k of int_q belongs to the column in foot stage k+2.
  logic [3:0] int_q;
  logic [1:0] shift_q;
  always_ff @(posedge clk_i) begin
    if (v_q[Latency-1]) begin
      int_q[0] <= int_i;
      shift_q  <= shift_i;
    end
    int_q[3:1] <= int_q[2:0];
  end

  for (genvar c = 0; c < ColGroups; c++) begin : gen_foot_group
    // Deskew: wait for the last column group; exponents come a cycle before sums.
    localparam int unsigned Wait  = ColGroups - 1 - c;
    localparam int unsigned South = (RowGroups - 1) * Merge + c + Early + Late + Merge;  // step of the sum
    for (genvar j = 0; j < G; j++) begin : gen_foot
      localparam int unsigned Col = G * (c % TileCols) + j;  // in its tile
      logic [8:0]      exp_q [Wait + 1];
      logic [SumW-1:0] sum, sum_s;
      logic [2:0]      flags, flags_s;
      assign sum_s   = gen_row[RowGroups-1].gen_col[c/TileCols].s_sum[SumW*Col +: SumW];
      assign flags_s = gen_row[RowGroups-1].gen_col[c/TileCols].s_flags[3*Col +: 3];
      always_ff @(posedge clk_i) begin
        if (v_q[South-1]) exp_q[0] <= gen_row[RowGroups-1].gen_col[c/TileCols].s_exp[9*Col +: 9];
        for (int unsigned s = 1; s < Wait + 1; s++) if (v_q[South-1+s]) exp_q[s] <= exp_q[s-1];
      end
      if (Wait == 0) begin : gen_now
        assign {flags, sum} = {flags_s, sum_s};
      end else begin : gen_wait
        logic [SumW+2:0] d_q [Wait];
        always_ff @(posedge clk_i) begin
          if (v_q[South]) d_q[0] <= {flags_s, sum_s};
          for (int unsigned s = 1; s < Wait; s++) if (v_q[South+s]) d_q[s] <= d_q[s-1];
        end
        assign {flags, sum} = d_q[Wait-1];
      end
      column_foot #(.Frac(Frac), .SumW(SumW)) u_foot (
        .clk_i,
        .en_i    (v_q[Latency+3 -: 5]),
        .int_i   (int_q),
        .shift_i (shift_q),
        .exp_i   (exp_q[Wait]),
        .sum_i   (sum),
        .flags_i (flags),
        .acc_i,
        .psum_i  (psum_i[32*(G*c+j) +: 32]),
        .res_o   (res_o[32*(G*c+j) +: 32])
      );
    end
  end
endmodule
