// Alignment in dot_group is a right shift of the product with Frac zeros below it, then one's complement if negative.
//
// The aligner gets its product, shift and sign straight from ports instead of from the stages before it (array.toml),
// so nothing is assumed of them.
`default_nettype none
module dot_align_proof #(
  parameter  int unsigned Frac = 12,
  localparam int unsigned MagW = 16 + Frac,
  localparam int unsigned RowW = MagW + 1
) (
  input logic        clk_i,
  input logic [31:0] product_i,
  input logic [9:0]  shift_i,
  input logic [1:0]  sign_i
);
  logic [15:0] high, low, by;
  for (genvar i = 0; i < 2; i++) begin : gen_free
    assign {high[8*i +: 8], low[8*i +: 8]} = product_i[16*i +: 16];
    assign by[8*i +: 8] = 8'(shift_i[5*i +: 5]);
  end
  dot_group #(.D(2), .Frac(Frac)) u_group (
    .clk_i, .mode_i ('0), .xp_i ('0), .wp_i ('0), .xq_i ('0), .wb_i ('0),
    .xe_i ('0), .xnz_i ('0), .xinf_i ('0), .xs_i (sign_i), .we_i (by), .ws_i ('0),
    .xm_i (high), .xt_i ('0), .wm_i (low), .exp_o (), .sum_o (), .flags_o ()
  );
  (* keep *) logic [2*RowW-1:0] rows;

  // One label a check: they are made of a bit per lane.
  logic [1:0] right, last;
  for (genvar i = 0; i < 2; i++) begin : gen_lane
    logic [MagW-1:0] magnitude;
    assign magnitude = {product_i[16*i +: 16], Frac'(0)} >> shift_i[5*i +: 5];
    assign right[i]  = rows[RowW*i +: RowW] == {!sign_i[i], sign_i[i] ? ~magnitude : magnitude};
    assign last[i]   = magnitude == MagW'(1) && shift_i[5*i +: 5] == 5'(MagW - 1) && sign_i[i];
  end
  always_comb begin
    Aligned_A: assert (&right);
    // One bit is left of each product.
    LastBit_C: cover (&last);
  end
endmodule
