// A rectangle of the PE array: RowGroups x ColGroups groups, each D rows (one dot_pe high) by G columns.
//
// Moving data and weights enter from the west and leave registered to the east, sums run from north to south. A
// tile is the unit of hierarchical verilation: one compiled model serves all tiles of a large array.
// Timing  row group g works one cycle after g-1, column group c one after c-1: bit g+c of v_i, w_shift_i, swap_i.
// Model   sim/model/column_sum.hpp       Test  tb/tensor/pe_array_test.cpp
`default_nettype none
module pe_tile #(
  parameter  int unsigned RowGroups = 4,
  parameter  int unsigned ColGroups = 2,
  parameter  int unsigned D    = 4,               // rows per PE
  parameter  int unsigned G    = 8,               // columns that share a broadcast
  parameter  int unsigned Frac = 14,
  parameter  int unsigned SumW = 35,
  localparam int unsigned Cols = ColGroups * G,
  localparam int unsigned Steps = RowGroups + ColGroups
) (
  input  logic                       clk_i,
  input  logic [Steps-1:0]           v_i,        // bit k: a moving column at step k; k+1: its product is added
  input  logic [Steps-2:0]           w_shift_i,  // weights move east
  input  logic [Steps-2:0]           swap_i,     // shadow weights become active
  input  logic [RowGroups*D*16-1:0]  x_i,        // row group g at step g
  output logic [RowGroups*D*16-1:0]  x_o,        // the same ColGroups cycles later
  input  logic [RowGroups*D*16-1:0]  w_i,
  output logic [RowGroups*D*16-1:0]  w_o,
  input  logic [Cols*9-1:0]          n_exp_i,
  input  logic [Cols*SumW-1:0]       n_sum_i,
  input  logic [Cols*3-1:0]          n_flags_i,
  output logic [Cols*9-1:0]          s_exp_o,
  output logic [Cols*SumW-1:0]       s_sum_o,
  output logic [Cols*3-1:0]          s_flags_o
);
  /*verilator hier_block*/
  for (genvar g = 0; g < RowGroups; g++) begin : gen_row
    // Entry c is what column group c multiplies; the last one is for the next tile.
    logic [D*16-1:0] x_q [ColGroups + 1];
    assign x_q[0] = x_i[D*16*g +: D*16];
    for (genvar c = 1; c <= ColGroups; c++) begin : gen_x
      always_ff @(posedge clk_i) if (v_i[g+c-1]) x_q[c] <= x_q[c-1];
    end
    assign x_o[D*16*g +: D*16] = x_q[ColGroups];

    for (genvar c = 0; c < ColGroups; c++) begin : gen_group
      logic [D*16-1:0] w_west, w_b_q;
      if (c == 0) begin : gen_first
        assign w_west = w_i[D*16*g +: D*16];
      end else begin : gen_next
        assign w_west = gen_row[g].gen_group[c-1].w_b_q;
      end
      for (genvar j = 0; j < G; j++) begin : gen_pe
        localparam int unsigned Col = G * c + j;
        logic [D*16-1:0] w_in, w_east;
        logic [8:0]      n_exp, s_exp;
        logic [SumW-1:0] n_sum, s_sum;
        logic [2:0]      n_flags, s_flags;
        if (j == 0) begin : gen_w_west
          assign w_in = w_west;
        end else begin : gen_w_pe
          assign w_in = gen_row[g].gen_group[c].gen_pe[j-1].w_east;
        end
        if (g == 0) begin : gen_top
          assign n_exp   = n_exp_i[9*Col +: 9];
          assign n_sum   = n_sum_i[SumW*Col +: SumW];
          assign n_flags = n_flags_i[3*Col +: 3];
        end else begin : gen_north
          assign n_exp   = gen_row[g-1].gen_group[c].gen_pe[j].s_exp;
          assign n_sum   = gen_row[g-1].gen_group[c].gen_pe[j].s_sum;
          assign n_flags = gen_row[g-1].gen_group[c].gen_pe[j].s_flags;
        end
        if (g == RowGroups - 1) begin : gen_bottom
          assign s_exp_o[9*Col +: 9]       = s_exp;
          assign s_sum_o[SumW*Col +: SumW] = s_sum;
          assign s_flags_o[3*Col +: 3]     = s_flags;
        end
        dot_pe #(.D(D), .Frac(Frac), .SumW(SumW)) u_pe (
          .clk_i,
          .w_shift_i (w_shift_i[g+c]),
          .w_i       (w_in),
          .w_o       (w_east),
          .swap_i    (swap_i[g+c]),
          .mul_en_i  (v_i[g+c]),
          .x_i       (x_q[c]),
          .add_en_i  (v_i[g+c+1]),
          .n_exp_i   (n_exp),
          .n_sum_i   (n_sum),
          .n_flags_i (n_flags),
          .s_exp_o   (s_exp),
          .s_sum_o   (s_sum),
          .s_flags_o (s_flags)
        );
      end
      // Weights cross to the next column group through a register, as moving data does.
      always_ff @(posedge clk_i) begin
        if (w_shift_i[g+c]) w_b_q <= gen_row[g].gen_group[c].gen_pe[G-1].w_east;
      end
    end
    assign w_o[D*16*g +: D*16] = gen_row[g].gen_group[ColGroups-1].w_b_q;
  end
endmodule
