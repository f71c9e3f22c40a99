// An SBUF element of every row as the array's operand {sign, exponent, significand}: (-1)^s * m * 2^(e - 134).
//
//   elem -- sign, exponent, 8 significand bits of dtype and piece -- normalise -- rows outside to +0 -- operand
//
// Every dtype and piece is a bf16 number (or an integer below 256 with e = 1), so one 8-bit normaliser serves
// all. A NaN becomes +0 and is reported for the column. Combinational.
// Model   sim/model/operand.hpp      Test  tb/tensor/tensor_engine_test.cpp
`default_nettype none
module operand_decode #(
  parameter int unsigned Rows = 16
) (
  input  logic [3:0]         dtype_i,
  input  logic [1:0]         piece_i,    // of fp16 and fp32; of an integer: its byte
  input  logic               finite_i,   // infinities and NaN count as +0
  input  logic               byte_i,     // transpose: a byte of the element, whatever its dtype,
  input  logic               signed_i,   // ... in two's complement
  input  logic               one_i,      // transpose: the integer 1
  input  logic [Rows-1:0]    rows_i,     // rows that take part
  input  logic [Rows*32-1:0] elem_i,     // right-justified, bits above the element arbitrary
  output logic [Rows*17-1:0] operand_o,
  output logic               nan_o       // a row that takes part holds a NaN
);
  // What the rows have in common. For m of 8 bits at bit 7 - shift below the leading place, the exponent is
  // field + offset: 127 - bias, less the 8 bits of each piece above.
  logic              integer_mode, fp32, fp16, e4m3, e5m2;
  logic signed [8:0] offset;
  assign integer_mode = byte_i || one_i || dtype_i == dither_pkg::DtypeInt8;
  assign fp32 = dtype_i == dither_pkg::DtypeFp32;
  assign fp16 = dtype_i == dither_pkg::DtypeFp16;
  assign e4m3 = dtype_i == dither_pkg::DtypeFp8E4M3;
  assign e5m2 = dtype_i == dither_pkg::DtypeFp8E5M2;
  always_comb begin
    offset = 9'sd0;  // bf16, fp32 piece 0
    if (fp32) offset = piece_i == 2'd0 ? 9'sd0 : piece_i == 2'd1 ? -9'sd8 : -9'sd16;
    if (fp16) offset = piece_i == 2'd0 ? 9'sd112 : 9'sd104;
    if (e4m3) offset = 9'sd120;
    if (e5m2) offset = 9'sd112;
  end

  // Leading zeros of 8 bits, 7 for a zero.
  function automatic logic [2:0] lzc(input logic [7:0] v);
    casez (v)
      8'b1???????: lzc = 3'd0;
      8'b01??????: lzc = 3'd1;
      8'b001?????: lzc = 3'd2;
      8'b0001????: lzc = 3'd3;
      8'b00001???: lzc = 3'd4;
      8'b000001??: lzc = 3'd5;
      8'b0000001?: lzc = 3'd6;
      default:     lzc = 3'd7;
    endcase
  endfunction

  // m * 2^(base - 134) normalised as far as an exponent of at least 1 allows; base is -15..254. Below that m
  // moves right, and what lies below 2^-133 is lost.
  function automatic logic [15:0] normalise(input logic signed [9:0] base, input logic [7:0] m);
    logic signed [9:0] room;  // base - 1: places that m may move up, or has to move down
    logic [2:0]        lead, up;
    logic [9:0]        down;
    logic [7:0]        v;
    room = base - 10'sd1;
    lead = lzc(m);
    up   = room[9] ? 3'd0 : room < $signed({7'b0, lead}) ? room[2:0] : lead;
    down = -room;
    v    = room[9] ? (down[9:3] != '0 ? '0 : m >> down[2:0]) : m << up;
    normalise = {v == '0 ? 8'd0 : room[9] ? 8'd1 : 8'(base) - 8'(up), v};
  endfunction

  logic [Rows-1:0] nan;
  always_comb begin
    logic        s, all_ones, man_zero;
    logic [7:0]  field, m, b;
    logic [31:0] v;
    s        = 1'b0;
    all_ones = 1'b0;
    man_zero = 1'b0;
    field    = '0;
    m        = '0;
    b        = '0;
    v        = '0;
    nan      = '0;
    operand_o = '0;
    for (int unsigned r = 0; r < Rows; r++) begin
      v = elem_i[32*r +: 32];
      // bf16; the others replace it.
      s        = v[15];
      field    = v[14:7];
      m        = {v[14:7] != '0, v[6:0]};
      all_ones = v[14:7] == '1;
      man_zero = v[6:0] == '0;
      if (fp32) begin
        s        = v[31];
        field    = v[30:23];
        m        = piece_i == 2'd0 ? {v[30:23] != '0, v[22:16]} : piece_i == 2'd1 ? v[15:8] : v[7:0];
        all_ones = v[30:23] == '1;
        man_zero = v[22:0] == '0;
      end
      if (fp16) begin
        field    = {3'b0, v[14:10]};
        m        = piece_i == 2'd0 ? {v[14:10] != '0, v[9:3]} : {v[2:0], 5'b0};
        all_ones = v[14:10] == '1;
        man_zero = v[9:0] == '0;
      end
      if (e4m3) begin
        s        = v[7];
        field    = {4'b0, v[6:3]};
        m        = {v[6:3] != '0, v[2:0], 4'b0};
        all_ones = v[6:0] == '1;   // NaN only
        man_zero = 1'b0;
      end
      if (e5m2) begin
        s        = v[7];
        field    = {3'b0, v[6:2]};
        m        = {v[6:2] != '0, v[1:0], 5'b0};
        all_ones = v[6:2] == '1;
        man_zero = v[1:0] == '0;
      end
      b = v[8*piece_i +: 8];
      if (integer_mode) begin
        s        = b[7] && (signed_i || !byte_i) && !one_i;
        m        = one_i ? 8'd1 : s ? -b : b;
        all_ones = 1'b0;
        operand_o[17*r +: 17] = {s, 7'b0, m != '0, m};
      end else begin
        operand_o[17*r +: 17] = {s, normalise(10'(offset) + $signed({2'b0, field})
                                              + $signed({9'b0, field == '0}), m)};
      end
      if (all_ones) operand_o[17*r +: 17] = finite_i || !man_zero ? '0 : {s, 16'hff80};
      if (!rows_i[r]) operand_o[17*r +: 17] = '0;
      nan[r] = rows_i[r] && all_ones && !man_zero && !finite_i;
    end
  end
  assign nan_o = |nan;
endmodule
