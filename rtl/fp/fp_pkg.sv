// Combinational fp32 arithmetic as functions: normalise and round, maximum/minimum, widening.
//
// Functions and not modules, because a caller that evaluates them under its clock enable costs a
// simulator nothing while it idles; fp_widen and fp32_minmax wrap them for use as modules.
//
// Model   sim/model/formats.hpp, sim/model/fp32.hpp
// Test    tb/fp/fp_widen_test.cpp, fp32_minmax_test.cpp, fp32_fma_test.cpp, sum_acc_test.cpp
`default_nettype none
package fp_pkg;
  localparam logic [31:0] Nan = 32'h7fc0_0000;  // the one NaN that arithmetic produces
  localparam logic [30:0] Inf = 31'h7f80_0000;  // magnitude

  function automatic logic IsNan(input logic [30:0] magnitude);
    IsNan = magnitude > fp_pkg::Inf;
  endfunction

  // Leading zeros of a 64-bit word by halving; 63 when it is zero.
  function automatic logic [5:0] Lzc64(input logic [63:0] x);
    logic [31:0] x32;
    logic [15:0] x16;
    logic [7:0]  x8;
    logic [3:0]  x4;
    logic        x2, unused_x2;  // the last bit decides nothing
    logic [5:0]  n;
    n[5] = x[63:32] == '0;
    x32  = n[5] ? x[31:0] : x[63:32];
    n[4] = x32[31:16] == '0;
    x16  = n[4] ? x32[15:0] : x32[31:16];
    n[3] = x16[15:8] == '0;
    x8   = n[3] ? x16[7:0] : x16[15:8];
    n[2] = x8[7:4] == '0;
    x4   = n[2] ? x8[3:0] : x8[7:4];
    n[1] = x4[3:2] == '0;
    {x2, unused_x2} = n[1] ? x4[1:0] : x4[3:2];
    n[0] = !x2;
    Lzc64 = n;
  endfunction

  // The fp32 nearest to a two's complement value (negated when flip), ties to even, overflow to
  // infinity; zero gets the sign of flip. exponent is the biased exponent of value bit 63, 1..1000:
  // at least 1, so a subnormal result is only a normalising shift that stops early. Bit 0 may be a
  // jam of lower bits if 26 bits stand above it.
  //
  // A negative value is inverted, not negated: its magnitude is one more than what norm shows, and
  // that one only ever matters in the rounding decision. With g the guard bit and r the bits below,
  // r + 1 is never zero unless r is all ones; then guard and mantissa see a carry.
  function automatic logic [31:0] NormRound(input logic flip, input logic [63:0] value,
                                            input logic [9:0] exponent);
    logic        neg, up, rest;
    logic [5:0]  zeros, shift;
    logic [63:0] norm;
    logic [9:0]  field;
    logic [32:0] rounded;  // a carry out of the mantissa raises the exponent field
    neg     = value[63];
    zeros   = fp_pkg::Lzc64(value ^ {64{neg}});
    shift   = exponent > 10'(zeros) ? zeros : 6'(exponent - 10'd1);
    norm    = (value << shift) ^ {64{neg}};
    // Without a hidden one the number is subnormal, zero, or -1, whose norm is all ones but for it.
    field   = !norm[63] && !neg ? '0 : exponent - 10'(shift) - 10'(!norm[63]);
    rest    = (norm[38:0] ^ {39{neg}}) != '0;
    up      = neg ? norm[39] || (!rest && norm[40]) : norm[39] && (rest || norm[40]);
    rounded = {field, norm[62:40]} + 33'(up);
    NormRound = {neg ^ flip, rounded[32:23] >= 10'd255 ? fp_pkg::Inf : rounded[30:0]};
  endfunction

  // IEEE 754-2019 maximum, or minimum when min is set: NaN if either is, and -0 < +0.
  function automatic logic [31:0] MaxMin(input logic [31:0] a, input logic [31:0] b,
                                         input logic min);
    logic [31:0] key_a, key_b;  // unsigned integers in the order of the values
    logic        a_greater;
    key_a     = a[31] ? ~a : {1'b1, a[30:0]};
    key_b     = b[31] ? ~b : {1'b1, b[30:0]};
    a_greater = key_a > key_b;
    if (fp_pkg::IsNan(a[30:0]) || fp_pkg::IsNan(b[30:0])) MaxMin = fp_pkg::Nan;
    else MaxMin = a_greater != min ? a : b;
  endfunction

  // The exact value of a right-justified element as fp32 (int32: rounded to nearest even). NaN
  // becomes the quiet NaN with its sign kept; fp32, and an undefined dtype, pass untouched.
  function automatic logic [31:0] Widen(input logic [3:0] dtype, input logic [31:0] bits);
    logic        sign, nan, inf, direct;
    logic [32:0] value;     // significand, or two's complement integer
    logic [9:0]  exponent;  // biased, of value[32]
    sign     = 1'b0;        // of a float
    nan      = 1'b0;
    inf      = 1'b0;
    direct   = 1'b0;
    value    = '0;
    exponent = 10'd1;
    case (dtype)
      dither_pkg::DtypeFp16: begin
        sign     = bits[15];
        nan      = bits[14:10] == '1 && bits[9:0] != '0;
        inf      = bits[14:10] == '1;
        value    = {1'b0, bits[14:10] != '0, bits[9:0], 21'b0};
        exponent = 10'd113 + (bits[14:10] == '0 ? 10'd1 : 10'(bits[14:10]));
      end
      dither_pkg::DtypeFp8E4M3: begin
        sign     = bits[7];
        nan      = bits[6:0] == '1;
        value    = {1'b0, bits[6:3] != '0, bits[2:0], 28'b0};
        exponent = 10'd121 + (bits[6:3] == '0 ? 10'd1 : 10'(bits[6:3]));
      end
      dither_pkg::DtypeFp8E5M2: begin
        sign     = bits[7];
        nan      = bits[6:2] == '1 && bits[1:0] != '0;
        inf      = bits[6:2] == '1;
        value    = {1'b0, bits[6:2] != '0, bits[1:0], 29'b0};
        exponent = 10'd113 + (bits[6:2] == '0 ? 10'd1 : 10'(bits[6:2]));
      end
      dither_pkg::DtypeInt8: begin
        value    = {bits[7], bits[7:0], 24'b0};
        exponent = 10'd135;
      end
      dither_pkg::DtypeInt32: begin
        value    = {bits[31], bits};
        exponent = 10'd159;
      end
      dither_pkg::DtypeBf16: begin
        sign     = bits[15];
        nan      = bits[14:0] > 15'h7f80;
        direct   = 1'b1;
      end
      default: ;
    endcase
    if (nan) Widen = {sign, fp_pkg::Nan[30:0]};
    else if (inf) Widen = {sign, fp_pkg::Inf};
    else if (direct) Widen = {bits[15:0], 16'b0};
    else if (dtype < dither_pkg::DtypeFp16 || dtype > dither_pkg::DtypeInt32) Widen = bits;
    else Widen = fp_pkg::NormRound(sign, {value, 31'b0}, exponent);
  endfunction

  // Widen of a dtype of at most 16 bits, for callers that have no other: a third of its size. With
  // other dtypes the result is arbitrary.
  //
  // The significand has 11 bits, an int8's magnitude 8; what is no normal number shifts up to its
  // leading one, and the exponent, that of bit 10, comes down as far.
  function automatic logic [31:0] WidenShort(input logic [3:0] dtype, input logic [15:0] bits);
    logic        int8, e4m3, sign, nan, inf, hidden;
    logic [15:0] x;         // as fp16: an e5m2 is its upper half
    logic [7:0]  exponent;
    logic [10:0] norm;
    logic [3:0]  zeros;
    int8 = dtype == dither_pkg::DtypeInt8;
    e4m3 = dtype == dither_pkg::DtypeFp8E4M3;
    case (dtype)
      dither_pkg::DtypeFp16:    x = bits;
      dither_pkg::DtypeFp8E4M3: x = {bits[7], 1'b0, bits[6:0], 7'b0};
      default:                  x = {bits[7:0], 8'b0};
    endcase
    sign   = x[15];
    nan    = e4m3 ? bits[6:0] == '1 : x[14:10] == '1 && x[9:0] != '0;
    inf    = x[14:10] == '1;  // never of an e4m3
    hidden = x[14:10] != '0;
    if (int8) begin
      norm     = {(bits[7:0] ^ {8{sign}}) + 8'(sign), 3'b0};
      exponent = 8'd134;
    end else begin
      norm     = {hidden, x[9:0]};
      exponent = (e4m3 ? 8'd120 : 8'd112) + {3'b0, x[14:11], x[10] || !hidden};
    end
    zeros = '0;
    for (int k = 3; k >= 0; k--) begin
      if ((norm >> (11 - (1 << k))) == '0) begin
        zeros[k] = 1'b1;
        norm     = norm << (1 << k);
      end
    end
    if (dtype == dither_pkg::DtypeBf16) begin
      WidenShort = {bits, 16'b0};
      if (bits[14:0] > 15'h7f80) WidenShort[30:0] = fp_pkg::Nan[30:0];
    end else if (!int8 && (nan || inf)) begin
      WidenShort = {sign, nan ? fp_pkg::Nan[30:0] : fp_pkg::Inf};
    end else begin
      WidenShort = {sign, norm[10] ? exponent - 8'(zeros) : 8'd0, norm[9:0], 13'b0};
    end
  endfunction
endpackage
