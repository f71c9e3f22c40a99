// Running sum, maximum or minimum of a stream of fp32.
//
//   x --(align to the largest exponent | add)--[state]--(normalise | round)--[res]--> res_o
//
// The sum is fixed-point, slides to the largest exponent seen and rounds once at the end, so one
// element enters per cycle; fp32.hpp defines it. op_i may change only together with first_i.
// Timing  an element given with en_i in cycle t is part of res_o from cycle t+2 on.
// Model   sim/model/fp32.hpp, SumAccumulator        Test  tb/fp/sum_acc_test.cpp
`default_nettype none
module sum_acc (
  input  logic        clk_i,
  input  logic        en_i,
  input  logic        first_i,  // this element starts a new reduction
  input  logic [1:0]  op_i,     // dither_pkg::RedFunc: 0 sum, 1 maximum, 2 minimum
  input  logic [31:0] x_i,
  output logic [31:0] res_o
);
  localparam logic [1:0] OpSum = 2'(dither_pkg::RedFuncSum);
  localparam logic [1:0] OpMin = 2'(dither_pkg::RedFuncMin);

  logic        en_q;         // the state changed, so the result has to follow
  logic        extreme_q;    // maximum or minimum: the value is sum_q[31:0]
  logic        nan_q;
  logic        pos_inf_q;
  logic        neg_inf_q;
  logic        neg_zeros_q;  // nothing but -0 so far
  logic [7:0]  exponent_q;   // biased, 0 while no nonzero finite element has come
  logic [63:0] sum_q;        // two's complement, units of 2^(exponent - 127 - 23 - 16)
  logic [31:0] res_q;

  // One step of the fixed-point sum: {exponent, sum}. Only one side ever shifts.
  function automatic logic [71:0] AddTerm(input logic [7:0] exponent, input logic [63:0] sum,
                                          input logic [31:0] x);
    logic [7:0]  x_exp, rise, fall;
    logic        above;
    logic [5:0]  sum_shift, x_shift;
    logic [39:0] term;
    logic [63:0] kept;
    x_exp     = x[30:23] | 8'(x[30:23] == '0);
    above     = x_exp > exponent;
    rise      = x_exp - exponent;
    fall      = exponent - x_exp;
    sum_shift = !above ? 6'd0 : (rise > 8'd63 ? 6'd63 : rise[5:0]);
    x_shift   = above ? 6'd0 : (fall > 8'd63 ? 6'd63 : fall[5:0]);
    term      = {x[30:23] != '0, x[22:0], 16'b0} >> x_shift;
    kept      = $signed(sum) >>> sum_shift;
    AddTerm   = {above ? x_exp : exponent, kept + (64'(term) ^ {64{x[31]}}) + 64'(x[31])};
  endfunction

  logic zero, special, extreme;
  assign zero    = x_i[30:0] == '0;
  assign special = x_i[30:23] == '1;
  assign extreme = op_i != OpSum;

  always_ff @(posedge clk_i) begin
    en_q <= en_i;
    if (en_i) begin
      extreme_q   <= extreme;
      nan_q       <= (nan_q && !first_i) || fp_pkg::IsNan(x_i[30:0]);
      pos_inf_q   <= (pos_inf_q && !first_i) || x_i == {1'b0, fp_pkg::Inf};
      neg_inf_q   <= (neg_inf_q && !first_i) || x_i == {1'b1, fp_pkg::Inf};
      neg_zeros_q <= (neg_zeros_q || first_i) && x_i == 32'h8000_0000;
      if (extreme) begin
        sum_q <= {32'b0, first_i ? x_i
                : fp_pkg::MaxMin(sum_q[31:0], x_i, op_i == OpMin)};
      end else if (!zero && !special) begin
        {exponent_q, sum_q} <= AddTerm(first_i ? 8'd0 : exponent_q, first_i ? 64'd0 : sum_q, x_i);
      end else if (first_i) begin
        exponent_q <= '0;
        sum_q      <= '0;
      end
    end
    if (en_q) begin
      if (nan_q) res_q <= fp_pkg::Nan;
      else if (extreme_q) res_q <= sum_q[31:0];
      else if (pos_inf_q && neg_inf_q) res_q <= fp_pkg::Nan;
      else if (pos_inf_q || neg_inf_q) res_q <= {neg_inf_q, fp_pkg::Inf};
      else if (sum_q == '0) res_q <= {neg_zeros_q, 31'b0};
      // A one at bit 39 is the unit of an element with the largest exponent.
      else res_q <= fp_pkg::NormRound(1'b0, sum_q, 10'(exponent_q) + 10'd24);
    end
  end

  assign res_o = res_q;
endmodule
