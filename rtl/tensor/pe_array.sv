// Weight-stationary PE array of Rows x Cols with a foot that rounds and accumulates under every column.
//
// D rows fuse into one dot_pe, rectangles of them into a pe_tile; sums run down a row group a cycle. Moving
// data and weights enter from the west, row group g one cycle after g-1; they are broadcast to G columns and
// registered between such column groups.
// Timing  x_i (all rows) at cycle a=0: PSUM word wanted at a=ArrayLatency+2 (psum_i), result at
//         ArrayLatency+5. swap_i comes one cycle before the x_i that first uses the new weights.
//         One column of x and one column of w each cycle; nothing stalls.
// Model   sim/model/column_sum.hpp       Test  tb/tensor/pe_array_test.cpp
`default_nettype none
module pe_array #(
  parameter  int unsigned Rows = 16,                // a multiple of D
  parameter  int unsigned Cols = Rows,              // a multiple of G
  parameter  int unsigned D    = 4,                 // rows per PE
  parameter  int unsigned G    = 8,                 // columns that share a broadcast
  parameter  int unsigned Frac = 14,
  localparam int unsigned RowGroups = Rows / D,
  localparam int unsigned ColGroups = Cols / G,
  localparam int unsigned TileRows = RowGroups < 4 ? RowGroups : 4,  // groups of a pe_tile
  localparam int unsigned TileCols = ColGroups < 2 ? ColGroups : 2,
  localparam int unsigned SumW = 17 + Frac + $clog2(Rows),
  localparam int unsigned ArrayLatency = RowGroups + ColGroups + 1  // x_i to the deskewed sums
) (
  input  logic               clk_i,
  input  logic               rst_ni,
  input  logic               w_valid_i,  // shift the stationary columns east by one, w_i enters
  input  logic [Rows*16-1:0] w_i,
  input  logic               swap_i,
  input  logic               x_valid_i,
  input  logic [Rows*16-1:0] x_i,
  input  logic               acc_i,      // at a=ArrayLatency+2
  input  logic [Cols*32-1:0] psum_i,     // at a=ArrayLatency+2
  output logic [Cols*32-1:0] res_o       // at a=ArrayLatency+5
);
  if (Rows % (D * TileRows) != 0 || Cols % (G * TileCols) != 0) begin : gen_bad_size
    $error("pe_array: Rows must be a multiple of D and Cols of G, beyond 4 D rows and 2 G columns of those");
  end

  // v_q[k]: the moving column that entered k+1 cycles ago was valid. The same for weights and swaps.
  localparam int unsigned Steps = ArrayLatency + 4;
  localparam int unsigned Skew = RowGroups + ColGroups - 1;
  logic [Steps-1:0] v_q;
  logic [Skew-1:0]  ws_q, sw_q;
  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      v_q  <= '0;
      ws_q <= '0;
      sw_q <= '0;
    end else begin
      v_q  <= {v_q[Steps-2:0], x_valid_i};
      ws_q <= {ws_q[Skew-2:0], w_valid_i};
      sw_q <= {sw_q[Skew-2:0], swap_i};
    end
  end

  localparam int unsigned TileX = TileRows * D * 16;  // bits of a tile's moving column
  localparam int unsigned TileC = TileCols * G;       // columns of a tile
  for (genvar r = 0; r < RowGroups / TileRows; r++) begin : gen_row
    // Skew: row group g sees its data g+1 cycles after the port.
    logic [TileX-1:0] x, w;
    for (genvar k = 0; k < TileRows; k++) begin : gen_skew
      localparam int unsigned Group = TileRows * r + k;
      logic [D*16-1:0] x_q [Group + 1];
      logic [D*16-1:0] w_q [Group + 1];
      always_ff @(posedge clk_i) begin
        if (x_valid_i) x_q[0] <= x_i[D*16*Group +: D*16];
        for (int unsigned s = 1; s < Group + 1; s++) if (v_q[s-1]) x_q[s] <= x_q[s-1];
        if (w_valid_i) w_q[0] <= w_i[D*16*Group +: D*16];
        for (int unsigned s = 1; s < Group + 1; s++) if (ws_q[s-1]) w_q[s] <= w_q[s-1];
      end
      assign x[D*16*k +: D*16] = x_q[Group];
      assign w[D*16*k +: D*16] = w_q[Group];
    end

    for (genvar c = 0; c < ColGroups / TileCols; c++) begin : gen_col
      localparam int unsigned First = TileRows * r + TileCols * c;  // step of the tile's first group
      logic [TileX-1:0]      x_west, w_west, x_east, w_east;
      logic [9*TileC-1:0]    n_exp, s_exp;
      logic [SumW*TileC-1:0] n_sum, s_sum;
      logic [3*TileC-1:0]    n_flags, s_flags;
      if (c == 0) begin : gen_west
        assign x_west = x;
        assign w_west = w;
      end else begin : gen_inner
        assign x_west = gen_row[r].gen_col[c-1].x_east;
        assign w_west = gen_row[r].gen_col[c-1].w_east;
      end
      if (c == ColGroups / TileCols - 1) begin : gen_east
        logic unused_east;
        assign unused_east = ^{x_east, w_east};
      end
      if (r == 0) begin : gen_top
        assign n_exp   = '0;
        assign n_sum   = '0;
        assign n_flags = '0;
      end else begin : gen_north
        assign n_exp   = gen_row[r-1].gen_col[c].s_exp;
        assign n_sum   = gen_row[r-1].gen_col[c].s_sum;
        assign n_flags = gen_row[r-1].gen_col[c].s_flags;
      end
      pe_tile #(.RowGroups(TileRows), .ColGroups(TileCols), .D(D), .G(G), .Frac(Frac), .SumW(SumW)) u_tile (
        .clk_i,
        .v_i       (v_q[First +: TileRows + TileCols]),
        .w_shift_i (ws_q[First +: TileRows + TileCols - 1]),
        .swap_i    (sw_q[First +: TileRows + TileCols - 1]),
        .x_i       (x_west),
        .x_o       (x_east),
        .w_i       (w_west),
        .w_o       (w_east),
        .n_exp_i   (n_exp),
        .n_sum_i   (n_sum),
        .n_flags_i (n_flags),
        .s_exp_o   (s_exp),
        .s_sum_o   (s_sum),
        .s_flags_o (s_flags)
      );
    end
  end

  for (genvar c = 0; c < ColGroups; c++) begin : gen_foot_group
    // Deskew: wait for the last column group.
    localparam int unsigned Wait = ColGroups - 1 - c;
    for (genvar j = 0; j < G; j++) begin : gen_foot
      localparam int unsigned Col = G * (c % TileCols) + j;  // in its tile
      logic [8:0]      exp, exp_s;
      logic [SumW-1:0] sum, sum_s;
      logic [2:0]      flags, flags_s;
      assign exp_s   = gen_row[RowGroups/TileRows-1].gen_col[c/TileCols].s_exp[9*Col +: 9];
      assign sum_s   = gen_row[RowGroups/TileRows-1].gen_col[c/TileCols].s_sum[SumW*Col +: SumW];
      assign flags_s = gen_row[RowGroups/TileRows-1].gen_col[c/TileCols].s_flags[3*Col +: 3];
      if (Wait == 0) begin : gen_now
        assign {flags, exp, sum} = {flags_s, exp_s, sum_s};
      end else begin : gen_wait
        logic [SumW+11:0] d_q [Wait];
        always_ff @(posedge clk_i) begin
          if (v_q[RowGroups+c+1]) d_q[0] <= {flags_s, exp_s, sum_s};
          for (int unsigned s = 1; s < Wait; s++) begin
            if (v_q[RowGroups+c+1+s]) d_q[s] <= d_q[s-1];
          end
        end
        assign {flags, exp, sum} = d_q[Wait-1];
      end
      column_foot #(.Frac(Frac), .SumW(SumW)) u_foot (
        .clk_i,
        .en_i    (v_q[ArrayLatency+3 -: 5]),
        .exp_i   (exp),
        .sum_i   (sum),
        .flags_i (flags),
        .acc_i,
        .psum_i  (psum_i[32*(G*c+j) +: 32]),
        .res_o   (res_o[32*(G*c+j) +: 32])
      );
    end
  end
endmodule
