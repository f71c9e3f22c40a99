// Reset states of the rounders' LFSRs: lane i of n starts i * floor((2^32 - 1) / n) steps behind
// lane 0, so no two lanes meet before that many random bits are used up.
//
// Constant functions only. Bit j of a state is bit j of the LFSR's sequence from here on, and the
// sequence N steps on is the sum of those k steps on for which x^N modulo the polynomial holds x^k.
// Model   sim/model/lfsr.hpp, LaneSeed        Test  tb/vector/vector_engine_test.cpp
`default_nettype none
package lane_seed_pkg;
  // Product modulo x^32 + x^23 + x^18 + x^5 + 1; bit k is the coefficient of x^k.
  function automatic logic [31:0] MulMod(input logic [31:0] a, input logic [31:0] b);
    logic [31:0] r;
    r = '0;
    for (int unsigned j = 0; j < 32; j++) begin  // Horner from x^31 down to x^0
      r = {r[30:0], 1'b0} ^ (r[31] ? 32'h0084_0021 : 32'h0) ^ (b[31-j] ? a : 32'h0);
    end
    MulMod = r;
  endfunction

  // LaneSeed(1, lane, lanes).
  function automatic logic [31:0] LaneSeed(input int unsigned lane, input int unsigned lanes);
    logic [31:0] power, jump, state, sum, steps;
    steps = lane * (32'hffff_ffff / lanes);
    jump  = 32'h1;
    power = 32'h2;  // x
    for (int unsigned j = 0; j < 32; j++) begin
      if (steps[j]) jump = lane_seed_pkg::MulMod(jump, power);
      power = lane_seed_pkg::MulMod(power, power);
    end
    state = 32'h1;
    sum   = '0;
    for (int unsigned k = 0; k < 32; k++) begin
      if (jump[k]) sum = sum ^ state;
      state = {state[0] ^ state[5] ^ state[18] ^ state[23], state[31:1]};
    end
    LaneSeed = sum;
  endfunction
endpackage
