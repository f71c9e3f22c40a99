// What one instruction asks of the vector lanes, and the functions of one cycle.
//
// Model   sim/model/fp32.hpp, functional.cpp ApplyRow        Test  tb/vector/vector_engine_test.cpp
`default_nettype none
package vector_pkg;
  // One step: the fused multiply-add, or Simple.
  typedef struct packed {
    logic       fma;
    logic [1:0] fma_op;  // fp32_fma's op_i
    logic       neg_a;   // the multiply-add's a and c with the other sign
    logic       neg_c;
    logic       swap;    // Simple's operands
    logic [4:0] func;    // dither_pkg::VecFunc* of Simple
  } step_t;

  // Constant during an instruction.
  typedef struct packed {
    logic [3:0]  dtype_0;   // fp32 also where elements go through as bits
    logic [3:0]  dtype_1;
    logic [3:0]  dtype_d;
    logic [1:0]  round;
    logic        sat;
    logic [1:0]  source;    // dither_pkg::Source*
    logic        read_1;
    logic        scalars;   // the step's scalar is the lane's own word
    logic [31:0] imm_0;     // else this
    logic [31:0] imm_1;     // source 1 in two steps, unless it is read
    logic        pairs;     // two elements at once: step 1's units are the second one's
    logic        still_0;   //   whose source 0 or b is the first one's
    logic        still_1;
    logic        pair16_0;  //   with elements of two bytes, not one
    logic        pair16_1;
    logic        pair16_d;
    logic        two;       // the first step's b is the scalar, not source 1
    logic        fused;     // and the multiply-add's addend is source 1: one step does both
    step_t       step_0;
    step_t       step_1;
    logic        deep;      // the result comes from the second step
    logic        reduce;    // the result comes from the accumulator
    logic [1:0]  acc_op;    // sum_acc's op_i
    logic        argmax;
    logic        stats;
    logic        bus;       // the element comes from another lane
    logic        index;     // from the one that the lane's own word names
    logic        transpose;
  } ctrl_t;

  // Every function but sums and products.
  function automatic logic [31:0] Simple(input logic [4:0] func, input logic swap,
                                         input logic [31:0] x, input logic [31:0] y);
    logic [31:0] a, b, a_mag, b_mag, shifted, shift_in;
    logic        a_zero, b_zero, nan, equal, less, truth, left;
    a      = swap ? y : x;
    b      = swap ? x : y;
    a_zero = a[30:0] == '0;
    b_zero = b[30:0] == '0;
    nan    = fp_pkg::IsNan(a[30:0]) || fp_pkg::IsNan(b[30:0]);
    equal  = a == b || (a_zero && b_zero);
    less   = !equal && (a[31] != b[31] ? a[31] : (a[30:0] < b[30:0]) != a[31]);
    a_mag  = {a[31] && func != 5'(dither_pkg::VecFuncAbsMax), a[30:0]};
    b_mag  = {b[31] && func != 5'(dither_pkg::VecFuncAbsMax), b[30:0]};
    case (func)
      5'(dither_pkg::VecFuncEq): truth = equal && !nan;
      5'(dither_pkg::VecFuncNe): truth = !equal || nan;
      5'(dither_pkg::VecFuncLt): truth = less && !nan;
      5'(dither_pkg::VecFuncLe): truth = (less || equal) && !nan;
      5'(dither_pkg::VecFuncGt): truth = !less && !equal && !nan;
      default:                   truth = !less && !nan;
    endcase
    // A left shift is a right shift of the reversed word.
    left = func == 5'(dither_pkg::VecFuncShl);
    for (int unsigned n = 0; n < 32; n++) shift_in[n] = left ? a[31 - n] : a[n];
    shifted = 32'($signed({func == 5'(dither_pkg::VecFuncAsr) && a[31], shift_in}) >>> b[4:0]);
    for (int unsigned n = 0; n < 32; n++) shift_in[n] = left ? shifted[31 - n] : shifted[n];
    case (func)
      5'(dither_pkg::VecFuncMax), 5'(dither_pkg::VecFuncMin), 5'(dither_pkg::VecFuncAbsMax):
        Simple = fp_pkg::MaxMin(a_mag, b_mag, func == 5'(dither_pkg::VecFuncMin));
      5'(dither_pkg::VecFuncAbs):
        Simple = fp_pkg::IsNan(a[30:0]) ? fp_pkg::Nan : {1'b0, a[30:0]};
      5'(dither_pkg::VecFuncEq), 5'(dither_pkg::VecFuncNe), 5'(dither_pkg::VecFuncLt),
      5'(dither_pkg::VecFuncLe), 5'(dither_pkg::VecFuncGt), 5'(dither_pkg::VecFuncGe):
        Simple = truth ? 32'h3f80_0000 : '0;
      5'(dither_pkg::VecFuncSelect): Simple = a_zero ? '0 : b;
      5'(dither_pkg::VecFuncAnd):    Simple = a & b;
      5'(dither_pkg::VecFuncOr):     Simple = a | b;
      5'(dither_pkg::VecFuncXor):    Simple = a ^ b;
      5'(dither_pkg::VecFuncShl), 5'(dither_pkg::VecFuncShr), 5'(dither_pkg::VecFuncAsr):
        Simple = shift_in;
      default: Simple = a;  // copy
    endcase
  endfunction
endpackage
