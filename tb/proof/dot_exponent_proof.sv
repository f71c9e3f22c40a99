// dot_exponent is: the largest exponent of a product that is not zero, every such product's distance to it, flags.
//
// Exponents are free in every cycle, so that the proof covers the pipeline as well as the arithmetic.
`default_nettype none
module dot_exponent_proof #(
  parameter  int unsigned D     = 2,
  parameter  logic [6:0]  Cuts  = array_pkg::Cuts,
  parameter  bit          Fast  = 1'b0,  // prefix adders
  localparam int unsigned Early = 1 + 32'(Cuts[array_pkg::CutExp]) + 32'(Cuts[array_pkg::CutMax])
                                + 32'(Cuts[array_pkg::CutLast])
) (
  input logic           clk_i,
  input logic [D*8-1:0] xe_i,
  input logic [D*8-1:0] we_i,
  input logic [D-1:0]   xs_i,
  input logic [D-1:0]   ws_i
);
  logic [D-1:0] xnz, xinf;
  for (genvar i = 0; i < D; i++) begin : gen_shared
    assign xnz[i]  = xe_i[8*i +: 8] != 8'd0;
    assign xinf[i] = xe_i[8*i +: 8] == 8'd255;
  end
  logic [D*5-1:0] shift;
  logic [D-1:0]   sign;
  logic [8:0]     largest;
  logic [2:0]     flags;
  dot_exponent #(.D(D), .Cuts(Cuts), .Fast(Fast)) u_exponent (
    .clk_i, .mode_i ('0), .xp_i ('0), .wp_i ('0), .mode_o (), .shift1_o (), .sign1_o (),
    .xe_i, .xnz_i (xnz), .xinf_i (xinf), .xs_i, .we_i, .ws_i,
    .shift_o (shift), .sign_o (sign), .largest_o (largest), .flags_o (flags)
  );

  // What entered Early cycles ago.
  logic [D*18-1:0] past_q [Early];
  logic [3:0]      step_q = '0;
  always_ff @(posedge clk_i) begin
    past_q[0] <= {ws_i, xs_i, we_i, xe_i};
    for (int unsigned k = 1; k < Early; k++) past_q[k] <= past_q[k-1];
    if (step_q != 4'd15) step_q <= step_q + 4'd1;
  end
  logic [D*8-1:0] xe, we;
  logic [D-1:0]   xs, ws;
  assign {ws, xs, we, xe} = past_q[Early-1];

  logic [D-1:0]   zero, inf, neg, reached, bounded, far_right;
  logic [D*9-1:0] e;
  for (genvar i = 0; i < D; i++) begin : gen_lane
    logic [7:0] x, w;
    logic [8:0] distance;
    assign x = xe[8*i +: 8];
    assign w = we[8*i +: 8];
    assign zero[i] = x == 8'd0 || w == 8'd0;
    assign inf[i]  = x == 8'd255 || w == 8'd255;
    assign neg[i]  = xs[i] != ws[i];
    assign e[9*i +: 9] = 9'(x) + 9'(w);
    assign reached[i]  = !zero[i] && e[9*i +: 9] == largest;
    assign distance    = largest - e[9*i +: 9];
    // The largest is an upper bound (and, below, one of them).
    assign bounded[i] = zero[i] || e[9*i +: 9] <= largest;
    // The distance, where anything is left of a product; 28 and more are the same.
    assign far_right[i] = zero[i] || (distance < 9'd28 ? shift[5*i +: 5] == distance[4:0]
                                                        : shift[5*i +: 5] >= 5'd28);
  end
  always_comb begin
    if (step_q == 4'(Early)) begin
      Sign_A:    assert (sign == neg);
      Bound_A:   assert (&bounded);
      Shift_A:   assert (&far_right);
      Largest_A: assert (&zero ? largest == 9'd0 : |reached);
      Flags_A:   assert (flags == {|(inf & zero), |(inf & ~neg), |(inf & neg)});
      // The last of them is the largest, 27 above the first, and another one is infinite times zero.
      Far_C:       cover (reached[D-1] && !reached[0] && shift[4:0] == 5'd27 && !zero[0]);
      InfZero_C:   cover (flags[2] && largest != 9'd0);
      BeyondAll_C: cover (!zero[0] && largest - e[8:0] > 9'd480);
    end
  end
endmodule
