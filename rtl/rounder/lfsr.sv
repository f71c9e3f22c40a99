// One lane's source of random words: a 32-bit Fibonacci LFSR that leaps 32 steps per word, so no
// two roundings share a bit, and a whitening of its state that makes the words non-linear in it.
// A zero state, loaded or by upset, counts as one from the next advance on.
//
//   [state_q] --leap--> [state_q]        state_q --whiten--> word_o
//
// With Pairs it has the word behind as well, and can leave both behind in one cycle.
// Timing  state_o is a register, the words are functions of it; load_i wins over advance_i.
// Model   sim/model/lfsr.hpp, Leap and RandomWord        Test  tb/rounder/lfsr_test.cpp
`default_nettype none
module lfsr #(
  parameter logic [31:0] ResetState = 32'h1,  // nonzero: LaneSeed() of lfsr.hpp
  parameter bit          Whiten     = 1'b1,   // 0: the words are the plain LFSR's bits
  parameter bit          Pairs      = 1'b0    // two words a cycle
) (
  input  logic        clk_i,
  input  logic        rst_ni,
  input  logic        advance_i,  // the word was used
  input  logic        two_i,      // so was the second one (Pairs)
  input  logic        load_i,
  input  logic [31:0] load_value_i,
  output logic [31:0] state_o,
  output logic [23:0] word_o,
  output logic [23:0] word_2_o    // the one behind word_o (Pairs)
);
  if (ResetState == '0) begin : gen_bad_reset_state
    $error("lfsr: ResetState must not be 0");
  end

  logic [31:0] state_q;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) state_q <= ResetState;
    else if (load_i) state_q <= load_value_i;
    else if (advance_i) begin
      if (Pairs && two_i) state_q <= rounder_pkg::Next(rounder_pkg::Leap(state_q));
      else state_q <= rounder_pkg::Leap(state_q);
    end
  end

  assign state_o = state_q;
  assign word_o  = rounder_pkg::Word(Whiten ? rounder_pkg::Whiten(state_q) : state_q);
  if (Pairs) begin : gen_pairs
    logic [31:0] next;
    assign next     = rounder_pkg::Leap(state_q);
    assign word_2_o = rounder_pkg::Word(Whiten ? rounder_pkg::Whiten(next) : next);
  end else begin : gen_one
    assign word_2_o = '0;
  end
endmodule
