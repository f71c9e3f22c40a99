// One mutant of the PE beside the PE without fault: differ_o stays low for all legal operands (scripts/mutants.py puts
// the mutant's number in). Both start with all registers at zero; what they hold after that comes from their inputs.
`default_nettype none
module mutant_miter #(
  localparam int unsigned D     = 4,
  localparam int unsigned SumW  = 32
) (
  input  logic            clk_i,
  input  logic [D*17-1:0] x_raw_i,
  input  logic [D*17-1:0] w_raw_i,
  input  logic            shift_i,
  input  logic            swap_i,
  input  logic [8:0]      n_exp_i,
  input  logic [SumW-1:0] n_sum_i,
  input  logic [2:0]      n_flags_i,
  output logic           differ_o
);
  // {sign, exponent, significand}: exponent 0 is zero, 255 infinity, 1 may lack the leading one.
  function automatic logic [16:0] legal(input logic [16:0] raw);
    logic [7:0] e, m;
    e = raw[15:8];
    m = e == 8'd0 ? 8'd0 : e == 8'd255 ? 8'd128 : {raw[7] || e != 8'd1, raw[6:0]};
    if (m == 8'd0) e = 8'd0;
    legal = {raw[16], e, m};
  endfunction

  logic [D*8-1:0]  xe, we, xm, wm, xm_q, wm_q;
  logic [D-1:0]    xs, ws, xnz, xinf;
  logic [D*10-1:0] xt;
  logic            shift_q, swap_q;
  for (genvar i = 0; i < D; i++) begin : gen_operand
    logic [9:0] m;
    assign {xs[i], xe[8*i +: 8], xm[8*i +: 8]} = legal(x_raw_i[17*i +: 17]);
    assign {ws[i], we[8*i +: 8], wm[8*i +: 8]} = legal(w_raw_i[17*i +: 17]);
    assign xnz[i]  = xe[8*i +: 8] != 8'd0;
    assign xinf[i] = xe[8*i +: 8] == 8'd255;
    assign m = 10'(xm_q[8*i +: 8]);
    assign xt[10*i +: 10] = m + m + m;
  end
  always_ff @(posedge clk_i) begin
    // Significands are a cycle behind: a PE without cuts, as scripts/mutants.py sets it.
    {xm_q, wm_q, shift_q, swap_q} <= {xm, wm, shift_i, swap_i};
  end

  // Entry 0 is the PE without fault.
  logic [2*SumW-1:0] sum;
  logic [17:0]       exp;
  logic [5:0]        flags;
  logic [2*D*17-1:0] weights;  // {exponents, signs, significands}
  for (genvar k = 0; k < 2; k++) begin : gen_pe
    mutant_pe u_pe (
      .clk_i, .mutsel (k == 0 ? MUTANT_WIDTH'd0 : MUTANT_WIDTH'dMUTANT), .v_i ('1),
      .we_shift_i (shift_i), .we_swap_i (swap_i), .wm_shift_i (shift_q), .wm_swap_i (swap_q),
      .we_i (we), .ws_i (ws), .wm_i (wm_q),
      .we_o (weights[D*17*k+D*9 +: D*8]), .ws_o (weights[D*17*k+D*8 +: D]), .wm_o (weights[D*17*k +: D*8]),
      .wp_i ('0), .wp_o (), .mode_i ('0), .xp_i ('0), .xq_i ('0),
      .xe_i (xe), .xnz_i (xnz), .xinf_i (xinf), .xs_i (xs), .xm_i (xm_q), .xt_i (xt),
      .n_exp_i, .n_sum_i, .n_flags_i,
      .s_exp_o (exp[9*k +: 9]), .s_sum_o (sum[SumW*k +: SumW]), .s_flags_o (flags[3*k +: 3])
    );
  end
  // Once a NaN was seen, infinities no longer matter.
  assign differ_o = weights[D*17-1:0] != weights[2*D*17-1:D*17] || exp[8:0] != exp[17:9]
                  || sum[SumW-1:0] != sum[2*SumW-1:SumW] || (flags[2] ? !flags[5] : flags[2:0] != flags[5:3]);
endmodule
