// Weight-stationary PE array of Rows x Cols with a foot that rounds and accumulates under every column.
//
// D rows fuse into one dot_pe; sums run down a row group a cycle. Moving data and weights enter from the west,
// row group g one cycle after g-1; they are broadcast to G columns and registered between such column groups.
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
  if (Rows % D != 0 || Cols % G != 0) begin : gen_bad_size
    $error("pe_array: Rows must be a multiple of D, Cols of G");
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

  for (genvar g = 0; g < RowGroups; g++) begin : gen_row
    // Skew: this row group sees its data g+1 cycles after the port, one later per column group.
    logic [D*16-1:0] x_q [g + ColGroups];
    logic [D*16-1:0] w_q [g + 1];
    always_ff @(posedge clk_i) begin
      if (x_valid_i) x_q[0] <= x_i[D*16*g +: D*16];
      for (int unsigned s = 1; s < g + ColGroups; s++) if (v_q[s-1]) x_q[s] <= x_q[s-1];
      if (w_valid_i) w_q[0] <= w_i[D*16*g +: D*16];
      for (int unsigned s = 1; s < g + 1; s++) if (ws_q[s-1]) w_q[s] <= w_q[s-1];
    end

    for (genvar c = 0; c < ColGroups; c++) begin : gen_group
      logic [D*16-1:0] w_west;
      if (c == 0) begin : gen_first
        assign w_west = w_q[g];
      end else begin : gen_next
        logic [D*16-1:0] w_b_q;
        always_ff @(posedge clk_i) begin
          if (ws_q[g+c-1]) w_b_q <= gen_row[g].gen_group[c-1].gen_pe[G-1].w_east;
        end
        assign w_west = w_b_q;
      end

      for (genvar j = 0; j < G; j++) begin : gen_pe
        logic [D*16-1:0] w_in, w_east;
        logic [8:0]      n_exp, s_exp;
        logic [SumW-1:0] n_sum, s_sum;
        logic [2:0]      n_flags, s_flags;
        if (j == 0) begin : gen_w_west
          assign w_in = w_west;
        end else begin : gen_w_pe
          assign w_in = gen_row[g].gen_group[c].gen_pe[j-1].w_east;
        end
        if (c == ColGroups-1 && j == G-1) begin : gen_w_end
          logic unused_w;
          assign unused_w = ^w_east;
        end
        if (g == 0) begin : gen_top
          assign n_exp   = '0;
          assign n_sum   = '0;
          assign n_flags = '0;
        end else begin : gen_north
          assign n_exp   = gen_row[g-1].gen_group[c].gen_pe[j].s_exp;
          assign n_sum   = gen_row[g-1].gen_group[c].gen_pe[j].s_sum;
          assign n_flags = gen_row[g-1].gen_group[c].gen_pe[j].s_flags;
        end
        dot_pe #(.D(D), .Frac(Frac), .SumW(SumW)) u_pe (
          .clk_i,
          .w_shift_i (ws_q[g+c]),
          .w_i       (w_in),
          .w_o       (w_east),
          .swap_i    (sw_q[g+c]),
          .mul_en_i  (v_q[g+c]),
          .x_i       (x_q[g+c]),
          .add_en_i  (v_q[g+c+1]),
          .n_exp_i   (n_exp),
          .n_sum_i   (n_sum),
          .n_flags_i (n_flags),
          .s_exp_o   (s_exp),
          .s_sum_o   (s_sum),
          .s_flags_o (s_flags)
        );
      end
    end
  end

  for (genvar c = 0; c < ColGroups; c++) begin : gen_foot_group
    // Deskew: wait for the last column group.
    localparam int unsigned Wait = ColGroups - 1 - c;
    for (genvar j = 0; j < G; j++) begin : gen_foot
      logic [8:0]      exp;
      logic [SumW-1:0] sum;
      logic [2:0]      flags;
      if (Wait == 0) begin : gen_now
        assign exp   = gen_row[RowGroups-1].gen_group[c].gen_pe[j].s_exp;
        assign sum   = gen_row[RowGroups-1].gen_group[c].gen_pe[j].s_sum;
        assign flags = gen_row[RowGroups-1].gen_group[c].gen_pe[j].s_flags;
      end else begin : gen_wait
        logic [SumW+11:0] d_q [Wait];
        always_ff @(posedge clk_i) begin
          if (v_q[RowGroups+c+1]) begin
            d_q[0] <= {gen_row[RowGroups-1].gen_group[c].gen_pe[j].s_flags,
                       gen_row[RowGroups-1].gen_group[c].gen_pe[j].s_exp,
                       gen_row[RowGroups-1].gen_group[c].gen_pe[j].s_sum};
          end
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
