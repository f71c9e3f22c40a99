// The baseline of the exploration: a PE with a full fp32 fused multiply-add, bf16 operands, weight-stationary.
//
//   x --[x_q]--> east        w --[shadow]--> east, [active] --(x * w + north)-- fp32_fma, 3 stages --> south
//
// Nothing of it is shared: every row rounds and normalises. Used by synth/explore.py only.
`default_nettype none
module explore_fma (
  input  logic        clk_i,
  input  logic        v_i,
  input  logic        w_shift_i,
  input  logic        w_swap_i,
  input  logic [15:0] x_i,
  input  logic [15:0] w_i,
  input  logic [31:0] n_i,
  output logic [15:0] x_o,
  output logic [15:0] w_o,
  output logic [31:0] s_o
);
  logic [15:0] x_q, shadow_q, w_q;
  always_ff @(posedge clk_i) begin
    if (v_i)       x_q      <= x_i;
    if (w_shift_i) shadow_q <= w_i;
    if (w_swap_i)  w_q      <= w_shift_i ? w_i : shadow_q;
  end
  assign x_o = x_q;
  assign w_o = shadow_q;
  fp32_fma u_fma (
    .clk_i,
    .en_i  (1'b1),
    .op_i  (2'd0),
    .a_i   ({x_i, 16'b0}),
    .b_i   ({w_q, 16'b0}),
    .c_i   (n_i),
    .res_o (s_o)
  );
endmodule
