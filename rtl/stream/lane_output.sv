// Last stage of a vector or scalar lane: narrows the fp32 result, maybe with a random word.
//
// advance_o asks for the next random word: once per result narrowed stochastically, never else.
// Timing  bits_o in the cycle after take_i; advance_o with take_i.
// Model   sim/model/formats.hpp, NarrowFromFp32        Test  tb/vector/vector_engine_test.cpp
`default_nettype none
module lane_output (
  input  logic        clk_i,
  input  logic        take_i,    // fp32_i is a result of this lane, and the pipe advances
  input  logic [31:0] fp32_i,
  input  logic [3:0]  dtype_i,
  input  logic [1:0]  round_i,
  input  logic        sat_i,
  input  logic [23:0] random_i,
  output logic        advance_o,
  output logic [31:0] bits_o     // right-justified
);
  logic [31:0] bits_q;

  // The function and not the rounder module: a simulator evaluates it in busy cycles only.
  always_ff @(posedge clk_i) begin
    if (take_i) bits_q <= rounder_pkg::Narrow(dtype_i, round_i, sat_i, random_i, fp32_i);
  end
  assign bits_o    = bits_q;
  assign advance_o = take_i && round_i == dither_pkg::RoundSr && rounder_pkg::Narrows(dtype_i);
endmodule
