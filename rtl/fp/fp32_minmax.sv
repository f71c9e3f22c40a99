// IEEE 754-2019 maximum or minimum of two fp32: NaN if either is NaN, and -0 < +0.
// relu(x) is the maximum of x and +0.
//
// Timing  combinational; the caller registers.
// Model   sim/model/fp32.hpp, Fp32Max and Fp32Min        Test  tb/fp/fp32_minmax_test.cpp
`default_nettype none
module fp32_minmax (
  input  logic [31:0] a_i,
  input  logic [31:0] b_i,
  input  logic        min_i,  // 1 minimum, 0 maximum
  output logic [31:0] res_o
);
  assign res_o = fp_pkg::MaxMin(a_i, b_i, min_i);
endmodule
