// Static checks of one instruction: cause, operand and address of the first check that fails.
//
//   instr --> checks 1..9 (one cycle) --> size-1 * stride [reg] --> box sums [reg] --> limits --> done
//
// Timing  done_o is held until clear_i; 4 + operands * used dimensions cycles, at most 17 (engines);
//         a DMA side in SBUF takes its dimensions twice: partitions, then bytes. One multiplier:
//         a table's rows go through it in two halves of their number.
//         A matmul with strides over a PSUM bank may take longer (bank_set.sv).
// Model   sim/model/check.hpp        Test  tb/sequencer/instr_check_test.cpp
`default_nettype none
`include "chk.svh"
module instr_check #(
  parameter  int unsigned Rows  = 8,                    // partitions: 8, 16, 32 or 128
  parameter  bit          Pairs = 1'b0,                 // matmuls may have `pair`
  parameter  int unsigned Queue = 0,                    // dither_pkg::Queue*: decides the layout
  localparam bit          IsDma = Queue == 32'(dither_pkg::QueueDma0) || Queue == 32'(dither_pkg::QueueDma1)
) (
  input  logic         clk_i,
  input  logic         rst_ni,
  input  logic         valid_i,        // instr_i is there and stays until clear_i
  input  logic         clear_i,        // the instruction leaves (or is dropped)
  input  logic [511:0] instr_i,
  input  logic [43:0]  dram_base_i,
  input  logic [44:0]  dram_limit_i,
  output logic         done_o,         // the result below stands
  output logic [7:0]   err_o,          // dither_pkg::Err*, ErrNone if every check passed
  output logic [1:0]   operand_o,
  output logic [47:0]  addr_o,
  output logic [7:0]   banks_o         // with ErrNone: PSUM banks that a matmul writes
);
  // Strides: 16 bits of elements or 32 bits of bytes. Sums: four products, scaled by the element
  // size, and the base: below 2^37 for engines, below 2^63 for DMA (2^31 rows of a table, 2^31 bytes
  // apart); one sign bit more.
  localparam int unsigned StrW  = IsDma ? 32 : 16;
  localparam int unsigned ProdW = StrW + 17;
  localparam int unsigned AccW  = IsDma ? 64 : 40;
  localparam logic [23:0] SbufBytes = 24'(dither_pkg::SbufBytesOf(Rows));

  // The two layouts of the same bits; the parameter decides which one is read.
  dither_pkg::instr_t     e;
  dither_pkg::dma_instr_t d;
  logic                   unused_fields;
  assign e = instr_i;
  assign d = instr_i;
  assign unused_fields = ^{e, d};

  localparam logic [1:0] StIdle = 2'd0, StRun = 2'd1, StDone = 2'd2, StBanks = 2'd3;
  logic banks_done;               // banks_o stands

  // Result of checks 1 to 9 (DMA: without the partition extents and what follows them).
  logic [7:0]  stat_err;
  logic [1:0]  stat_operand;
  logic        stat_nop;
  logic        stat_late;         // DMA: the list's check 8 or check 9 fails, to be reported behind the
  logic [7:0]  stat_late_err;     // partition extents
  logic [1:0]  stat_late_operand;
  logic [4:0]  stat_items;        // boxes to compute, see below
  logic [1:0]  stat_last_dim;     // highest dimension with more than one element

  // Boxes in the order of their checks. Engine: 0 destination, 1 source 0, 2 source 1, 3 scalars.
  // DMA: 0, 1 partitions of destination and source; 2, 3 bytes of destination and source; 4 the list.
  logic [1:0]  state_q;
  logic [4:0]  items_q;
  logic [1:0]  dim_q;
  logic [1:0]  last_dim_q;
  logic        late_q;
  logic [7:0]  late_err_q;
  logic [1:0]  late_operand_q;

  // What the layouts differ in: the factors of the current box and dimension, ...
  logic [2:0]              item;
  logic [15:0]             count;      // size - 1
  logic signed [StrW-1:0]  stride;
  logic                    item_last_dim;
  // ... and the base and limits of the box in the sum stage.
  logic [2:0]              item1_q, item2_q;
  logic                    valid1_q, first1_q, last1_q, final1_q, valid2_q, final2_q;
  logic signed [AccW-1:0]  base1;
  logic [4:0]              shift1;     // scales the product: log2 of the element size; 16: upper half
  logic [1:0]              tail1;      // element size - 1 added to the upper end
  logic signed [AccW-1:0]  low2, high2;
  logic [7:0]              err2;
  logic [1:0]              operand2;
  logic                    no_addr2;   // a partition extent: no address, and check 9 follows

  always_comb begin
    item = 3'd4;
    for (int k = 3; k >= 0; k--) if (items_q[k]) item = 3'(k);
  end

  if (IsDma) begin : gen_dma
    logic [1:0] bytes_m1_q;  // element size - 1
    logic       dst_sbuf_q, src_sbuf_q;
    logic       gather_q, scatter_q;
    logic       upper_q;     // the product is that of the upper half of a table's rows
    logic       table0;  // the box is the bytes of a table
    // Of gather and scatter, over the last strides of source and destination.
    logic [31:0] limit, list, last_row;
    assign limit    = d.src_str[3];
    assign list     = d.dst_str[3];
    assign last_row = limit - 32'd1;
    assign table0   = item == (gather_q ? 3'd3 : 3'd2) && (gather_q || scatter_q);

    always_comb begin : checks
      logic [2:0] bytes_d, bytes_0;
      logic [1:0] m;       // low bits that must be zero
      logic [1:0] low_d, low_0;
      logic       gather, scatter;
      stat_err          = dither_pkg::ErrNone;
      stat_operand      = 2'd0;
      stat_nop          = 1'b0;
      stat_late         = 1'b0;
      stat_late_err     = dither_pkg::ErrMisaligned;
      stat_late_operand = 2'd0;
      stat_items        = 5'b00000;
      stat_last_dim     = 2'd0;
      bytes_d = 3'd0;
      bytes_0 = 3'd0;
      m       = 2'd0;
      low_d   = 2'd0;
      low_0   = 2'd0;
      gather  = 1'b0;
      scatter = 1'b0;
      if (valid_i && state_q == StIdle) begin
        bytes_d = dither_pkg::DtypeBytes(d.dtype_d);
        bytes_0 = dither_pkg::DtypeBytes(d.dtype_0);
        m       = 2'(bytes_d - 3'd1);
        low_d   = d.dst_addr[1:0];
        low_0   = d.src_addr[1:0];
        gather  = d.opcode == dither_pkg::OpGather;
        scatter = d.opcode == dither_pkg::OpScatter;
        // The last strides of gather and scatter are limit and list.
        for (int k = 0; k < 4; k++) begin
          if (k != 3 || !(gather || scatter)) begin
            low_d = low_d | d.dst_str[k][1:0];
            low_0 = low_0 | d.src_str[k][1:0];
          end
        end
        stat_nop          = d.opcode == dither_pkg::OpNop;
        stat_late         = ((low_d | low_0) & m) != 2'd0;
        stat_late_operand = (low_d & m) != 2'd0 ? 2'd0 : 2'd1;
        if (gather || scatter) begin
          if (list[31:20] >= 12'(Rows)) begin
            stat_late         = 1'b1;
            stat_late_err     = dither_pkg::ErrBadPartition;
            stat_late_operand = 2'd2;
          end else if (!stat_late && list[1:0] != 2'd0) begin
            stat_late         = 1'b1;
            stat_late_operand = 2'd2;
          end
        end
        stat_items       = {gather || scatter, 2'b11, d.src_addr[47:44] == dither_pkg::DmaSpaceSbuf,
                            d.dst_addr[47:44] == dither_pkg::DmaSpaceSbuf};
        for (int k = 1; k < 4; k++) if (d.size[k] != 16'd1) stat_last_dim = 2'(k);

        if (!stat_nop && d.opcode != dither_pkg::OpCopy && !gather && !scatter) begin
          stat_err = dither_pkg::ErrIllegalOpcode;
        end else if ((instr_i & dither_pkg::DmaReserved) != '0) begin
          stat_err = dither_pkg::ErrReservedField;
        end else if (!stat_nop) begin
          if (bytes_d == 3'd0) begin
            stat_err = dither_pkg::ErrBadDtype;
          end else if (bytes_0 == 3'd0) begin
            stat_err     = dither_pkg::ErrBadDtype;
            stat_operand = 2'd1;
          end else if (d.dtype_d != d.dtype_0) begin
            stat_err = dither_pkg::ErrBadDtype;
          end else if (d.dst_addr[47:45] != 3'd0 || (scatter && d.dst_addr[44])) begin
            stat_err = dither_pkg::ErrBadSpace;
          end else if (d.src_addr[47:45] != 3'd0 || (gather && d.src_addr[44])) begin
            stat_err     = dither_pkg::ErrBadSpace;
            stat_operand = 2'd1;
          end else if (d.size[0] == 16'd0 || d.size[1] == 16'd0
                    || d.size[2] == 16'd0 || d.size[3] == 16'd0
                    || ((gather || scatter)
                        && (d.size[3] != 16'd1 || limit[30:0] == 31'd0 || limit[31]))) begin
            stat_err = dither_pkg::ErrBadSize;
          end else if (stat_late && stat_items[1:0] == 2'b00) begin
            stat_err     = stat_late_err;
            stat_operand = stat_late_operand;
          end
        end
      end
    end

    // A stride's byte step is its sign-extended low part; what that takes off, the partition step
    // gets back: bit 19 carries into it.
    always_comb begin : factors
      logic [31:0] s;
      count  = 16'd0;
      stride = 32'sd0;
      s      = 32'd0;
      item_last_dim = dim_q == last_dim_q;
      if (state_q == StRun) begin
        count = d.size[dim_q] - 16'd1;
        s     = item[0] ? d.src_str[dim_q] : d.dst_str[dim_q];
        if (table0) begin  // the rows: lower half of their number as dimension 2, upper half as 3
          item_last_dim = dim_q == 2'd3;
          if (dim_q == 2'd3) s = item[0] ? d.src_str[2] : d.dst_str[2];
          if (dim_q[1]) count = dim_q[0] ? last_row[31:16] : last_row[15:0];
        end
        if (item[2]) begin
          count         = d.size[2] - 16'd1;
          stride        = 32'sd4;
          item_last_dim = 1'b1;
        end else if (!item[1]) begin
          stride = 32'($signed(s[31:20])) + 32'($signed({1'b0, s[19]}));
        end else if (item[0] ? src_sbuf_q : dst_sbuf_q) begin
          stride = 32'($signed(s[19:0]));
        end else begin
          stride = s;
        end
      end
    end

    // Bits 43:28 of an SBUF address count as upper bits of the partition, so they fail as one.
    always_comb begin : limits
      logic [43:0] addr1;
      logic        sbuf1;
      addr1    = 44'd0;
      sbuf1    = 1'b0;
      base1    = '0;
      shift1   = 5'd0;
      tail1    = 2'd0;
      low2     = '0;
      high2    = '0;
      err2     = dither_pkg::ErrNone;
      operand2 = 2'd0;
      no_addr2 = 1'b0;
      if (state_q == StRun) begin
        addr1    = item1_q[0] ? d.src_addr[43:0] : d.dst_addr[43:0];
        sbuf1    = item1_q[0] ? src_sbuf_q : dst_sbuf_q;
        tail1    = item1_q[1] ? bytes_m1_q : 2'd0;
        base1    = !item1_q[1] ? AccW'(addr1[43:20]) : sbuf1 ? AccW'(addr1[19:0]) : AccW'(addr1);
        if (item1_q[2]) begin
          tail1 = 2'd3;
          base1 = AccW'(list[19:0]);
        end
        shift1   = {upper_q, 4'd0};
        operand2 = item2_q[2] ? 2'd2 : {1'b0, item2_q[0]};
        no_addr2 = !item2_q[1] && !item2_q[2];
        if (item2_q[2]) begin
          err2  = dither_pkg::ErrSbufRange;
          high2 = AccW'(SbufBytes);
        end else if (!item2_q[1]) begin
          err2  = dither_pkg::ErrBadPartition;
          high2 = AccW'(Rows);
        end else if (item2_q[0] ? src_sbuf_q : dst_sbuf_q) begin
          err2  = dither_pkg::ErrSbufRange;
          high2 = AccW'(SbufBytes);
        end else begin
          err2  = dither_pkg::ErrDramRange;
          low2  = AccW'(dram_base_i);
          high2 = AccW'(dram_limit_i);
        end
      end
    end

    always_ff @(posedge clk_i) begin
      if (valid_i && state_q == StIdle) begin
        dst_sbuf_q <= stat_items[0];
        src_sbuf_q <= stat_items[1];
        bytes_m1_q <= 2'(dither_pkg::DtypeBytes(instr_i[51:48]) - 3'd1);
        gather_q   <= instr_i[7:0] == dither_pkg::OpGather;
        scatter_q  <= instr_i[7:0] == dither_pkg::OpScatter;
      end
      upper_q <= table0 && dim_q == 2'd3;
    end
  end else begin : gen_engine
    logic        array_q;  // matmul or transpose
    logic        pair_q;   // two bytes a source element
    logic        stats_q;
    logic [44:0] unused_dram_limit;
    logic [43:0] unused_dram_base;
    assign unused_dram_limit = dram_limit_i;
    assign unused_dram_base  = dram_base_i;

    // Pieces of 8 significand bits in which a matmul takes the dtype, as sim/model/check.hpp has it.
    function automatic logic [2:0] pieces(input logic [3:0] dtype, input logic to_int32);
      if (to_int32) pieces = dtype == dither_pkg::DtypeInt8 ? 3'd1 : 3'd0;
      else begin
        case (dtype)
          dither_pkg::DtypeFp32: pieces = 3'd3;
          dither_pkg::DtypeFp16: pieces = 3'd2;
          dither_pkg::DtypeBf16, dither_pkg::DtypeFp8E4M3, dither_pkg::DtypeFp8E5M2: pieces = 3'd1;
          default: pieces = 3'd0;
        endcase
      end
    endfunction

    // Functions of one operand, and those of 32-bit words, as sim/model/check.hpp has them.
    function automatic logic one_operand(input logic [7:0] func);
      one_operand = func == dither_pkg::VecFuncCopy || func == dither_pkg::VecFuncAbs;
    endfunction
    function automatic logic on_words(input logic [7:0] func);
      on_words = func >= dither_pkg::VecFuncAnd && func <= dither_pkg::VecFuncAsr;
    endfunction

    always_comb begin : checks
      logic matmul, transpose, array, reduce, act, load, tensor, read0, read1, to_int, pair;
      logic scan, stats, shuffle, broadcast, transposed, two, words, scalars;
      logic [2:0] pieces_0, pieces_1;  // that a matmul may name
      logic [8:0] room;                // partitions of a tile
      logic [2:0] bytes_d, bytes_0, bytes_1;
      logic [8:0] end_d, end_0, end_1;
      logic [2:0] bad;   // one bit an operand
      stat_err         = dither_pkg::ErrNone;
      stat_operand     = 2'd0;
      stat_nop         = 1'b0;
      stat_late        = 1'b0;
      stat_late_err    = dither_pkg::ErrNone;
      stat_late_operand = 2'd0;
      stat_items       = 5'b00000;
      stat_last_dim    = 2'd0;
      matmul    = 1'b0;
      transpose = 1'b0;
      array     = 1'b0;
      reduce = 1'b0;
      act    = 1'b0;
      load   = 1'b0;
      tensor = 1'b0;
      scan       = 1'b0;
      stats      = 1'b0;
      shuffle    = 1'b0;
      broadcast  = 1'b0;
      transposed = 1'b0;
      two        = 1'b0;
      words      = 1'b0;
      scalars    = 1'b0;
      read0   = 1'b0;
      read1   = 1'b0;
      to_int = 1'b0;
      pair   = 1'b0;
      pieces_0 = 3'd0;
      pieces_1 = 3'd0;
      room     = 9'd0;
      bytes_d = 3'd0;
      bytes_0 = 3'd0;
      bytes_1 = 3'd0;
      end_d = 9'd0;
      end_0 = 9'd0;
      end_1 = 9'd0;
      bad   = 3'b000;
      if (valid_i && state_q == StIdle) begin
        stat_nop = e.opcode == dither_pkg::OpNop;
        matmul = Queue == 32'(dither_pkg::QueueTensor) && e.opcode == dither_pkg::OpMatmul;
        tensor = Queue == 32'(dither_pkg::QueueVector) && e.opcode == dither_pkg::OpTensor;
        reduce = Queue == 32'(dither_pkg::QueueVector) && e.opcode == dither_pkg::OpReduce;
        act    = Queue == 32'(dither_pkg::QueueScalar) && e.opcode == dither_pkg::OpAct;
        load   = Queue == 32'(dither_pkg::QueueScalar) && e.opcode == dither_pkg::OpLoad;
        transpose = Queue == 32'(dither_pkg::QueueTensor) && e.opcode == dither_pkg::OpTranspose;
        scan    = Queue == 32'(dither_pkg::QueueVector) && e.opcode == dither_pkg::OpScan;
        stats   = Queue == 32'(dither_pkg::QueueVector) && e.opcode == dither_pkg::OpStats;
        shuffle = Queue == 32'(dither_pkg::QueueVector) && e.opcode == dither_pkg::OpShuffle;
        broadcast  = shuffle && e.func == dither_pkg::ShuffleFuncBroadcast;
        transposed = shuffle && e.func == dither_pkg::ShuffleFuncTranspose;
        array  = matmul || transpose;
        two    = e.func_1 != 8'd0;
        words  = tensor && (on_words(e.func) || on_words(e.func_1));
        read0  = !transpose && !(tensor && e.gen_0 != dither_pkg::SourceMemory);
        read1  = array || (act && !e.src1_imm)
              || (tensor && !one_operand(two ? e.func_1 : e.func) && !e.src1_imm);
        scalars = (tensor && e.scalar_ptr) || (shuffle && e.func == dither_pkg::ShuffleFuncIndex);
        stat_items = {1'b0, scalars, read1, read0, !load};
        for (int k = 1; k < 4; k++) if (e.size[k] != 16'd1) stat_last_dim = 2'(k);
        bytes_d = dither_pkg::DtypeBytes(e.dtype_d);
        bytes_0 = dither_pkg::DtypeBytes(e.dtype_0);
        bytes_1 = dither_pkg::DtypeBytes(e.dtype_1);
        pair    = Pairs && matmul && e.pair;
        to_int  = e.dtype_d == dither_pkg::DtypeInt32;
        pieces_0 = pieces(e.dtype_0, to_int);
        pieces_1 = transpose ? bytes_1 : pieces(e.dtype_1, to_int);
        room     = 9'(Rows) >> (matmul ? e.tiles : 2'd0);
        end_d = 9'(e.part_d) + 9'(e.parts_d);
        end_0 = 9'(e.part_0) + (broadcast ? 9'd1 : 9'(e.parts));
        end_1 = 9'(e.part_1) + 9'(e.parts);

        // From the last check to the first, so that the first one has the last word. Inside a
        // check a bit of `bad` is an operand, and the lowest set one is reported.
        bad = {read1 && (e.off_1[1:0] & (pair ? 2'd1 : 2'(bytes_1 - 3'd1))) != 2'd0,
               read0 && ((e.off_0[1:0] & (pair ? 2'd1 : 2'(bytes_0 - 3'd1))) != 2'd0
                         || (load && e.off_0[2:0] != 3'd0)),
               !load && (e.off_d[1:0] & 2'(bytes_d - 3'd1)) != 2'd0};
        if (bad != 3'd0) begin
          stat_err     = dither_pkg::ErrMisaligned;
          stat_operand = bad[0] ? 2'd0 : bad[1] ? 2'd1 : 2'd2;
        end else if (scalars && e.imm0[1:0] != 2'd0) begin
          stat_err     = dither_pkg::ErrMisaligned;
          stat_operand = 2'd3;
        end
        // Ranges of partitions first, then equality.
        bad = {(read0 && read1 && e.part_0 != e.part_1)
               || (tensor && !read0 && read1 && e.part_d != e.part_1), 1'b0,
               !array && !load && !broadcast && !transposed && read0 && e.part_d != e.part_0};
        if (bad != 3'd0) begin
          stat_err     = dither_pkg::ErrBadPartition;
          stat_operand = bad[0] ? 2'd0 : 2'd2;
        end
        bad = {read1 && end_1 > room, read0 && end_0 > room, !load && end_d > room};
        if (bad != 3'd0) begin
          stat_err     = dither_pkg::ErrBadPartition;
          stat_operand = bad[0] ? 2'd0 : bad[1] ? 2'd1 : 2'd2;
        end
        bad = {array && (e.str_1[1] | e.str_1[2] | e.str_1[3]) != 16'd0, load && e.str_0[0] != 16'd1, 1'b0};
        for (int k = 0; k < 4; k++) begin
          // Dimension 0 of stats leads from the mean to the variance.
          if ((reduce || (act && e.sum == dither_pkg::ActSumTotal) || (stats && k != 0))
           && 2'(k) <= e.rdims && e.str_d[k] != 16'd0) bad[0] = 1'b1;
        end
        if (bad != 3'd0) begin
          stat_err     = dither_pkg::ErrBadStride;
          stat_operand = bad[0] ? 2'd0 : bad[1] ? 2'd1 : 2'd2;
        end
        if (e.size[0] == 16'd0 || e.size[1] == 16'd0 || e.size[2] == 16'd0 || e.size[3] == 16'd0
         || e.parts == 8'd0 || (!load && (e.parts_d == 8'd0 || (!array && e.parts != e.parts_d)))
         || (load && ((e.size[0] & 16'd1) != 16'd0 || e.size[1] != 16'd1 || e.size[2] != 16'd1 || e.size[3] != 16'd1))
         || (transpose && e.size != {48'h1_0001_0001, 16'(e.parts)})
         || (transposed && e.size[0] != 16'(e.parts))) begin
          stat_err     = dither_pkg::ErrBadSize;
          stat_operand = 2'd0;
        end
        bad = {(array || (act && read1)) && e.space_1, (matmul || load) && e.space_0, array && !e.space_d};
        if (bad != 3'd0) begin
          stat_err     = dither_pkg::ErrBadSpace;
          stat_operand = bad[0] ? 2'd0 : bad[1] ? 2'd1 : 2'd2;
        end
        bad = {read1 && (bytes_1 == 3'd0 || (e.space_1 && bytes_1 != 3'd4)
                      || (array && 3'(e.piece_1) >= pieces_1) || (pair && bytes_1 != 3'd1)
                      || (words && e.dtype_1 != dither_pkg::DtypeInt32)),
               read0 && (bytes_0 == 3'd0 || (e.space_0 && bytes_0 != 3'd4)
                      || (load && e.dtype_0 != dither_pkg::DtypeInt32)
                      || (matmul && 3'(e.piece_0) >= pieces_0) || (pair && bytes_0 != 3'd1)
                      || (words && e.dtype_0 != dither_pkg::DtypeInt32)),
               !load && (bytes_d == 3'd0 || (e.space_d && bytes_d != 3'd4)
                               || ((words || (reduce && e.func == dither_pkg::RedFuncArgMax)) && !to_int)
                               || (shuffle && e.dtype_d != e.dtype_0)
                               || (array && e.dtype_d != dither_pkg::DtypeFp32 && !to_int))};
        if (bad != 3'd0) begin
          stat_err     = dither_pkg::ErrBadDtype;
          stat_operand = bad[0] ? 2'd0 : bad[1] ? 2'd1 : 2'd2;
        end
        if (e.round > dither_pkg::RoundRtz || (e.pair && !(matmul && Pairs))
         || (matmul && (e.func != 8'd0 || e.tiles == 2'd3))
         || (transpose && (e.func > dither_pkg::TransposeFuncByte || e.tiles != 2'd0))
         || (tensor && (e.func > dither_pkg::VecFuncAsr || e.func_1 > dither_pkg::VecFuncAsr
                        || e.gen_0 > dither_pkg::SourceRandom
                        || (two && on_words(e.func) != on_words(e.func_1))
                        || (e.rev && one_operand(e.func)) || (e.rev_1 && one_operand(e.func_1))
                        || (e.scalar_ptr && !two && !e.src1_imm)
                        || (e.gen_0 == dither_pkg::SourceRandom && e.round == dither_pkg::RoundSr)))
         || (!tensor && (two || e.rev || e.rev_1 || e.scalar_ptr || e.gen_0 != 2'd0))
         || (reduce && e.func > dither_pkg::RedFuncArgMax)
         || (scan   && e.func > dither_pkg::RedFuncMin)
         || (stats  && e.func != 8'd0)
         || (shuffle && e.func > dither_pkg::ShuffleFuncTranspose)
         || (act    && (e.func > dither_pkg::ActFuncUser3 || e.sum > dither_pkg::ActSumRunning))
         || (load   && e.func != 8'd0)) begin
          stat_err     = dither_pkg::ErrBadFunc;
          stat_operand = 2'd0;
        end
        if (stat_nop) stat_err = dither_pkg::ErrNone;
        if ((instr_i & dither_pkg::EngineReserved) != '0) stat_err = dither_pkg::ErrReservedField;
        if (!(stat_nop || array || tensor || reduce || scan || stats || shuffle || act || load)) begin
          stat_err = dither_pkg::ErrIllegalOpcode;
        end
        if (stat_err <= dither_pkg::ErrReservedField) stat_operand = 2'd0;
      end
    end

    // Source 1 of matmul and transpose has one dimension of its own: the columns.
    always_comb begin : factors
      count  = 16'd0;
      stride = 16'sd0;
      item_last_dim = dim_q == last_dim_q;
      if (state_q == StRun) begin
        count  = e.size[dim_q] - 16'd1;
        stride = e.str_1[dim_q];
        if (item == 3'd0) stride = e.str_d[dim_q];
        if (item == 3'd1) stride = e.str_0[dim_q];
        if (item == 3'd0 && stats_q && dim_q == 2'd0) count = 16'd1;  // mean and variance
        if (item == 3'd3) begin  // a single word
          count         = 16'd0;
          item_last_dim = 1'b1;
        end
        if (item == 3'd2 && array_q) begin
          count         = 16'(e.parts_d) - 16'd1;
          item_last_dim = 1'b1;
        end
      end
    end

    always_comb begin : limits
      logic [2:0] bytes1;
      logic       psum2;
      bytes1   = 3'd0;
      psum2    = 1'b0;
      base1    = '0;
      shift1   = 5'd0;
      tail1    = 2'd0;
      low2     = '0;
      high2    = '0;
      err2     = dither_pkg::ErrNone;
      operand2 = item2_q[1:0];
      no_addr2 = 1'b0;
      if (state_q == StRun) begin
        case (item1_q)
          3'd0:    bytes1 = dither_pkg::DtypeBytes(e.dtype_d);
          3'd1:    bytes1 = dither_pkg::DtypeBytes(e.dtype_0);
          3'd2:    bytes1 = dither_pkg::DtypeBytes(e.dtype_1);
          default: bytes1 = 3'd4;
        endcase
        case (item1_q)
          3'd0:    base1 = AccW'(e.off_d);
          3'd1:    base1 = AccW'(e.off_0);
          3'd2:    base1 = AccW'(e.off_1);
          default: base1 = AccW'(e.imm0);
        endcase
        if (Pairs && pair_q && item1_q != 3'd0) bytes1 = 3'd2;
        case (item2_q)
          3'd0:    psum2 = e.space_d;
          3'd1:    psum2 = e.space_0;
          3'd2:    psum2 = e.space_1;
          default: psum2 = dither_pkg::SpaceSbuf;
        endcase
        shift1 = 5'(bytes1[2:1]);  // 1, 2, 4 -> 0, 1, 2
        tail1  = 2'(bytes1 - 3'd1);
        err2   = psum2 ? dither_pkg::ErrPsumRange : dither_pkg::ErrSbufRange;
        high2  = psum2 ? AccW'(dither_pkg::PsumBytes) : AccW'(SbufBytes);
      end
    end

    always_ff @(posedge clk_i) begin
      if (valid_i && state_q == StIdle) begin
        array_q <= instr_i[7:0] == dither_pkg::OpMatmul || instr_i[7:0] == dither_pkg::OpTranspose;
        pair_q  <= e.pair;
        stats_q <= instr_i[7:0] == dither_pkg::OpStats;
      end
    end
  end

  // Product stage, sum stage, compare stage.
  logic signed [ProdW-1:0] prod_q;
  logic signed [AccW-1:0]  lo_q, hi_q, lo_d, hi_d;
  logic                    fail2;

  always_comb begin
    logic signed [AccW-1:0] step;
    step = '0;
    lo_d = lo_q;
    hi_d = hi_q;
    if (valid1_q) begin
      step = AccW'(prod_q) <<< shift1;
      lo_d = (first1_q ? base1 : lo_q) + (prod_q[ProdW-1] ? step : '0);
      hi_d = (first1_q ? base1 + AccW'(tail1) : hi_q) + (prod_q[ProdW-1] ? '0 : step);
    end
    fail2 = valid2_q && (lo_q < low2 || hi_q >= high2);
  end

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      state_q  <= StIdle;
      valid1_q <= 1'b0;
      valid2_q <= 1'b0;
      items_q  <= 5'b00000;
    end else if (clear_i) begin
      state_q  <= StIdle;
      valid1_q <= 1'b0;
      valid2_q <= 1'b0;
      items_q  <= 5'b00000;
    end else if (state_q == StIdle) begin
      if (valid_i) begin
        state_q <= (stat_err != dither_pkg::ErrNone || stat_nop) ? StDone : StRun;
        items_q <= stat_items;
      end
    end else if (state_q == StRun) begin
      valid1_q <= items_q != 5'b00000;
      valid2_q <= valid1_q && last1_q;
      if (item_last_dim) items_q[item] <= 1'b0;
      if (valid2_q && (fail2 || final2_q || (late_q && no_addr2 && item1_q[1]))) begin
        state_q  <= fail2 || banks_done ? StDone : StBanks;
        valid1_q <= 1'b0;
        valid2_q <= 1'b0;
        items_q  <= 5'b00000;
      end
    end else if (state_q == StBanks) begin
      if (banks_done) state_q <= StDone;
    end
  end

  always_ff @(posedge clk_i) begin
    if (valid_i && state_q == StIdle) begin
      err_o         <= stat_err;
      operand_o     <= stat_operand;
      addr_o        <= 48'd0;
      late_q         <= stat_late;
      late_err_q     <= stat_late_err;
      late_operand_q <= stat_late_operand;
      last_dim_q     <= stat_last_dim;
      dim_q          <= 2'd0;
    end
    if (state_q == StRun) begin
      dim_q    <= item_last_dim ? 2'd0 : dim_q + 2'd1;
      prod_q   <= ProdW'($signed({1'b0, count})) * ProdW'(stride);
      first1_q <= dim_q == 2'd0;
      last1_q  <= item_last_dim;
      final1_q <= item_last_dim && (items_q & (items_q - 5'd1)) == 5'b00000;
      item1_q  <= item;
      item2_q  <= item1_q;
      final2_q <= final1_q;
      if (valid1_q) begin
        lo_q <= lo_d;
        hi_q <= hi_d;
      end
      if (fail2) begin
        err_o     <= err2;
        operand_o <= operand2;
        addr_o    <= no_addr2 ? 48'd0 : lo_q < low2 ? 48'(lo_q) : 48'(hi_q);
      end else if (valid2_q && late_q && no_addr2 && item1_q[1]) begin
        // The last partition extent passed: the box behind it is one of bytes.
        err_o     <= late_err_q;
        operand_o <= late_operand_q;
      end
    end
  end
  assign done_o = state_q == StDone;

  // The banks of a matmul's destination, item 0, from the products that its range needs anyway.
  if (Queue == 32'(dither_pkg::QueueTensor)) begin : gen_banks
    logic [7:0] set_banks;
    logic [1:0] dim1_q;
    logic       matmul_q;
    always_ff @(posedge clk_i) begin
      dim1_q <= dim_q;
      if (valid_i && state_q == StIdle) matmul_q <= !stat_nop;
    end
    bank_set u_banks (
      .clk_i,
      .rst_ni,
      .load_i       (valid_i && state_q == StIdle && stat_err == dither_pkg::ErrNone && !stat_nop),
      .clear_i,
      .off_i        (e.off_d[13:2]),
      .size_i       (e.size),
      .str_i        (e.str_d),
      .prod_valid_i (valid1_q && item1_q == 3'd0),
      .prod_dim_i   (dim1_q),
      .prod_minus_i (prod_q[ProdW-1]),
      .prod_i       (prod_q[11:0]),
      .start_i      (state_q == StRun && valid2_q && item2_q == 3'd0 && !fail2),
      .done_o       (banks_done),
      .banks_o      (set_banks)
    );
    assign banks_o = matmul_q ? set_banks : '0;
  end else begin : gen_no_banks
    assign banks_done = 1'b1;
    assign banks_o    = '0;
  end

  // An instruction stays until it is cleared.
  `CHK(ValidHeld_A, !$past(rst_ni) || !$past(valid_i && !clear_i) || valid_i)
endmodule
