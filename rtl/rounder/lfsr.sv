// One lane's source of random words: a 32-bit Galois LFSR that leaps 32 steps per word, so no two
// roundings share a bit. The word is state_o itself. A zero, loaded or by upset, counts as one.
//
// Timing  state_o is a register; load_i wins over advance_i.
// Model   sim/model/lfsr.hpp, Leap        Test  tb/rounder/lfsr_test.cpp
`default_nettype none
module lfsr #(
  parameter logic [31:0] ResetState = 32'h1  // nonzero: LaneSeed() of lfsr.hpp
) (
  input  logic        clk_i,
  input  logic        rst_ni,
  input  logic        advance_i,  // the word was used
  input  logic        load_i,
  input  logic [31:0] load_value_i,
  output logic [31:0] state_o
);
  if (ResetState == '0) begin : gen_bad_reset_state
    $error("lfsr: ResetState must not be 0");
  end

  logic [31:0] state_q;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      state_q <= ResetState;
    end else if (load_i) begin
      state_q <= {load_value_i[31:1], load_value_i[0] || load_value_i == '0};
    end else if (advance_i) begin
      state_q <= rounder_pkg::Leap(state_q);
    end
  end

  assign state_o = state_q;
endmodule
