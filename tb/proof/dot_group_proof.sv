// dot_group, which is synthesised, and dot_group_model, which is simulated, give the same sum, exponent and flags.
//
// Operands are free in every cycle, but legal: built from free bits, not assumed. The sets are those of a format.
// Where array.toml puts plain multiplication in the place of dot_group's product, which dot_product_proof has shown
// to be the same, what is left is everything but the multipliers.
`default_nettype none
module dot_group_proof #(
  parameter  int unsigned D     = 2,
  parameter  int unsigned Frac  = array_pkg::Frac,
  parameter  int unsigned Set   = 0,  // 0 int8, 1 fp8 (either), 2 bf16
  parameter  logic [6:0]  Cuts  = array_pkg::Cuts,
  parameter  bit          Fast  = 1'b0,  // prefix adders
  localparam int unsigned Early = array_pkg::EarlyCycles(Cuts),
  localparam int unsigned Late  = array_pkg::LateCycles(Cuts),
  localparam int unsigned SumW  = 17 + Frac + $clog2(D)
) (
  input logic            clk_i,
  input logic [D*17-1:0] x_raw_i,
  input logic [D*17-1:0] w_raw_i
);
  // {sign, exponent, significand} from free bits; every legal operand of the set, and no other.
  function automatic logic [16:0] legal(input logic [16:0] raw);
    logic [7:0] e, m;
    e = '0;
    m = '0;
    case (Set)
      0: begin  // magnitudes up to 128 with exponent 1
        m = raw[7] ? 8'd128 : raw[7:0];
        e = {7'b0, m != 8'd0};
      end
      1: begin  // 2^-16 (e5m2's smallest) to 1.75 * 2^15 (its largest), zero, infinity
        e = raw[13:8] == 6'd33 ? 8'd255 : raw[13:8] <= 6'd32 && raw[13:8] != 6'd0 ? 8'd110 + 8'(raw[13:8]) : 8'd0;
        m = e == 8'd0 ? 8'd0 : e == 8'd255 ? 8'd128 : {1'b1, raw[2:0], 4'b0};
      end
      default: begin  // exponent 1 without a leading one is subnormal
        e = raw[15:8];
        m = e == 8'd0 ? 8'd0 : e == 8'd255 ? 8'd128 : {raw[7] || e != 8'd1, raw[6:0]};
        if (m == 8'd0) e = 8'd0;
      end
    endcase
    legal = {raw[16], e, m};
  endfunction

  logic [D*8-1:0]  xe, we, xm, wm;
  logic [D-1:0]    xs, ws, xnz, xinf;
  logic [D*8-1:0]  xm_q [Early], wm_q [Early];
  logic [D*10-1:0] xt;
  for (genvar i = 0; i < D; i++) begin : gen_operand
    logic [9:0] m;
    assign {xs[i], xe[8*i +: 8], xm[8*i +: 8]} = legal(x_raw_i[17*i +: 17]);
    assign {ws[i], we[8*i +: 8], wm[8*i +: 8]} = legal(w_raw_i[17*i +: 17]);
    assign xnz[i]  = xe[8*i +: 8] != 8'd0;
    assign xinf[i] = xe[8*i +: 8] == 8'd255;
    assign m = 10'(xm_q[Early-1][8*i +: 8]);
    assign xt[10*i +: 10] = m + m + m;
  end
  // Significands follow their exponents.
  logic [3:0] step_q = '0;
  always_ff @(posedge clk_i) begin
    xm_q[0] <= xm;
    wm_q[0] <= wm;
    for (int unsigned k = 1; k < Early; k++) begin
      xm_q[k] <= xm_q[k-1];
      wm_q[k] <= wm_q[k-1];
    end
    if (step_q != 4'd15) step_q <= step_q + 4'd1;
  end
  logic [8:0]      exp, model_exp;
  logic [SumW-1:0] sum, model_sum;
  logic [2:0]      flags, model_flags;
  dot_group #(.D(D), .Frac(Frac), .Cuts(Cuts), .Fast(Fast)) u_group (
    .clk_i, .mode_i ('0), .xp_i ('0), .wp_i ('0), .xq_i ('0), .wb_i ('0), .xe_i (xe), .xnz_i (xnz), .xinf_i (xinf), .xs_i (xs), .xm_i (xm_q[Early-1]), .xt_i (xt),
    .we_i (we), .ws_i (ws), .wm_i (wm_q[Early-1]), .exp_o (exp), .sum_o (sum), .flags_o (flags)
  );
  dot_group_model #(.D(D), .Frac(Frac), .Cuts(Cuts)) u_model (
    .clk_i, .v_i ('1), .xe_i (xe), .xs_i (xs), .xm_i (xm_q[Early-1]),
    .we_i (we), .ws_i (ws), .wm_i (wm_q[Early-1]), .exp_o (model_exp), .sum_o (model_sum), .flags_o (model_flags)
  );
  // Registers start free and nothing is fed back: what holds in the first cycle after the pipeline has filled
  // holds in every later one.
  always_comb begin
    if (step_q == 4'(Early + Late)) begin
      Exp_A:   assert (exp == model_exp);
      Sum_A:   assert (sum == model_sum);
      Flags_A: assert (flags == model_flags);
      Negative_C: cover (sum[SumW-1] && exp != 9'd0);
      Odd_C:      cover (sum[0] == (Set != 0) && sum[Frac]);
      Infinite_C: cover (flags[1] == (Set != 0) && sum != '0);
    end
  end
endmodule
