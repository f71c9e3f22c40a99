// Index of the first element that equals the maximum of a stream of fp32; of the first NaN if one comes.
//
// Timing  an element given with en_i in cycle t is part of index_o from cycle t+2 on, as in sum_acc.
// Model   sim/model/fp32.hpp, ArgMaxAccumulator        Test  tb/vector/vector_engine_test.cpp
`default_nettype none
module arg_max (
  input  logic        clk_i,
  input  logic        en_i,
  input  logic        first_i,  // this element starts a new group
  input  logic [23:0] index_i,
  input  logic [31:0] x_i,
  output logic [31:0] index_o
);
  logic        en_q, nan_q;
  logic [31:0] value_q;
  logic [23:0] index_q, res_q;

  // True if x lies above the value so far, in the order of maximum: -0 < +0, NaN at the top.
  function automatic logic Better(input logic nan, input logic [31:0] value, input logic [31:0] x);
    logic [31:0] key_x, key_v;
    key_x  = x[31] ? ~x : {1'b1, x[30:0]};
    key_v  = value[31] ? ~value : {1'b1, value[30:0]};
    Better = !nan && (fp_pkg::IsNan(x[30:0]) || key_x > key_v);
  endfunction

  always_ff @(posedge clk_i) begin
    en_q <= en_i;
    if (en_i && (first_i || Better(nan_q, value_q, x_i))) begin
      nan_q   <= fp_pkg::IsNan(x_i[30:0]);
      value_q <= x_i;
      index_q <= index_i;
    end
    if (en_q) res_q <= index_q;
  end
  assign index_o = {8'b0, res_q};
endmodule
