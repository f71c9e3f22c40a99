// Two 8-bit numbers of every row as the array's operand of pairs: lane 0 the lower byte, lane 1 the upper one.
//
//   elem -- byte: sign, exponent, significand of fp8, or magnitude of int8 -- rows outside to +0 -- operand
//
// fp8: {sign 1, exponent 1 [4:3], sign 0, exponent 1 [2:0], exponent 0 [4:0], significand 0, significand 1}, exponents
// of both formats on one scale, nothing normalised. int8: {sign 1, 00, sign 0, magnitude 1, magnitude 0}.
// A NaN becomes +0 and is reported for the column. Combinational.
// Model   sim/model/operand.hpp (ToPairFactor)      Test  tb/tensor/tensor_engine_test.cpp
`default_nettype none
module pair_decode #(
  parameter int unsigned Rows = 16
) (
  input  logic [3:0]         dtype_i,
  input  logic [Rows-1:0]    rows_i,     // rows that take part
  input  logic [Rows*32-1:0] elem_i,     // right-justified, bits above the element arbitrary
  output logic [Rows*20-1:0] operand_o,
  output logic               nan_o       // a row that takes part holds a NaN
);
  logic integer_mode, e4m3;
  assign integer_mode = dtype_i == dither_pkg::DtypeInt8;
  assign e4m3         = dtype_i == dither_pkg::DtypeFp8E4M3;

  // {NaN, sign, exponent[5], significand[4]}
  function automatic logic [10:0] fp8(input logic [7:0] b, input logic four);
    logic       hidden, nan;
    logic [4:0] e;
    logic [3:0] m;
    if (four) begin
      hidden = b[6:3] != '0;
      m      = {hidden, b[2:0]};
      e      = hidden ? {b[6], !b[6], b[5:3]} : 5'd9;  // 8 is the difference of the biases
      nan    = b[6:0] == '1;
    end else begin
      hidden = b[6:2] != '0;
      m      = {hidden, b[1:0], 1'b0};
      e      = hidden ? b[6:2] : 5'd1;
      nan    = b[6:2] == '1 && b[1:0] != '0;
    end
    fp8 = nan ? {1'b1, 10'b0} : {1'b0, b[7], m == '0 ? 5'd0 : e, m};
  endfunction

  logic [Rows-1:0] nan;
  logic            unused_elem;
  assign unused_elem = ^elem_i;
  always_comb begin
    logic [7:0]  b0, b1;
    logic [10:0] f0, f1;
    for (int unsigned r = 0; r < Rows; r++) begin
      b0 = elem_i[32*r +: 8];
      b1 = elem_i[32*r+8 +: 8];
      f0 = fp8(b0, e4m3);
      f1 = fp8(b1, e4m3);
      if (integer_mode) operand_o[20*r +: 20] = {b1[7], 2'b0, b0[7], b1[7] ? -b1 : b1, b0[7] ? -b0 : b0};
      else              operand_o[20*r +: 20] = {f1[9:7], f0[9], f1[6:4], f0[8:0], f1[3:0]};
      if (!rows_i[r]) operand_o[20*r +: 20] = '0;
      nan[r] = rows_i[r] && !integer_mode && (f0[10] || f1[10]);
    end
  end
  assign nan_o = |nan;
endmodule
