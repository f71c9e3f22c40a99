// The products of dot_group with Pairs: the lower and the upper two digits of w by their own multiples, and a second
// product of magnitudes up to 128.
//
// `product` is dot_group's products of row 0, connected behind its back (array.toml).
`default_nettype none
module pair_product_proof #(
  parameter bit Fast = 1'b0  // prefix adders
) (
  input logic       clk_i,
  input logic [7:0] low_i,   // what the lower two digits multiply
  input logic [7:0] high_i,
  input logic [7:0] w_i,
  input logic [7:0] x1_raw_i,
  input logic [7:0] w1_raw_i
);
  logic [7:0]  x1, w1;
  logic [34:0] xq;
  assign x1 = x1_raw_i[7] ? 8'd128 : x1_raw_i;
  assign w1 = w1_raw_i[7] ? 8'd128 : w1_raw_i;
  assign xq = {9'(x1) + 9'(x1) + 9'(x1), x1, 10'(high_i) + 10'(high_i) + 10'(high_i), high_i};
  dot_group #(.D(2), .Fast(Fast), .Pairs(1'b1)) u_group (
    .clk_i, .mode_i ('0), .xp_i ('0), .wp_i ('0), .xq_i ({35'b0, xq}), .wb_i ({8'b0, w1}),
    .xe_i (16'h8080), .xnz_i (2'b11), .xinf_i (2'b00), .xs_i (2'b00), .we_i (16'h8080), .ws_i (2'b00),
    .xm_i ({8'b0, low_i}), .xt_i ({10'b0, 10'(low_i) + 10'(low_i) + 10'(low_i)}), .wm_i ({8'b0, w_i}),
    .exp_o (), .sum_o (), .flags_o ()
  );

  (* keep *) logic [61:0] product;
  always_comb begin
    Product_A: assert (product[15:0] == 16'(low_i) * 16'(w_i[3:0]) + ((16'(high_i) * 16'(w_i[7:4])) << 4));
    Second_A:  assert (product[30:16] == 15'(x1) * 15'(w1));
    // The largest ones; and one product in every digit place.
    Largest_C: cover (product[15:0] == 16'd65025 && product[30:16] == 15'd16384);
  end
endmodule
