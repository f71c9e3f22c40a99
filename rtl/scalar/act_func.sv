// The activation function of one scalar lane: y = func(x) in fp32.
//
// Timing  y_o after one enabled cycle, one element per enabled cycle; en_i low freezes it. A
//         deeper function unit changes scalar_engine's FuncStages and nothing else.
// Model   sim/model/fp32.hpp, Fp32Relu        Test  tb/scalar/scalar_engine_test.cpp
`default_nettype none
module act_func (
  input  logic        clk_i,
  input  logic        en_i,
  input  logic [7:0]  func_i,  // dither_pkg::ActFunc*
  input  logic [31:0] x_i,
  output logic [31:0] y_o
);
  logic [31:0] y_q;

  always_ff @(posedge clk_i) begin
    if (en_i) begin
      case (func_i)
        dither_pkg::ActFuncRelu: y_q <= fp_pkg::MaxMin(x_i, 32'b0, 1'b0);
        default:                 y_q <= x_i;
      endcase
    end
  end
  assign y_o = y_q;
endmodule
