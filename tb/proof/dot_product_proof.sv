// The product of dot_group is multiplication, for every pair of significands.
//
// `product` is dot_group's first product, connected behind its back (array.toml). SigBits = 4 is fp8.
`default_nettype none
module dot_product_proof #(
  parameter int unsigned SigBits = 8,    // significant bits of an operand, left-justified
  parameter bit          Fast    = 1'b0  // prefix adders
) (
  input logic       clk_i,
  input logic [7:0] x_raw_i,
  input logic [7:0] w_raw_i
);
  localparam logic [7:0] Mask = 8'(8'hff << (8 - SigBits));
  logic [7:0] x, w;
  assign x = x_raw_i & Mask;
  assign w = w_raw_i & Mask;

  dot_group #(.D(2), .Fast(Fast)) u_group (
    .clk_i, .mode_i ('0), .xp_i ('0), .wp_i ('0), .xq_i ('0), .wb_i ('0),
    .xe_i (16'h8080), .xnz_i (2'b11), .xinf_i (2'b00), .xs_i (2'b00), .we_i (16'h8080), .ws_i (2'b00),
    .xm_i ({8'b0, x}), .xt_i ({10'b0, 10'(x) + 10'(x) + 10'(x)}), .wm_i ({8'b0, w}),
    .exp_o (), .sum_o (), .flags_o ()
  );

  (* keep *) logic [31:0] product;
  always_comb begin
    Product_A: assert (product[15:0] == 16'(x) * 16'(w));
    // The largest one, which carries through every place.
    Largest_C: cover (product[15:0] == 16'(Mask) * 16'(Mask));
  end
endmodule
