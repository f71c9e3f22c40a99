// Eight PEs that share a moving element, each with one of its own standing: one product a PE and cycle, through the
// array's decoder. The other lane of a PE, and its north, are zero.
`default_nettype none
module pe_product_tb #(
  localparam int unsigned Pes   = 8,
  localparam int unsigned D     = 2,
  localparam int unsigned SumW  = 17 + array_pkg::Frac + 1,
  localparam int unsigned Early = array_pkg::EarlyCycles(array_pkg::Cuts),
  localparam int unsigned Steps = Early + array_pkg::LateCycles(array_pkg::Cuts)
                                + array_pkg::MergeCycles(array_pkg::Cuts)
) (
  input  logic              clk_i,
  input  logic              lane_i,     // of the PEs that is used: constant
  input  logic [3:0]        x_dtype_i,
  input  logic [3:0]        w_dtype_i,
  input  logic [15:0]       x_i,
  input  logic              w_load_i,   // active for the x_i of the cycle after the next
  input  logic [Pes*16-1:0] w_i,
  output logic              x_nan_o,    // combinational: NaN goes past the PEs
  output logic [Pes-1:0]    w_nan_o,
  output logic [Pes*16-1:0] exp_o,      // Steps - 1 cycles after x_i
  output logic [Pes*32-1:0] sum_o,      // Steps cycles after x_i, sign-extended
  output logic [Pes*4-1:0]  flags_o
);
  logic       x_sign;
  logic [7:0] x_exp, x_sig;
  logic [7:0] x_sig_q [Early];
  logic       load_q [Early + 1];
  logic [9:0] triple;
  operand_decode #(.Rows(1)) u_x_decode (
    .dtype_i (x_dtype_i), .piece_i ('0), .finite_i (1'b0), .byte_i (1'b0), .signed_i (1'b0), .one_i (1'b0),
    .rows_i (1'b1), .elem_i ({16'b0, x_i}), .operand_o ({x_sign, x_exp, x_sig}), .nan_o (x_nan_o)
  );
  assign triple = 10'(x_sig_q[Early-1]) + {1'b0, x_sig_q[Early-1], 1'b0};
  always_ff @(posedge clk_i) begin
    x_sig_q[0] <= x_sig;
    load_q[0]  <= w_load_i;
    for (int unsigned k = 1; k < Early; k++) x_sig_q[k] <= x_sig_q[k-1];
    for (int unsigned k = 1; k < Early + 1; k++) load_q[k] <= load_q[k-1];
  end

  for (genvar p = 0; p < Pes; p++) begin : gen_pe
    logic            w_sign;
    logic [7:0]      w_exp, w_sig;
    logic [7:0]      w_sig_q [Early];
    logic [8:0]      exp;
    logic [SumW-1:0] sum;
    logic [2:0]      flags;
    operand_decode #(.Rows(1)) u_w_decode (
      .dtype_i (w_dtype_i), .piece_i ('0), .finite_i (1'b0), .byte_i (1'b0), .signed_i (1'b0), .one_i (1'b0),
      .rows_i (1'b1), .elem_i ({16'b0, w_i[16*p +: 16]}), .operand_o ({w_sign, w_exp, w_sig}), .nan_o (w_nan_o[p])
    );
    always_ff @(posedge clk_i) begin
      w_sig_q[0] <= w_sig;
      for (int unsigned k = 1; k < Early; k++) w_sig_q[k] <= w_sig_q[k-1];
    end
    dot_pe #(.D(D), .SumW(SumW)) u_pe (
      .clk_i,
      .we_shift_i (w_load_i), .we_swap_i (load_q[0]),
      .wm_shift_i (load_q[Early-1]), .wm_swap_i (load_q[Early]),
      .we_i (lane_i ? {w_exp, 8'b0} : {8'b0, w_exp}), .ws_i (lane_i ? {w_sign, 1'b0} : {1'b0, w_sign}),
      .wm_i (lane_i ? {w_sig_q[Early-1], 8'b0} : {8'b0, w_sig_q[Early-1]}),
      .we_o (), .ws_o (), .wm_o (), .wp_i ('0), .wp_o (), .mode_i ('0), .xp_i ('0), .xq_i ('0),
      .v_i ({Steps{1'b1}}),
      .xe_i (lane_i ? {x_exp, 8'b0} : {8'b0, x_exp}),
      .xnz_i (lane_i ? {x_exp != '0, 1'b0} : {1'b0, x_exp != '0}),
      .xinf_i (lane_i ? {x_exp == '1, 1'b0} : {1'b0, x_exp == '1}),
      .xs_i (lane_i ? {x_sign, 1'b0} : {1'b0, x_sign}),
      .xm_i (lane_i ? {x_sig_q[Early-1], 8'b0} : {8'b0, x_sig_q[Early-1]}),
      .xt_i (lane_i ? {triple, 10'b0} : {10'b0, triple}),
      .n_exp_i ('0), .n_sum_i ('0), .n_flags_i ('0),
      .s_exp_o (exp), .s_sum_o (sum), .s_flags_o (flags)
    );
    assign exp_o[16*p +: 16]  = 16'(exp);
    assign sum_o[32*p +: 32]  = 32'($signed(sum));
    assign flags_o[4*p +: 4]  = 4'(flags);
  end
endmodule
