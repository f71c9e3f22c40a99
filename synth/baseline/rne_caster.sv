// A caster of the rounder's formats that only rounds to nearest even and toward zero: what
// stochastic rounding is measured against (synth/rounder_cost.py). Guard bit, sticky bit, one increment.
//
// Timing  combinational.
// Test    tb/proof/rounder_proof.sv proves it equal to rounder for these two modes
`default_nettype none
module rne_caster (
  input  logic [31:0] fp32_i,
  input  logic [3:0]  dtype_i,
  input  logic [1:0]  round_i,
  input  logic        sat_i,
  output logic [31:0] bits_o
);
  function automatic logic [31:0] Narrow(input logic [3:0] dtype, input logic [1:0] round,
                                         input logic sat, input logic [31:0] fp32);
    logic        sign, nan, inf, is_int, is_int8, is_float, is_fp8, normal, neg, lost_all;
    logic [7:0]  exponent, floor, kink, grid, above, shift, field;
    logic [32:0] fixed;   // the guard bit last
    logic [31:0] kept, whole, res;
    logic [55:0] wide;
    logic        rest, up;
    logic [15:0] max_finite, overflow, quiet, bits;
    logic        sign_at_15, past, int_out;

    // Per format: floor is the biased fp32 exponent of its smallest normal number, kink the
    // exponent whose unit would need no shift. Below floor the grid stays and the shift grows.
    is_int8    = dtype == dither_pkg::DtypeInt8;
    is_int     = is_int8 || dtype == dither_pkg::DtypeInt32;
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
    // Everything below the guard bit is one bit: not zero if a one of the significand falls off.
    wide     = lost_all ? '0 : {normal, fp32[22:0], 32'b0} >> shift[5:0];
    fixed    = wide[55:23];
    rest     = wide[22:0] != '0 || lost_all;
    kept     = fixed[32:1];

    // The hidden one makes way for the exponent field, which rounding may carry into.
    field = normal && exponent >= floor ? above + 8'd1 : '0;
    case (dtype)
      dither_pkg::DtypeBf16:    whole = {17'b0, field, kept[6:0]};
      dither_pkg::DtypeFp16:    whole = {14'b0, field, kept[9:0]};
      dither_pkg::DtypeFp8E4M3: whole = {21'b0, field, kept[2:0]};
      dither_pkg::DtypeFp8E5M2: whole = {22'b0, field, kept[1:0]};
      default:                  whole = kept;
    endcase

    // -(t + up) = ~t + 1 - up
    neg = is_int && sign;
    up  = round == dither_pkg::RoundRne && fixed[0] && (rest || kept[0]);
    res = (whole ^ {32{neg}}) + 32'(up ^ neg);

    past    = res[17:0] > {2'b0, max_finite};
    int_out = exponent >= (is_int8 ? 8'd135 : 8'd158) || (is_int8 && res[9:7] != '0 && res[9:7] != '1);
    if (nan) bits = quiet;
    else if (inf) bits = sat && is_fp8 ? max_finite : overflow;
    else if (past) bits = sat || round == dither_pkg::RoundRtz ? max_finite : overflow;
    else bits = res[15:0];

    if (is_float) begin
      Narrow = {16'b0, bits[15] || (sign && sign_at_15), bits[14:8],
                bits[7] || (sign && !sign_at_15), bits[6:0]};
    end else if (is_int) begin
      if (nan) Narrow = '0;
      else if (int_out) Narrow = is_int8 ? {24'b0, sign, {7{!sign}}} : {sign, {31{!sign}}};
      else Narrow = is_int8 ? {24'b0, res[7:0]} : res;
    end else begin
      Narrow = fp32;
    end
  endfunction


  assign bits_o = Narrow(dtype_i, round_i, sat_i, fp32_i);
endmodule
