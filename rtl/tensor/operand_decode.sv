// An SBUF element of every row as the array's operand: bf16, fp8e4m3 and fp8e5m2 become the bf16 pattern of the
// same value (every fp8 value is a bf16 value), rows outside the mask become +0. Combinational.
//
// Model   sim/model/column_sum.hpp (ToBf16Operand)      Test  tb/tensor/tensor_engine_test.cpp
`default_nettype none
module operand_decode #(
  parameter int unsigned Rows = 16
) (
  input  logic [3:0]         dtype_i,
  input  logic [Rows-1:0]    rows_i,   // rows that take part
  input  logic [Rows*16-1:0] elem_i,   // low byte counts for fp8
  output logic [Rows*16-1:0] operand_o
);
  // fp8 with ManBits mantissa bits; m is left-justified in 3 bits. A subnormal is normalised.
  function automatic logic [15:0] widen(input logic s, input logic [4:0] e, input logic [2:0] m,
                                        input logic [7:0] offset);
    if (e != '0)   widen = {s, offset + 8'(e), m, 4'b0};
    else if (m[2]) widen = {s, offset,         m[1:0], 5'b0};
    else if (m[1]) widen = {s, offset - 8'd1,  m[0], 6'b0};
    else if (m[0]) widen = {s, offset - 8'd2,  7'b0};
    else           widen = {s, 15'b0};
  endfunction

  function automatic logic [15:0] decode(input logic [3:0] dtype, input logic [15:0] v);
    case (dtype)
      dither_pkg::DtypeFp8E4M3: decode = v[6:0] == '1 ? {v[7], 15'h7fc0}
                                       : widen(v[7], {1'b0, v[6:3]}, v[2:0], 8'd120);
      dither_pkg::DtypeFp8E5M2: decode = v[6:2] == '1 ? {v[7], 8'hff, v[1:0] != '0, 6'b0}
                                       : widen(v[7], v[6:2], {v[1:0], 1'b0}, 8'd112);
      default:                  decode = v;
    endcase
  endfunction

  always_comb begin
    for (int unsigned r = 0; r < Rows; r++) begin
      operand_o[16*r +: 16] = rows_i[r] ? decode(dtype_i, elem_i[16*r +: 16]) : '0;
    end
  end
endmodule
