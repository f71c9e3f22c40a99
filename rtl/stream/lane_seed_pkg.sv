// Reset states of the rounders' LFSRs: lane i of n starts i * floor((2^32 - 1) / n) steps behind
// lane 0, so no two lanes meet before that many random bits are used up.
//
// Constant functions only. A state is a polynomial, bit j the coefficient of x^(31-j); a step
// multiplies by x, so a jump multiplies by a power of x modulo the LFSR's polynomial.
// Model   sim/model/lfsr.hpp, LaneSeed        Test  tb/vector/vector_engine_test.cpp
`default_nettype none
package lane_seed_pkg;
  function automatic logic [31:0] MulMod(input logic [31:0] a, input logic [31:0] b);
    logic [31:0] r;
    r = '0;
    for (int unsigned j = 0; j < 32; j++) begin  // Horner from x^31 down to x^0
      r = {1'b0, r[31:1]} ^ (r[0] ? 32'h8020_0003 : 32'h0) ^ (b[j] ? a : 32'h0);
    end
    MulMod = r;
  endfunction

  // LaneSeed(1, lane, lanes): the state 1 is the polynomial x^31.
  function automatic logic [31:0] LaneSeed(input int unsigned lane, input int unsigned lanes);
    logic [31:0] power, state, steps;
    steps = lane * (32'hffff_ffff / lanes);
    state = 32'h1;
    power = 32'h4000_0000;  // x
    for (int unsigned j = 0; j < 32; j++) begin
      if (steps[j]) state = lane_seed_pkg::MulMod(state, power);
      power = lane_seed_pkg::MulMod(power, power);
    end
    LaneSeed = state;
  endfunction
endpackage
