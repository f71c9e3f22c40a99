// Sum of N unsigned rows of W bits and N single bits of weight one, modulo 2^O.
//
//   rows, ones --(3:2 carry-save levels)--[CutTree]--(levels)--[CutAdd]--(carry-propagate adder)--> sum
//
// Every 3:2 row leaves the lowest place of its carry word free: the ones sit there and cost nothing.
// Timing  as many cycles as CutTree + CutAdd; combinational without.
`default_nettype none
module carry_save_sum #(
  parameter int unsigned N       = 4,
  parameter int unsigned W       = 8,
  parameter int unsigned O       = W + $clog2(N) + 1,
  parameter bit          CutTree = 1'b0,
  parameter bit          CutAdd  = 1'b0,
  parameter bit          Fast    = array_pkg::Fast
) (
  input  logic           clk_i,
  input  logic [N*W-1:0] rows_i,
  input  logic [N-1:0]   ones_i,
  output logic [O-1:0]   sum_o
);
  if (CutTree && N < 8) begin : gen_bad_cut
    $error("carry_save_sum: a tree of fewer than 8 rows has no middle to cut");
  end

  // N rows have N - 1 places for ones; one more row takes the last one (and brings a place that stays free).
  logic [(N+1)*O-1:0] rows;
  logic [N-1:0]       ones;
  if (N == 1) begin : gen_one
    assign ones = 1'b0;
  end else begin : gen_ones
    assign ones = {1'b0, ones_i[N-1:1]};
  end
  for (genvar i = 0; i < N; i++) begin : gen_row
    assign rows[O*i +: O] = O'(rows_i[W*i +: W]);
  end
  assign rows[O*N +: O] = O'(ones_i[0]);
  carry_save_level #(.N(N + 1), .W(O), .CutAt(CutTree ? (N + 2) / 3 : 0), .CutAdd(CutAdd), .Fast(Fast)) u_level (
    .clk_i, .rows_i (rows), .ones_i (ones), .sum_o
  );
endmodule
