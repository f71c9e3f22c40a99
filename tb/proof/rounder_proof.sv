// What a narrowing has to give, written down a second time, and the proof obligations of the RTL.
//
// The specification is plain on purpose: the magnitude as a fixed-point number with all its bits
// on the grid of the result, an integer and a remainder; a decision by comparing the remainder;
// the result put together field by field. It shares no code, table or trick with rtl/rounder.
// Model   none: this is the second referee        Run  make proof-rounder (scripts/proof.py)
`default_nettype none
module rounder_spec (
  input  logic [3:0]  dtype_i,
  input  logic [1:0]  round_i,
  input  logic        sat_i,
  input  logic [23:0] random_i,
  input  logic [31:0] fp32_i,
  output logic [31:0] bits_o
);
  // An fp32 magnitude is sig * 2^(e - 23), e in -126..127.
  logic               sign, is_nan, is_inf;
  logic [23:0]        sig;
  logic signed [9:0]  e;
  assign sign   = fp32_i[31];
  assign is_nan = fp32_i[30:23] == 8'hff && fp32_i[22:0] != 0;
  assign is_inf = fp32_i[30:23] == 8'hff && fp32_i[22:0] == 0;
  assign sig    = {fp32_i[30:23] != 0, fp32_i[22:0]};
  assign e      = fp32_i[30:23] == 0 ? -10'sd126 : $signed({2'b0, fp32_i[30:23]}) - 10'sd127;

  // The formats: mantissa bits, exponent of the smallest and of the largest normal number.
  logic               is_float, is_e4m3, is_fp8;
  logic signed [9:0]  mant, emin, emax;
  always_comb begin
    is_float = 1'b1;
    {mant, emin, emax} = {10'sd7, -10'sd126, 10'sd127};  // bf16
    case (dtype_i)
      4'd2: ;
      4'd3: {mant, emin, emax} = {10'sd10, -10'sd14, 10'sd15};
      4'd4: {mant, emin, emax} = {10'sd3, -10'sd6, 10'sd8};
      4'd5: {mant, emin, emax} = {10'sd2, -10'sd14, 10'sd15};
      default: is_float = 1'b0;
    endcase
    is_e4m3 = dtype_i == 4'd4;
    is_fp8  = dtype_i == 4'd4 || dtype_i == 4'd5;
  end

  // Exponent of the result's last place, and how many bits of sig lie below it.
  logic signed [9:0] unit, below;
  assign unit  = !is_float ? 10'sd0 : (e > emin ? e : emin) - mant;
  assign below = unit - (e - 10'sd23);

  // whole . rest = sig / 2^below. Bits that fall off at the far end of the rest are of no account:
  // then the rest is below 2^-39.
  logic [119:0] fixed;
  logic [55:0]  whole, rounded;
  logic [63:0]  rest;
  logic         tiny, up;
  assign tiny  = below > 10'sd64;
  assign fixed = below < 0 ? {32'b0, sig, 64'b0} << 6'(-below) : {32'b0, sig, 64'b0} >> 7'(below);
  assign whole = tiny ? '0 : fixed[119:64];
  assign rest  = tiny ? '0 : fixed[63:0];
  always_comb begin
    case (round_i)
      2'd0: up = rest > {1'b1, 63'b0} || (rest == {1'b1, 63'b0} && whole[0]);
      // The word is a number in [0, 1) with 24 bits, and so is the part of the rest it is added to.
      2'd1: up = {1'b0, rest[63:40]} + {1'b0, random_i} >= 25'h100_0000;
      default: up = 1'b0;
    endcase
  end
  assign rounded = whole + 56'(up);

  // Float: rounded units of 2^unit, 2^(mant+1) at most.
  logic [55:0]        one;
  logic               carried, subnormal, beyond;
  logic signed [9:0]  result_e;
  logic [9:0]         result_field;
  logic [55:0]        result_mant;
  logic [15:0]        magnitude, infinite, largest;
  assign one          = 56'd1 << 4'(mant);
  assign carried      = rounded == one << 1;
  assign subnormal    = rounded < one;
  assign result_e     = (e > emin ? e : emin) + (carried ? 10'sd1 : 10'sd0);
  assign result_field = subnormal ? '0 : 10'(result_e - emin + 10'sd1);
  assign result_mant  = carried || subnormal ? (carried ? '0 : rounded) : rounded - one;
  assign beyond       = result_e > emax
                     || (is_e4m3 && result_e == emax && result_mant == 56'd7);  // its NaN pattern
  always_comb begin
    case (dtype_i)
      4'd2:    {infinite, largest} = {16'h7f80, 16'h7f7f};
      4'd3:    {infinite, largest} = {16'h7c00, 16'h7bff};
      4'd4:    {infinite, largest} = {16'h007f, 16'h007e};
      default: {infinite, largest} = {16'h007c, 16'h007b};
    endcase
    if (is_nan) begin
      case (dtype_i)
        4'd2:    magnitude = 16'h7fc0;
        4'd3:    magnitude = 16'h7e00;
        4'd4:    magnitude = 16'h007f;
        default: magnitude = 16'h007e;
      endcase
    end else if (is_inf) begin
      magnitude = is_fp8 && sat_i ? largest : infinite;
    end else if (beyond) begin
      magnitude = sat_i || round_i == 2'd2 ? largest : infinite;
    end else begin
      magnitude = 16'((56'(result_field) << 4'(mant)) + result_mant);
    end
  end

  // Integer: clamped as a signed number.
  logic signed [63:0] value, clamped;
  logic signed [63:0] highest, lowest;
  assign highest = dtype_i == 4'd6 ? 64'sd127 : 64'sd2147483647;
  assign lowest  = dtype_i == 4'd6 ? -64'sd128 : -64'sd2147483648;
  assign value   = sign ? -$signed({8'b0, rounded}) : $signed({8'b0, rounded});
  always_comb begin
    // From 2^32 on nothing is left to round, and the shift above would run out of places.
    if (is_nan) clamped = '0;
    else if (e >= 10'sd32) clamped = sign ? lowest : highest;
    else clamped = value > highest ? highest : value < lowest ? lowest : value;
  end

  always_comb begin
    if (is_float && is_fp8) bits_o = {24'b0, sign, magnitude[6:0]};
    else if (is_float) bits_o = {16'b0, sign, magnitude[14:0]};
    else if (dtype_i == 4'd6) bits_o = {24'b0, clamped[7:0]};
    else if (dtype_i == 4'd7) bits_o = clamped[31:0];
    else bits_o = fp32_i;
  end
endmodule

// For one dtype (or, with Dtype = 0, for all codes that are no narrowing): any input, any random
// word, any rounding, any saturation.
module rounder_proof #(
  parameter logic [3:0] Dtype = 4'd2
) (
  input logic [3:0]  code_i,
  input logic [1:0]  round_i,
  input logic        sat_i,
  input logic [23:0] random_i,
  input logic [31:0] fp32_i
);
  logic [3:0]  dtype;
  logic [31:0] rtl, spec, nearest, stochastic, zero, plain;
  logic        narrows, unused_n, unused_s, unused_z;
  assign dtype = Dtype == '0 ? (code_i > 4'd1 && code_i < 4'd8 ? 4'd0 : code_i) : Dtype;

  rounder u_rtl (
    .fp32_i, .dtype_i(dtype), .round_i, .sat_i, .random_i, .bits_o(rtl), .narrows_o(narrows)
  );
  rounder_spec u_spec (.dtype_i(dtype), .round_i, .sat_i, .random_i, .fp32_i, .bits_o(spec));
  rounder u_nearest (
    .fp32_i, .dtype_i(dtype), .round_i(2'd0), .sat_i, .random_i, .bits_o(nearest),
    .narrows_o(unused_n)
  );
  rounder u_stochastic (
    .fp32_i, .dtype_i(dtype), .round_i(2'd1), .sat_i, .random_i, .bits_o(stochastic),
    .narrows_o(unused_s)
  );
  rounder u_zero (
    .fp32_i, .dtype_i(dtype), .round_i(2'd2), .sat_i, .random_i, .bits_o(zero),
    .narrows_o(unused_z)
  );
  logic        is_short;
  logic [15:0] short_bits;
  assign is_short   = dtype >= 4'd2 && dtype <= 4'd6;
  assign short_bits = rounder_pkg::NarrowShort(dtype, round_i, sat_i, random_i, fp32_i);
  rne_caster u_plain (.fp32_i, .dtype_i(dtype), .round_i, .sat_i, .bits_o(plain));

  logic [14:0] largest;
  always_comb begin
    case (dtype)
      4'd3:    largest = 15'h7bff;
      4'd4:    largest = {7'b0, fp32_i[31], 7'h7e};
      4'd5:    largest = {7'b0, fp32_i[31], 7'h7b};
      default: largest = 15'h7f7f;
    endcase
  end
  logic special, is_int;
  assign special = fp32_i[30:23] == 8'hff;
  assign is_int  = dtype == 4'd6 || dtype == 4'd7;

  always_comb begin
    // The RTL gives what the specification says (the encoding has three roundings).
    Spec_A: assert (round_i == 2'd3 || rtl == spec);
    // NaN and infinity do not depend on the rounding: one set of rules for the three of them.
    Special_A: assert (!special || (nearest == zero && stochastic == zero));
    // A result is the one toward zero or its neighbour away from zero, overflow included.
    Nearest_A: assert (nearest == zero || nearest == (is_int && fp32_i[31] ? zero - 1 : zero + 1)
                       || (dtype == 4'd6 && nearest == 32'hff && zero == '0));
    Stochastic_A: assert (stochastic == zero
                          || stochastic == (is_int && fp32_i[31] ? zero - 1 : zero + 1)
                          || (dtype == 4'd6 && stochastic == 32'hff && zero == '0));
    // A zero word rounds toward zero; but what is past the largest number overflows all the same.
    ZeroWord_A: assert (random_i != '0 || stochastic == zero || zero[14:0] == largest);
    // It narrows exactly the six narrow types.
    Narrows_A: assert (narrows == (dtype >= 4'd2 && dtype <= 4'd7));
    // The form for short dtypes alone is the same function.
    Short_A: assert (!is_short || {16'b0, short_bits} == rtl);
    // The caster that stochastic rounding's cost is measured against does the same job without it.
    Baseline_A: assert (round_i == 2'd1 || round_i == 2'd3 || plain == rtl);
  end
endmodule

// The random source: a leap is 32 single steps of the recurrence, the whitening loses nothing.
module lfsr_proof (
  input logic [31:0] state_i
);
  function automatic logic [31:0] Steps(input logic [31:0] from);
    logic [31:0] s;
    s = from == '0 ? 32'd1 : from;
    for (int unsigned n = 0; n < 32; n++) s = {s[0] ^ s[5] ^ s[18] ^ s[23], s[31:1]};
    Steps = s;
  endfunction
  // Undoes the whitening, last step first, which needs results only.
  function automatic logic [31:0] Restore(input logic [31:0] word);
    logic [31:0] x;
    x = word;
    for (int unsigned n = 0; n < 8; n++) begin
      for (int unsigned m = 1; m < 4; m++) begin
        x[28-4*n+m] = x[28-4*n+m] ^ ((n == 7 ? x[31] : x[(56-4*n)%32+m]) & x[(52-4*n)%32+m]);
      end
    end
    x[31] = x[31] ^ (x[30] & x[11]);
    x[30] = x[30] ^ (x[29] & x[15]);
    x[29] = x[29] ^ (x[30] & x[31]);
    Restore = x;
  endfunction
  logic [31:0] leap, twice, white;
  assign leap  = rounder_pkg::Leap(state_i);
  assign twice = rounder_pkg::Next(leap);
  assign white = rounder_pkg::Whiten(state_i);
  always_comb begin
    Leap_A: assert (leap == Steps(state_i));
    Twice_A: assert (twice == Steps(Steps(state_i)));
    // The zero state is never reached from another one.
    NonZero_A: assert (leap != '0);
    OneToOne_A: assert (Restore(white) == state_i);
  end
endmodule
