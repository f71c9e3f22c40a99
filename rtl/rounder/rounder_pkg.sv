// The rounder's computations as functions: narrow an fp32, leap an LFSR, whiten its state.
//
// Functions, so that a caller may evaluate them under its own clock enable and cost a simulator
// nothing while it idles; rounder and lfsr wrap them as modules.
//
// Model   sim/model/formats.hpp, NarrowFromFp32; sim/model/lfsr.hpp, Leap, Whiten
// Test    tb/rounder/rounder_test.cpp, tb/rounder/lfsr_test.cpp, tb/proof/rounder_proof.sv
`default_nettype none
package rounder_pkg;
  localparam int unsigned RandomBits = 24;  // of a rounding: a whole significand's
  localparam int unsigned LeapSteps  = 32;  // of the LFSR from one word to the next

  // fp32 to a right-justified element of any dtype; formats.hpp states every rule. One datapath:
  //
  //   significand --(>> shift)--> kept . fraction --> up
  //                                 +----(insert exponent)--(+ up)--> result
  //
  // The fraction keeps 24 bits. Stochastic rounding goes up when it and the random word carry.
  // Bits that fall off below the fraction need no sticky: the significand has 24 bits, so a
  // fraction with lower ones is below a half.
  //
  // short_only, a constant, is for callers with dtypes of at most 16 bits, which keep at most ten
  // bits below the hidden one: a quarter less to build.
  function automatic logic [31:0] NarrowOf(input logic short_only, input logic [3:0] dtype,
                                           input logic [1:0] round, input logic sat,
                                           input logic [23:0] random, input logic [31:0] fp32);
    logic        sign, nan, inf, is_int, is_int8, is_float, is_fp8, normal, neg, lost_all;
    logic [7:0]  exponent, floor, kink, grid, above, shift, field;
    logic [31:0] kept, whole, res;
    logic [23:0] fraction;
    logic [6:0]  unused_sum;
    logic [15:0] max_finite, overflow, quiet, bits;
    logic        sign_at_15, carry, up, past, int_out;

    // Per format: floor is the biased fp32 exponent of its smallest normal number, kink the
    // exponent whose unit would need no shift. Below floor the grid stays and the shift grows.
    is_int8    = dtype == dither_pkg::DtypeInt8;
    is_int     = is_int8 || (!short_only && dtype == dither_pkg::DtypeInt32);
    is_float   = 1'b1;
    is_fp8     = 1'b0;
    floor      = 8'd158;
    kink       = 8'd158;
    max_finite = '0;
    overflow   = '0;
    quiet      = '0;
    sign_at_15 = 1'b1;
    case (dtype)
      dither_pkg::DtypeBf16: begin
        floor      = 8'd1;
        kink       = 8'd25;
        max_finite = 16'h7f7f;
        overflow   = 16'h7f80;
        quiet      = 16'h7fc0;
      end
      dither_pkg::DtypeFp16: begin
        floor      = 8'd113;
        kink       = 8'd134;
        max_finite = 16'h7bff;
        overflow   = 16'h7c00;
        quiet      = 16'h7e00;
      end
      dither_pkg::DtypeFp8E4M3: begin
        floor      = 8'd121;
        kink       = 8'd149;
        max_finite = 16'h7e;
        overflow   = 16'h7f;
        quiet      = 16'h7f;
        sign_at_15 = 1'b0;
        is_fp8     = 1'b1;
      end
      dither_pkg::DtypeFp8E5M2: begin
        floor      = 8'd113;
        kink       = 8'd142;
        max_finite = 16'h7b;
        overflow   = 16'h7c;
        quiet      = 16'h7e;
        sign_at_15 = 1'b0;
        is_fp8     = 1'b1;
      end
      default: is_float = 1'b0;
    endcase

    sign     = fp32[31];
    nan      = fp32[30:0] > 31'h7f80_0000;
    inf      = fp32[30:0] == 31'h7f80_0000;
    normal   = fp32[30:23] != '0;
    exponent = normal ? fp32[30:23] : 8'd1;
    grid     = exponent < floor ? exponent : floor;
    above    = exponent - grid;
    shift    = kink - grid;
    lost_all = shift[7:6] != '0;
    {kept, fraction} = lost_all ? '0 : {normal, fp32[22:0], 32'b0} >> shift[5:0];
    if (short_only) kept[31:10] = '0;

    // The hidden one makes way for the exponent field, which rounding may carry into.
    field = normal && exponent >= floor ? above + 8'd1 : '0;
    case (dtype)
      dither_pkg::DtypeBf16:    whole = {17'b0, field, kept[6:0]};
      dither_pkg::DtypeFp16:    whole = {14'b0, field, kept[9:0]};
      dither_pkg::DtypeFp8E4M3: whole = {21'b0, field, kept[2:0]};
      dither_pkg::DtypeFp8E5M2: whole = {22'b0, field, kept[1:0]};
      default:                  whole = kept;
    endcase

    // The carry of fraction + random alone, by six bits: yosys would build one long sum as a prefix
    // adder, and the stochastic mode would cost more than twice as much.
    carry = 1'b0;
    for (int unsigned k = 0; k < RandomBits; k += 6) begin
      {carry, unused_sum} = {1'b0, fraction[k +: 6], carry} + {1'b0, random[k +: 6], carry};
    end
    case (round)
      dither_pkg::RoundRne: up = fraction[23] && (fraction[22:0] != '0 || kept[0]);
      dither_pkg::RoundSr:  up = carry;
      default:              up = 1'b0;
    endcase

    // A negative integer rounds by magnitude and negates in the same addition:
    // -(kept + up) = ~kept + 1 - up.
    neg = is_int && sign;
    res = (whole ^ {32{neg}}) + {31'b0, up ^ neg};

    past    = res[17:0] > {2'b0, max_finite};  // a float's exponent field has eight bits
    int_out = exponent >= (is_int8 ? 8'd135 : 8'd158) || (is_int8 && res[9:7] != '0 && res[9:7] != '1);
    if (nan) bits = quiet;
    else if (inf) bits = sat && is_fp8 ? max_finite : overflow;
    else if (past) bits = sat || round == dither_pkg::RoundRtz ? max_finite : overflow;
    else bits = res[15:0];

    if (is_float) begin
      NarrowOf = {16'b0, bits[15] || (sign && sign_at_15), bits[14:8],
                bits[7] || (sign && !sign_at_15), bits[6:0]};
    end else if (is_int) begin
      if (nan) NarrowOf = '0;
      else if (int_out) NarrowOf = is_int8 ? {24'b0, sign, {7{!sign}}} : {sign, {31{!sign}}};
      else NarrowOf = is_int8 ? {24'b0, res[7:0]} : res;
    end else begin
      NarrowOf = fp32;
    end
  endfunction

  function automatic logic [31:0] Narrow(input logic [3:0] dtype, input logic [1:0] round,
                                         input logic sat, input logic [23:0] random,
                                         input logic [31:0] fp32);
    Narrow = rounder_pkg::NarrowOf(1'b0, dtype, round, sat, random, fp32);
  endfunction

  // Narrow to a dtype of at most 16 bits, for those who have no other; else arbitrary.
  function automatic logic [15:0] NarrowShort(input logic [3:0] dtype, input logic [1:0] round,
                                              input logic sat, input logic [23:0] random,
                                              input logic [31:0] fp32);
    logic [15:0] unused_above;
    {unused_above, NarrowShort} = rounder_pkg::NarrowOf(1'b1, dtype, round, sat, random, fp32);
  endfunction

  // Whether the dtype may discard bits, so that narrowing to it uses up one random word.
  function automatic logic Narrows(input logic [3:0] dtype);
    Narrows = dtype > dither_pkg::DtypeFp32 && dtype <= dither_pkg::DtypeInt32;
  endfunction

  // 32 steps of the Fibonacci LFSR at once: bits 32..63 of the sequence whose bits 0..31 are the
  // state, bit n+32 being the sum of bits n, n+5, n+18 and n+23. Neighbours share the sums two bits
  // at a time (s[n] + s[n+18]), and bit n+32 needs none later than n+23: nine at once, eight XORs
  // deep. The state is not 0, and so isn't the next.
  function automatic logic [31:0] Next(input logic [31:0] state);
    logic [63:0] s, pair;
    s = {32'b0, state};
    for (int unsigned n = 0; n < 36; n += 9) begin
      pair = s ^ (s >> 18);
      s    = s | (((pair ^ (pair >> 5)) >> n & 64'h1ff) << (n + 32));
    end
    Next = s[63:32];
  endfunction

  // The state of the next word. State 0, outside the cycle, counts as state 1.
  function automatic logic [31:0] Leap(input logic [31:0] state);
    Leap = rounder_pkg::Next({state[31:1], state[0] || state[31:1] == '0});
  endfunction

  // Makes a state's bits non-linear, without those at multiples of four, which no word sees; of the
  // other 24 it is a one-to-one map, so words are as uniform as states. Bits 29 to 31 take in
  // products first; then a chain goes up each of the three places of a nibble, starting from bit 31:
  // degree 5 and more in the state, and eleven products deep.
  function automatic logic [31:0] Whiten(input logic [31:0] state);
    logic [31:0] w;
    w     = state;
    w[29] = w[29] ^ (w[30] && w[31]);
    w[30] = w[30] ^ (w[29] && w[15]);
    w[31] = w[31] ^ (w[30] && w[11]);
    for (int unsigned k = 0; k < 32; k += 4) begin
      w[k+1 +: 3] = w[k+1 +: 3]
                  ^ ((k == 0 ? {3{w[31]}} : w[(k+28)%32+1 +: 3]) & w[(k+24)%32+1 +: 3]);
    end
    Whiten = w;
  endfunction

  // The random word: the upper three bits of each nibble. The recurrence takes its four bits from
  // all four places of a nibble, so it never holds among the bits that words see. The low end
  // settles first, as Narrow's carry wants it.
  function automatic logic [23:0] Word(input logic [31:0] white);
    logic [23:0] word;
    for (int unsigned k = 0; k < 8; k++) word[3*k +: 3] = white[4*k+1 +: 3];
    Word = word;
  endfunction
endpackage
