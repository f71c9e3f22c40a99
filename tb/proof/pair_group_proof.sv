// dot_group with Pairs, which is synthesised, and pair_group_model, which is simulated, give the same sum, exponent
// and flags, whatever mode follows which.
//
// Operands are free in every cycle, but legal in their mode: built from free bits, not assumed. The multipliers are
// plain ones here (array.toml), which pair_product_proof has shown to be the same.
`default_nettype none
module pair_group_proof #(
  parameter  int unsigned D     = 1,
  parameter  int unsigned Frac  = array_pkg::Frac,
  parameter  int unsigned Mode  = 3,  // 0 single, 1 fp8 pairs, 2 int8 pairs, 3 any
  parameter  logic [6:0]  Cuts  = array_pkg::Cuts,
  localparam int unsigned Early = array_pkg::EarlyCycles(Cuts),
  localparam int unsigned Late  = array_pkg::LateCycles(Cuts),
  localparam int unsigned SumW  = array_pkg::SumBits(D, Frac, 1'b1)
) (
  input logic            clk_i,
  input logic [D*20-1:0] x_raw_i,
  input logic [D*20-1:0] w_raw_i,
  input logic [1:0]      mode_raw_i
);
  logic [1:0] mode;
  assign mode = Mode != 3 ? 2'(Mode) : mode_raw_i == 2'b11 ? array_pkg::ModeSingle : mode_raw_i;

  // {exponent, significand} of an fp8 number: 31 infinity, 0 zero.
  function automatic logic [8:0] fp8(input logic [4:0] e, input logic [3:0] m);
    fp8 = e == 5'd31 ? {5'd31, 4'd8} : e == 5'd0 || m == 4'd0 ? 9'd0 : {e, m};
  endfunction
  // An operand of a row, see pair_decode; a single one has its sign twice.
  function automatic logic [19:0] legal(input logic [19:0] raw, input logic [1:0] kind);
    logic [8:0] f0, f1;
    logic [7:0] e, m;
    f0 = fp8(raw[12:8], raw[7:4]);
    f1 = fp8({raw[18:17], raw[15:13]}, raw[3:0]);
    e  = raw[15:8];
    m  = e == 8'd0 ? 8'd0 : e == 8'd255 ? 8'd128 : {raw[7] || e != 8'd1, raw[6:0]};
    if (m == 8'd0) e = 8'd0;
    legal = {raw[16], 2'b0, raw[16], e, m};
    if (kind[0]) legal = {raw[19], f1[8:7], raw[16], f1[6:4], f0, f1[3:0]};
    if (kind[1]) legal = {raw[19], 2'b0, raw[16], raw[15] ? 8'd128 : raw[15:8], raw[7] ? 8'd128 : raw[7:0]};
  endfunction

  logic [D*8-1:0]  xe, we, wm, xp, xe_raw;
  logic [D-1:0]    xs, ws, xnz, xinf;
  logic [D*3-1:0]  wp;
  logic [D*8-1:0]  xm;
  logic [D*8-1:0]  xm_q [Early], wm_q [Early], xb_q [Early], wb_q [Early];
  logic [1:0]      mode_q [Early];
  logic [D*8-1:0]  x_low;
  logic [D*10-1:0] t_low;
  logic [D*35-1:0] xq;
  for (genvar i = 0; i < D; i++) begin : gen_operand
    logic [19:0] x, w;
    logic [4:0]  e1;
    logic [7:0]  m, low, high, second;
    assign x = legal(x_raw_i[20*i +: 20], mode);
    assign w = legal(w_raw_i[20*i +: 20], mode);
    assign {ws[i], we[8*i +: 8], wm[8*i +: 8]} = w[16:0];
    assign wp[3*i +: 3] = w[19:17];
    // What pe_tile makes for its columns.
    assign xs[i] = x[16];
    assign xe_raw[8*i +: 8] = x[15:8];
    assign xe[8*i +: 8] = {x[15:13] & {3{!mode[0]}}, x[12:8]};
    assign xm[8*i +: 8] = x[7:0];
    assign xnz[i]  = xe[8*i +: 8] != 8'd0;
    assign xinf[i] = x[15:8] == 8'd255 || (xe[8*i +: 8] == 8'd31 && mode[0]);
    assign e1 = {x[18:17], x[15:13]} & {5{mode[0]}};
    assign xp[8*i +: 8] = {x[19], e1 == 5'd31, e1 != 5'd0, e1};
    // A step Early later.
    assign m      = xm_q[Early-1][8*i +: 8];
    assign low    = mode_q[Early-1][0] ? {4'b0, m[3:0]} : m;
    assign high   = mode_q[Early-1][0] ? {m[7:4], 4'b0} : m;
    assign second = mode_q[Early-1][1] ? xb_q[Early-1][8*i +: 8] : 8'd0;
    assign x_low[8*i +: 8]   = low;
    assign t_low[10*i +: 10] = 10'(low) + 10'(low) + 10'(low);
    assign xq[35*i +: 35]    = {9'(second) + 9'(second) + 9'(second), second,
                                10'(high) + 10'(high) + 10'(high), high};
  end
  logic [3:0] step_q = '0;
  always_ff @(posedge clk_i) begin
    xm_q[0]   <= xm;
    wm_q[0]   <= wm;
    xb_q[0]   <= xe_raw;
    wb_q[0]   <= we;
    mode_q[0] <= mode;
    for (int unsigned k = 1; k < Early; k++) begin
      xm_q[k]   <= xm_q[k-1];
      wm_q[k]   <= wm_q[k-1];
      xb_q[k]   <= xb_q[k-1];
      wb_q[k]   <= wb_q[k-1];
      mode_q[k] <= mode_q[k-1];
    end
    if (step_q != 4'd15) step_q <= step_q + 4'd1;
  end

  logic [8:0]      exp, model_exp;
  logic [SumW-1:0] sum, model_sum;
  logic [2:0]      flags, model_flags;
  dot_group #(.D(D), .Frac(Frac), .Cuts(Cuts), .Pairs(1'b1)) u_group (
    .clk_i, .mode_i (mode), .xe_i (xe), .xnz_i (xnz), .xinf_i (xinf), .xs_i (xs), .xm_i (x_low), .xt_i (t_low),
    .we_i (we), .ws_i (ws), .wm_i (wm_q[Early-1]), .xp_i (xp), .wp_i (wp), .xq_i (xq), .wb_i (wb_q[Early-1]),
    .exp_o (exp), .sum_o (sum), .flags_o (flags)
  );
  pair_group_model #(.D(D), .Frac(Frac), .Cuts(Cuts)) u_model (
    .clk_i, .v_i ('1), .mode_i (mode), .xe_i (xe), .xs_i (xs), .xm_i (x_low),
    .we_i (we), .ws_i (ws), .wm_i (wm_q[Early-1]), .xp_i (xp), .wp_i (wp), .xq_i (xq), .wb_i (wb_q[Early-1]),
    .exp_o (model_exp), .sum_o (model_sum), .flags_o (model_flags)
  );
  // Registers start free and nothing is fed back: what holds in the first cycle after the pipeline has filled
  // holds in every later one.
  always_comb begin
    if (step_q == 4'(Early + Late)) begin
      Exp_A:   assert (exp == model_exp);
      Sum_A:   assert (sum == model_sum);
      Flags_A: assert (flags == model_flags);
      Negative_C: cover (sum[SumW-1] && exp != 9'd0);
      Infinite_C: cover (flags[1] == (Mode != 2) && sum != '0);
    end
  end
endmodule
