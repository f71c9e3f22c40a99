// What each vector instruction asks of the lanes and of the stream: the one place that knows opcodes
// and functions. A new function gets a row here and, if no unit does it yet, one in vector_pkg::Simple.
//
// Timing  combinational.        Test  tb/vector/vector_engine_test.cpp
`default_nettype none
module vector_decode #(
  parameter int unsigned Rows = 16
) (
  input  logic [511:0]      instr_i,
  output vector_pkg::ctrl_t ctrl_o,
  // For stream_unit.
  output logic              read_0_o,
  output logic              read_1_o,
  output logic              group_o,
  output logic              reduce_o,   // only the last element of a group is written
  output logic              stats_o,
  output logic              deep_o,
  output logic              scalars_o,
  output logic              twice_o,
  output logic              iota_o,
  output logic [3:0]        wait_o,     // cycles before the first element
  output logic              pairs_o
);
  dither_pkg::instr_t i;
  logic               unused_instr;
  assign i            = instr_i;
  assign unused_instr = ^i;

  // A vector_pkg::step_t: the function on operands a, b; swapped, on b, a.
  function automatic logic [10:0] StepOf(input logic [7:0] func, input logic swap);
    logic       fma, neg_a, neg_c;
    logic [1:0] op;
    fma   = func == dither_pkg::VecFuncAdd || func == dither_pkg::VecFuncSub || func == dither_pkg::VecFuncMul;
    op    = func == dither_pkg::VecFuncMul ? 2'd1 : 2'd2;
    neg_a = func == dither_pkg::VecFuncSub && swap;
    neg_c = func == dither_pkg::VecFuncSub && !swap;
    StepOf = {fma, op, neg_a, neg_c, swap, func[4:0]};
  endfunction

  // Two neighbours of dimension 0 are an aligned pair of short elements, anywhere in the tensor.
  function automatic logic Paired(input logic [3:0] dtype, input logic [1:0] offset,
                                  input logic [63:0] strides, input logic [63:0] sizes);
    Paired = strides[15:0] == 16'd1
          && (dither_pkg::DtypeBytes(dtype) == 3'd1 ? !offset[0]
              : dither_pkg::DtypeBytes(dtype) == 3'd2 && !offset[1]);
    for (int unsigned k = 1; k < 4; k++) begin
      if (strides[16*k] && sizes[16*k +: 16] != 16'd1) Paired = 1'b0;
    end
  endfunction

  logic tensor, scan, shuffle, two, words, fused, one_operand;
  logic [7:0] last_func;
  always_comb begin
    tensor  = i.opcode == dither_pkg::OpTensor;
    scan    = i.opcode == dither_pkg::OpScan;
    stats_o = i.opcode == dither_pkg::OpStats;
    shuffle = i.opcode == dither_pkg::OpShuffle;
    two     = tensor && i.func_1 != 8'd0;
    words   = tensor && i.func >= dither_pkg::VecFuncAnd && i.func <= dither_pkg::VecFuncAsr;
    fused   = two && i.func == dither_pkg::VecFuncMul
           && (i.func_1 == dither_pkg::VecFuncAdd || i.func_1 == dither_pkg::VecFuncSub);
    last_func   = two ? i.func_1 : i.func;
    one_operand = last_func == dither_pkg::VecFuncCopy || last_func == dither_pkg::VecFuncAbs;

    ctrl_o         = '0;
    ctrl_o.dtype_0 = i.dtype_0;
    ctrl_o.dtype_1 = i.dtype_1;
    ctrl_o.dtype_d = i.dtype_d;
    ctrl_o.round   = i.round;
    ctrl_o.sat     = i.sat;
    ctrl_o.imm_0   = i.imm0;
    ctrl_o.imm_1   = {i.str_1[1], i.str_1[0]};
    ctrl_o.reduce  = i.opcode == dither_pkg::OpReduce || scan;
    ctrl_o.acc_op  = i.func[1:0];  // RedFunc's codes are sum_acc's; 0 for stats
    ctrl_o.stats   = stats_o;
    ctrl_o.argmax  = i.opcode == dither_pkg::OpReduce && i.func == dither_pkg::RedFuncArgMax;
    ctrl_o.bus     = shuffle && i.func != dither_pkg::ShuffleFuncTranspose;
    ctrl_o.index   = shuffle && i.func == dither_pkg::ShuffleFuncIndex;
    ctrl_o.transpose = shuffle && i.func == dither_pkg::ShuffleFuncTranspose;
    ctrl_o.deep    = (two && !fused) || stats_o;
    ctrl_o.still_0 = i.str_0[0] == '0;
    ctrl_o.still_1 = i.str_1[0] == '0;
    ctrl_o.pair16_0 = dither_pkg::DtypeBytes(i.dtype_0) == 3'd2;
    ctrl_o.pair16_1 = dither_pkg::DtypeBytes(i.dtype_1) == 3'd2;
    ctrl_o.pair16_d = dither_pkg::DtypeBytes(i.dtype_d) == 3'd2;
    if (tensor) begin
      ctrl_o.source  = i.gen_0;
      ctrl_o.read_1  = !one_operand && !i.src1_imm;
      ctrl_o.scalars = i.scalar_ptr;
      ctrl_o.two     = two;
      ctrl_o.fused   = fused;
      ctrl_o.step_0  = StepOf(i.func, i.rev);
      ctrl_o.step_1  = StepOf(i.func_1, i.rev_1);
      if (i.gen_0 != dither_pkg::SourceMemory) ctrl_o.dtype_0 = dither_pkg::DtypeInt32;
      ctrl_o.pairs   = !ctrl_o.deep && i.gen_0 == dither_pkg::SourceMemory
          && Paired(i.dtype_d, i.off_d[1:0], i.str_d, i.size)
          && (ctrl_o.still_0 || Paired(i.dtype_0, i.off_0[1:0], i.str_0, i.size))
          && (ctrl_o.still_1 || !ctrl_o.read_1 || Paired(i.dtype_1, i.off_1[1:0], i.str_1, i.size));
    end
    if (fused) begin
      ctrl_o.step_0.fma_op = 2'd0;
      ctrl_o.step_0.neg_a  = i.func_1 == dither_pkg::VecFuncSub && i.rev_1;
      ctrl_o.step_0.neg_c  = i.func_1 == dither_pkg::VecFuncSub && !i.rev_1;
    end
    if (ctrl_o.pairs) ctrl_o.step_1 = ctrl_o.step_0;
    if (stats_o) begin  // element - pivot (the lane has its sign changed), squared
      ctrl_o.step_0 = StepOf(dither_pkg::VecFuncAdd, 1'b0);
      ctrl_o.step_1 = StepOf(dither_pkg::VecFuncMul, 1'b0);
    end
    // Bits go through as fp32, which nothing on the way touches.
    if (words || shuffle) begin
      ctrl_o.dtype_0 = dither_pkg::DtypeFp32;
      ctrl_o.dtype_1 = dither_pkg::DtypeFp32;
    end
    if (words || shuffle || ctrl_o.argmax) ctrl_o.dtype_d = dither_pkg::DtypeFp32;
  end

  assign read_0_o  = i.gen_0 == dither_pkg::SourceMemory;  // 0 but for tensor
  assign read_1_o  = ctrl_o.read_1;
  assign group_o   = ctrl_o.reduce || stats_o;
  assign reduce_o  = i.opcode == dither_pkg::OpReduce;
  assign deep_o    = ctrl_o.deep;
  assign scalars_o = ctrl_o.scalars || ctrl_o.index;
  assign twice_o   = ctrl_o.transpose;
  assign pairs_o   = ctrl_o.pairs;
  assign iota_o    = tensor && i.gen_0 == dither_pkg::SourceIota;
  // The lanes find out their distance from lane 0 first, a bit of their number per cycle; the first
  // element takes two to get there.
  assign wait_o    = iota_o && $clog2(Rows) > 2 ? 4'($clog2(Rows) - 2) : 4'd0;
endmodule
