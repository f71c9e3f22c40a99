// What each vector instruction asks of the lanes: the one place that knows opcodes and functions.
// A new function gets a row here and, if no unit of the lane does it yet, a unit in vector_lane.
//
// Timing  combinational.        Test  tb/vector/vector_engine_test.cpp
`default_nettype none
module vector_decode (
  input  logic [7:0] opcode_i,
  input  logic [7:0] func_i,
  input  logic       src1_imm_i,
  output logic       read_1_o,   // source 1 comes from memory
  output logic       reduce_o,   // one result per group, from the accumulator
  output logic       fma_o,      // the result comes from the fused multiply-add
  output logic [1:0] fma_op_o,   // fp32_fma's op_i
  output logic       minmax_o,   // the result comes from minimum/maximum, else it is source 0
  output logic       min_o,
  output logic [1:0] acc_op_o    // sum_acc's op_i
);
  logic two;  // the function has two sources

  always_comb begin
    two      = 1'b1;
    fma_o    = 1'b0;
    fma_op_o = 2'd0;
    minmax_o = 1'b0;
    min_o    = 1'b0;
    reduce_o = opcode_i == dither_pkg::OpReduce;
    if (reduce_o) begin
      two = 1'b0;
    end else begin
      case (func_i)
        dither_pkg::VecFuncAdd: {fma_o, fma_op_o}    = {1'b1, 2'd2};
        dither_pkg::VecFuncSub: {fma_o, fma_op_o}    = {1'b1, 2'd3};
        dither_pkg::VecFuncMul: {fma_o, fma_op_o}    = {1'b1, 2'd1};
        dither_pkg::VecFuncMax: {minmax_o, min_o}    = 2'b10;
        dither_pkg::VecFuncMin: {minmax_o, min_o}    = 2'b11;
        default: two = 1'b0;  // copy
      endcase
    end
  end
  assign read_1_o = two && !src1_imm_i;
  assign acc_op_o = func_i[1:0];  // RedFunc's codes are sum_acc's
endmodule
