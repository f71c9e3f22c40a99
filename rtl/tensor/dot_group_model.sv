// dot_group in as few operations as a simulator needs, with the same ports, latency and results.
//
// Everything of a step is computed at its first register, under its valid bit: an idle array costs nothing. The cuts of
// the hardware are delays behind it. Outputs in cycles without valid data differ from dot_group's; nobody reads them.
// Timing  as dot_group        Model  sim/model/column_sum.hpp (AddGroup)        Test  tb/tensor/pe_array_test.cpp
`default_nettype none
module dot_group_model #(
  parameter  int unsigned D     = 16,
  parameter  int unsigned Frac  = 12,
  parameter  logic [6:0]  Cuts  = array_pkg::Cuts,
  localparam int unsigned Early = array_pkg::EarlyCycles(Cuts),
  localparam int unsigned Late  = array_pkg::LateCycles(Cuts),
  localparam int unsigned SumW  = 17 + Frac + $clog2(D)
) (
  input  logic                  clk_i,
  input  logic [Early+Late-1:0] v_i,  // bit k: the data of step k is valid
  input  logic [D*8-1:0]        xe_i,
  input  logic [D-1:0]          xs_i,
  input  logic [D*8-1:0]        xm_i,
  input  logic [D*8-1:0]        we_i,
  input  logic [D-1:0]          ws_i,
  input  logic [D*8-1:0]        wm_i,
  output logic [8:0]            exp_o,
  output logic [SumW-1:0]       sum_o,
  output logic [2:0]            flags_o
);
  // Step 0: distances (limited to 31), signs, largest exponent, flags.
  logic [4:0]   shift_q [D];
  logic [D-1:0] sign_q;
  logic [11:0]  group_q [Early + Late];  // {flags, exponent}
  always_ff @(posedge clk_i) begin : exponents
    logic [8:0] e [D];
    logic [8:0] largest, distance;
    logic       zero, infinite, negative;
    logic [2:0] flags;
    if (v_i[0]) begin
      largest = '0;
      flags   = '0;
      for (int unsigned i = 0; i < D; i++) begin
        zero     = xe_i[8*i +: 8] == '0 || we_i[8*i +: 8] == '0;
        infinite = xe_i[8*i +: 8] == '1 || we_i[8*i +: 8] == '1;
        e[i]     = zero ? 9'd0 : 9'(xe_i[8*i +: 8]) + 9'(we_i[8*i +: 8]);
        if (e[i] > largest) largest = e[i];
        if (infinite) begin
          negative = xs_i[i] ^ ws_i[i];
          flags    = flags | {zero, !negative, negative};
        end
      end
      for (int unsigned i = 0; i < D; i++) begin
        distance   = largest - e[i];
        shift_q[i] <= distance > 9'd31 ? 5'd31 : distance[4:0];
      end
      sign_q     <= xs_i ^ ws_i;
      group_q[0] <= {flags, largest};
    end
    for (int unsigned k = 1; k < Early + Late; k++) if (v_i[k]) group_q[k] <= group_q[k-1];
  end
  assign exp_o   = group_q[Early+Late-2][8:0];
  assign flags_o = group_q[Early+Late-1][11:9];
  logic unused_exp;
  assign unused_exp = ^group_q[Early+Late-1][8:0];

  // The early cuts delay distances and signs.
  logic [4:0]   shift [D];
  logic [D-1:0] sign;
  if (Early == 1) begin : gen_now
    for (genvar i = 0; i < D; i++) begin : gen_lane
      assign shift[i] = shift_q[i];
    end
    assign sign = sign_q;
  end else begin : gen_later
    logic [4:0]   late_shift_q [(Early-1)*D];
    logic [D-1:0] late_sign_q [Early - 1];
    always_ff @(posedge clk_i) begin
      for (int unsigned k = 0; k < Early - 1; k++) begin
        if (v_i[k+1]) begin
          late_sign_q[k] <= k == 0 ? sign_q : late_sign_q[(k + Early - 2) % (Early - 1)];
          for (int unsigned i = 0; i < D; i++) begin
            late_shift_q[D*k+i] <= k == 0 ? shift_q[i] : late_shift_q[(D*(k + Early - 2) + i) % (D * (Early - 1))];
          end
        end
      end
    end
    for (genvar i = 0; i < D; i++) begin : gen_lane
      assign shift[i] = late_shift_q[D*(Early-2)+i];
    end
    assign sign = late_sign_q[Early-2];
  end

  // Step Early: products, aligned and summed. Eight of them fit 32 bits.
  logic [SumW-1:0] sum_q [Late];
  always_ff @(posedge clk_i) begin : significands
    logic [SumW-1:0] sum;
    logic [31:0]     part, mag;
    if (v_i[Early]) begin
      sum = '0;
      for (int unsigned o = 0; o < D; o = o + 8) begin
        part = '0;
        for (int unsigned i = o; i < o + 8; i++) begin
          if (i < D) begin
            mag  = ((32'(xm_i[8*i +: 8]) * 32'(wm_i[8*i +: 8])) << Frac) >> shift[i];
            part = part + ((mag ^ {32{sign[i]}}) + 32'(sign[i]));
          end
        end
        sum = sum + SumW'($signed(part));
      end
      sum_q[0] <= sum;
    end
    for (int unsigned k = 1; k < Late; k++) if (v_i[Early+k]) sum_q[k] <= sum_q[k-1];
  end
  assign sum_o = sum_q[Late-1];
endmodule
