// Narrow one lane's fp32 to any dtype: nearest even, stochastic, or toward zero.
//
// Timing  combinational; the caller registers, and advances its LFSR for every element that
//         narrows_o marks (in every rounding mode or in RoundSr alone: the caller's contract).
// Model   sim/model/formats.hpp, NarrowFromFp32        Test  tb/rounder/rounder_test.cpp
// Proof   tb/proof/rounder_proof.sv
`default_nettype none
module rounder (
  input  logic [31:0] fp32_i,
  input  logic [3:0]  dtype_i,   // dither_pkg::Dtype*; fp32 and undefined codes pass untouched
  input  logic [1:0]  round_i,   // dither_pkg::Round*
  input  logic        sat_i,     // overflow gives the largest finite number, not infinity
  input  logic [23:0] random_i,
  output logic [31:0] bits_o,    // right-justified, zero above
  output logic        narrows_o  // the dtype is narrower than fp32's set of values
);
  assign bits_o    = rounder_pkg::Narrow(dtype_i, round_i, sat_i, random_i, fp32_i);
  assign narrows_o = rounder_pkg::Narrows(dtype_i);
endmodule
