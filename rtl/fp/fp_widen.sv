// Any dtype's right-justified element as fp32: exact, except int32, which rounds to nearest even.
// NaN becomes the quiet NaN with its sign kept; fp32 and undefined dtypes pass untouched.
//
// Timing  combinational; the caller registers.
// Model   sim/model/formats.hpp, WidenToFp32        Test  tb/fp/fp_widen_test.cpp
`default_nettype none
module fp_widen (
  input  logic [31:0] bits_i,   // bits above the dtype's width are ignored
  input  logic [3:0]  dtype_i,  // dither_pkg::Dtype*
  output logic [31:0] fp32_o,
  output logic [31:0] short_o   // by the smaller function for dtypes of at most 16 bits; else arbitrary
);
  assign fp32_o  = fp_pkg::Widen(dtype_i, bits_i);
  assign short_o = fp_pkg::WidenShort(dtype_i, bits_i[15:0]);
endmodule
