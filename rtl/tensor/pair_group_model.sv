// dot_group with Pairs = 1 in as few operations as a simulator needs, with the same latency and results.
//
// The counterpart of dot_group_model: every step under its valid bit, the cuts of the hardware as delays behind.
// Timing  as dot_group        Model  sim/model/column_sum.hpp (AddGroup)        Test  tb/tensor/pe_array_test.cpp
`default_nettype none
module pair_group_model #(
  parameter  int unsigned D     = 16,
  parameter  int unsigned Frac  = 12,
  parameter  logic [6:0]  Cuts  = array_pkg::Cuts,
  localparam int unsigned Early = array_pkg::EarlyCycles(Cuts),
  localparam int unsigned Late  = array_pkg::LateCycles(Cuts),
  localparam int unsigned SumW  = array_pkg::SumBits(D, Frac, 1'b1)
) (
  input  logic                  clk_i,
  input  logic [Early+Late-1:0] v_i,     // bit k: the data of step k is valid
  input  logic [1:0]            mode_i,  // the rest as in dot_group
  input  logic [D*8-1:0]        xe_i,
  input  logic [D-1:0]          xs_i,
  input  logic [D*8-1:0]        xm_i,
  input  logic [D*8-1:0]        we_i,
  input  logic [D-1:0]          ws_i,
  input  logic [D*8-1:0]        wm_i,
  input  logic [D*8-1:0]        xp_i,
  input  logic [D*3-1:0]        wp_i,
  input  logic [D*35-1:0]       xq_i,
  input  logic [D*8-1:0]        wb_i,
  output logic [8:0]            exp_o,
  output logic [SumW-1:0]       sum_o,
  output logic [2:0]            flags_o
);
  // Entry i is lane 0 of row i, entry D + i its lane 1.
  localparam int unsigned N     = 2 * D;
  localparam int unsigned StepW = N * 6 + 2;  // {modes, signs, distances}
  logic [StepW-1:0] step_q [Early];
  logic [11:0]      group_q [Early + Late];  // {flags, exponent}
  always_ff @(posedge clk_i) begin : exponents
    logic [N*9-1:0] e;
    logic [7:0]     xe, we, inf;
    logic [8:0]     largest, distance;
    logic [N-1:0]   sign;
    logic           zero, infinite;
    logic [2:0]     flags;
    if (v_i[0]) begin
      largest = '0;
      flags   = '0;
      inf     = mode_i[0] ? 8'd31 : 8'd255;
      for (int unsigned i = 0; i < N; i++) begin
        if (i < D) begin
          xe = xe_i[8*i +: 8];
          we = mode_i[0] ? {3'b0, we_i[8*i +: 5]} : we_i[8*i +: 8];
          sign[i] = xs_i[i] ^ ws_i[i];
        end else begin
          xe = {3'b0, xp_i[8*(i-D) +: 5]};
          we = mode_i[0] ? {3'b0, wp_i[3*(i-D) +: 2], we_i[8*(i-D)+5 +: 3]} : 8'd0;
          sign[i] = xp_i[8*(i-D)+7] ^ wp_i[3*(i-D)+2];
        end
        zero          = xe == '0 || we == '0;
        infinite      = (xe == inf || we == inf) && !mode_i[1];
        e[9*i +: 9]   = zero ? 9'd0 : 9'(xe) + 9'(we);
        if (e[9*i +: 9] > largest) largest = e[9*i +: 9];
        if (infinite) flags = flags | {zero, !sign[i], sign[i]};
      end
      for (int unsigned i = 0; i < N; i++) begin
        distance = largest - e[9*i +: 9];
        step_q[0][5*i +: 5] <= mode_i[1] ? 5'd0 : distance > 9'd31 ? 5'd31 : distance[4:0];
      end
      step_q[0][StepW-1 -: N+2] <= {mode_i, sign};
      if (mode_i[1])                         group_q[0] <= 12'd2;
      else if (mode_i[0] && largest != 9'd0) group_q[0] <= {flags, largest + 9'd224};
      else                                   group_q[0] <= {flags, largest};
    end
    for (int unsigned k = 1; k < Early; k++) if (v_i[k]) step_q[k] <= step_q[k-1];
    for (int unsigned k = 1; k < Early + Late; k++) if (v_i[k]) group_q[k] <= group_q[k-1];
  end
  assign exp_o   = group_q[Early+Late-2][8:0];
  assign flags_o = group_q[Early+Late-1][11:9];
  logic unused_exp;
  assign unused_exp = ^group_q[Early+Late-1][8:0];

  // Step Early: products, aligned and summed. Eight of them fit 32 bits.
  logic [SumW-1:0]  sum_q [Late];
  logic [StepW-1:0] step;
  assign step = step_q[Early-1];
  always_ff @(posedge clk_i) begin : significands
    logic [SumW-1:0] sum;
    logic [31:0]     part, mag;
    logic [15:0]     p;
    logic            sign;
    if (v_i[Early]) begin
      sum = '0;
      for (int unsigned o = 0; o < N; o = o + 8) begin
        part = '0;
        for (int unsigned i = o; i < o + 8; i++) begin
          if (i < N) begin
            case (step[StepW-1 -: 2])
              array_pkg::ModeFp8: begin
                if (i < D) p = {8'(xq_i[35*i+4 +: 4]) * 8'(wm_i[8*i+4 +: 4]), 8'b0};
                else       p = {8'(xm_i[8*(i-D) +: 4]) * 8'(wm_i[8*(i-D) +: 4]), 8'b0};
              end
              array_pkg::ModeInt8: begin
                if (i < D) p = 16'(xm_i[8*i +: 8]) * 16'(wm_i[8*i +: 8]);
                else       p = 16'(xq_i[35*(i-D)+18 +: 8]) * 16'(wb_i[8*(i-D) +: 8]);
              end
              default: p = i < D ? 16'(xm_i[8*i +: 8]) * 16'(wm_i[8*i +: 8]) : 16'd0;
            endcase
            mag  = (32'(p) << Frac) >> step[5*i +: 5];
            sign = step[5*N+i];
            part = part + ((mag ^ {32{sign}}) + 32'(sign));
          end
        end
        sum = sum + SumW'($signed(part));
      end
      sum_q[0] <= sum;
    end
    for (int unsigned k = 1; k < Late; k++) if (v_i[Early+k]) sum_q[k] <= sum_q[k-1];
  end
  assign sum_o = sum_q[Late-1];
  logic unused_bits;
  assign unused_bits = ^{xp_i, xq_i};
endmodule
