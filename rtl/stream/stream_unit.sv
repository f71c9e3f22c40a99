// Control of a lane engine: takes an instruction, feeds the lanes, writes their results.
//
//   instr -> loop, walkers -> [0 issue] -> [1 word] -> [2 raw elements] lanes [Stages] -> writer
//
// One enable en_o moves the whole pipe; it is low only while the writer is blocked or hold_i is set.
// Instructions are serial: the next issues in the cycle after the last word of the one before was
// granted. Each group of stats_i ends with three elements of its own; with pairs_i what goes through
// is a pair of elements of dimension 0 (both in docs/blocks/vector_engine.md).
// Timing  n elements take n + Short + 1 cycles if every request is granted at once, deep_i
//         n + Stages + 1; scalars_i one more, wait_i as many; a group of stats_i StatsGap more.
// Test    tb/vector/vector_engine_test.cpp, tb/scalar/scalar_engine_test.cpp
`default_nettype none
`include "chk.svh"
module stream_unit #(
  parameter  int unsigned Rows      = 16,
  parameter  int unsigned SbufBytes = dither_pkg::SbufBytesOf(Rows),
  parameter  int unsigned Stages    = 7,                  // in which the lanes hand over deep results
  parameter  int unsigned Short     = Stages,             // and the others
  parameter  bit          Prefetch  = 1'b0,               // source 1 reads a word ahead
  parameter  bit          Pairs     = 1'b0,               // pairs_i may be set
  localparam int unsigned AddrW     = $clog2(SbufBytes)   // derived, at least 14 (PSUM)
) (
  input  logic               clk_i,
  input  logic               rst_ni,
  // Sequencer.
  input  logic               instr_valid_i,
  input  logic [511:0]       instr_i,
  output logic               instr_ready_o,
  output logic               done_o,
  output logic               busy_o,
  output logic               stall_o,
  output logic [7:0]         work_o,
  // Decode of instr_i, sampled with accept_o.
  output logic               accept_o,
  input  logic               read_0_i,    // source 0 is read
  input  logic               read_1_i,    // source 1 is read
  input  logic               group_i,     // the rdims+1 innermost dimensions are a group
  input  logic               reduce_i,    // only the last element of a group is written
  input  logic               stats_i,     // only what ends a group is written
  input  logic               deep_i,      // results come in stage Stages, not Short
  input  logic               scalars_i,   // the word at offset imm0 is read first
  input  logic               twice_i,     // dimension 0 is read, then, in a second run, written
  input  logic               iota_i,      // source 0 is counted: iota_o
  input  logic [3:0]         wait_i,      // cycles before the first element
  input  logic               pairs_i,     // two elements of dimension 0 at once, as the page allows
  // To and from the lanes. Bit s of the vectors is about the element in stage s.
  input  logic               hold_i,      // freezes the pipe; from registers
  output logic               en_o,
  output logic [Stages:1]    valid_o,
  output logic [Stages:1]    first_o,     // first of its group
  output logic [Stages:1]    write_o,     // gives a result
  output logic [2*Stages-1:0] kind_o,     // stream_pkg::Kind*, stage s at [2*(s-1) +: 2]
  output logic [Stages:1]    second_o,    // of the second run
  output logic [Short:1]     pair_o,      // is a pair
  output logic               scalars_o,   // the partitions' words, in sbuf_0_data_i
  output logic [23:0]        iota_o,      // stage 2
  output logic [Rows-1:0]    lanes_o,     // lanes of the destination
  output logic [Rows*32-1:0] raw_0_o,     // stage 2, right-justified, the second of a pair above
  output logic [Rows*32-1:0] raw_1_o,
  input  logic [Rows*32-1:0] result_i,    // stage Stages or Short, right-justified, pairs likewise
  // Source 0, source 1 and destination in SBUF and PSUM.
  output logic               sbuf_0_req_o,
  output logic [AddrW-4:0]   sbuf_0_addr_o,
  input  logic               sbuf_0_gnt_i,
  input  logic [Rows*64-1:0] sbuf_0_data_i,
  output logic               sbuf_1_req_o,
  output logic [AddrW-4:0]   sbuf_1_addr_o,
  input  logic               sbuf_1_gnt_i,
  input  logic [Rows*64-1:0] sbuf_1_data_i,
  output logic               sbuf_w_req_o,
  output logic [AddrW-4:0]   sbuf_w_addr_o,
  output logic [Rows-1:0]    sbuf_w_lanes_o,
  output logic [7:0]         sbuf_w_bytes_o,
  output logic [Rows*64-1:0] sbuf_w_data_o,
  input  logic               sbuf_w_gnt_i,
  output logic               psum_0_req_o,
  output logic [11:0]        psum_0_addr_o,
  input  logic               psum_0_gnt_i,
  input  logic [Rows*32-1:0] psum_0_data_i,
  output logic               psum_1_req_o,
  output logic [11:0]        psum_1_addr_o,
  input  logic               psum_1_gnt_i,
  input  logic [Rows*32-1:0] psum_1_data_i,
  output logic               psum_w_req_o,
  output logic [11:0]        psum_w_addr_o,
  output logic [Rows-1:0]    psum_w_lanes_o,
  output logic [Rows*32-1:0] psum_w_data_o,
  input  logic               psum_w_gnt_i
);
  localparam int unsigned TokenW = AddrW + 2;
  localparam int unsigned IotaW  = 24;
  // Behind the last element of a group of statistics: what the lanes' sums need to be complete, then
  // the elements that make mean, mean of squares and variance of them.
  localparam logic [3:0] GapMean = 4'd8, GapSquares = 4'd9, GapVariance = 4'd10;

  if (AddrW < 14 || AddrW > IotaW || Short < 3 || Short > Stages) begin : gen_bad_parameters
    $error("stream_unit: SbufBytes must be above 8192, Short at least 3 and at most Stages");
  end

  dither_pkg::instr_t instr;
  logic               unused_instr;  // the rest is decoded by the sequencer and by the engine
  assign instr        = instr_i;
  assign unused_instr = ^instr;

  function automatic logic [1:0] Log2Bytes(input logic [3:0] dtype);
    logic [2:0] bytes;
    bytes     = dither_pkg::DtypeBytes(dtype);
    Log2Bytes = {bytes == 3'd4, bytes == 3'd2};
  endfunction

  // ---- instruction ----
  logic            busy_q, run_q;  // run_q: elements are left to issue
  logic            read_0_q, read_1_q, reduce_q, stats_q, deep_q, twice_q, iota_q;
  logic            space_0_q, space_1_q, space_d_q;
  logic            scalars_q;    // the partitions' words are still to be read
  logic            arrive_q;     // they are there
  logic [3:0]      wait_q;
  logic [AddrW-1:3] scalar_addr_q;
  logic [1:0]      esize_d_q;
  logic [Rows-1:0] lanes_q;
  logic            accept, go, fire, step, last, group_first, group_last, blocked, en, done;
  logic            again, second;
  logic            bubble_q;     // before the second run: what is written has to be complete
  logic [3:0]      gap_q;        // cycles since the last element of a group of statistics; 0: none
  logic [1:0]      dim;

  assign instr_ready_o = !busy_q || done;
  assign accept        = instr_valid_i && instr_ready_o;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      busy_q <= 1'b0;
      run_q  <= 1'b0;
    end else begin
      if (accept) busy_q <= 1'b1;
      else if (done) busy_q <= 1'b0;
      if (accept) run_q <= 1'b1;
      else if (step && last) run_q <= 1'b0;
    end
  end
  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      scalars_q <= 1'b0;
      arrive_q  <= 1'b0;
      wait_q    <= '0;
      bubble_q  <= 1'b0;
      gap_q     <= '0;
    end else begin
      if (accept) scalars_q <= scalars_i;
      else if (sbuf_0_gnt_i) scalars_q <= 1'b0;
      arrive_q <= scalars_q && sbuf_0_gnt_i;
      if (accept) wait_q <= wait_i;
      else if (wait_q != '0) wait_q <= wait_q - 4'd1;
      if (en) begin
        bubble_q <= fire && again;
        if (fire && stats_q && group_last) gap_q <= 4'd1;
        else if (gap_q == GapVariance) gap_q <= '0;
        else if (gap_q != '0) gap_q <= gap_q + 4'd1;
      end
    end
  end
  always_ff @(posedge clk_i) begin
    if (accept) begin
      read_0_q  <= read_0_i;
      read_1_q  <= read_1_i;
      reduce_q  <= reduce_i;
      stats_q   <= stats_i;
      deep_q    <= deep_i;
      twice_q   <= twice_i;
      iota_q    <= iota_i;
      scalar_addr_q <= instr.imm0[AddrW-1:3];
      space_0_q <= instr.space_0;
      space_1_q <= instr.space_1;
      space_d_q <= instr.space_d;
      esize_d_q <= Log2Bytes(instr.dtype_d);
      for (int unsigned l = 0; l < Rows; l++) begin
        lanes_q[l] <= 9'(l) >= {1'b0, instr.part_d}
                   && 9'(l) < {1'b0, instr.part_d} + {1'b0, instr.parts};
      end
    end
  end

  // ---- issue ----
  logic [IotaW-1:0] addr_0, next_0;
  logic [AddrW-1:0] addr_1, addr_d, next_1, next_d;
  logic             ready_0, ready_1, want_0, unused_next;
  logic             pairs;
  logic [63:0]      str_0, str_1, str_d;
  assign unused_next = ^{addr_0, next_0, next_1[1:0], next_d[1:0]};
  assign go     = run_q && !scalars_q && wait_q == '0 && gap_q == '0 && !bubble_q;
  assign want_0 = read_0_q && !(twice_q && second);
  assign fire   = go && (ready_0 || !want_0) && (ready_1 || !read_1_q) && en;
  // The loop stays at the last element of a group of statistics until its results are issued.
  assign step   = (fire && !(stats_q && group_last)) || (en && gap_q == GapVariance);
  // The last stride of a counted source is from partition to partition.
  // From pair to pair it is twice as far; there these strides are 0 or 1.
  function automatic logic [15:0] Stride0(input logic twice, input logic [15:0] stride);
    Stride0 = twice ? {14'b0, stride[0], 1'b0} : stride;
  endfunction
  assign pairs  = Pairs && pairs_i;
  assign str_0  = {iota_i ? 16'd0 : instr.str_0[3], instr.str_0[2], instr.str_0[1],
                   Stride0(pairs, instr.str_0[0])};
  assign str_1  = {instr.str_1[3], instr.str_1[2], instr.str_1[1], Stride0(pairs, instr.str_1[0])};
  assign str_d  = {instr.str_d[3], instr.str_d[2], instr.str_d[1], Stride0(pairs, instr.str_d[0])};

  // Of a row of odd size the last pair is one element.
  logic [63:0] size;
  logic [15:0] size_0;
  logic        pairs_q, odd_q, pair;
  assign size_0 = instr.size[0];
  assign size   = {instr.size[3], instr.size[2], instr.size[1],
                   pairs ? {1'b0, size_0[15:1]} + 16'(size_0[0]) : size_0};
  assign pair   = pairs_q && !(odd_q && dim != 2'd0);
  always_ff @(posedge clk_i) begin
    if (accept) begin
      pairs_q <= pairs;
      odd_q   <= size_0[0];
    end
  end

  ap_loop u_loop (
    .clk_i,
    .rst_ni,
    .load_i       (accept),
    .size_i       (size),
    .group_i      (group_i ? 3'(instr.rdims) + 3'd1 : 3'd0),
    .twice_i,
    .step_i       (step),
    .dim_o        (dim),
    .again_o      (again),
    .second_o     (second),
    .last_o       (last),
    .group_first_o(group_first),
    .group_last_o (group_last)
  );
  ap_walker #(.AddrW(IotaW)) u_walker_0 (
    .clk_i,
    .load_i (accept),
    .off_i  (instr.off_0),
    .str_i  (str_0),
    .esize_i(iota_i ? 2'd0 : Log2Bytes(instr.dtype_0)),
    .step_i (step),
    .dim_i  (dim),
    .again_i(again),
    .addr_o (addr_0),
    .next_o (next_0)
  );
  ap_walker #(.AddrW(AddrW)) u_walker_1 (
    .clk_i,
    .load_i (accept),
    .off_i  (instr.off_1[AddrW-1:0]),
    .str_i  (str_1),
    .esize_i(Log2Bytes(instr.dtype_1)),
    .step_i (step),
    .dim_i  (dim),
    .again_i(again),
    .addr_o (addr_1),
    .next_o (next_1)
  );
  // The stride of dimension 0 of statistics leads from the mean to the variance: not walked along.
  logic [AddrW-1:0] variance_addr_q;
  always_ff @(posedge clk_i) begin
    if (gap_q == GapSquares) variance_addr_q <= next_d;
  end
  ap_walker #(.AddrW(AddrW)) u_walker_d (
    .clk_i,
    .load_i (accept),
    .off_i  (instr.off_d[AddrW-1:0]),
    .str_i  (str_d),
    .esize_i(Log2Bytes(instr.dtype_d)),
    .step_i (step && !(stats_q && !group_last)),
    .dim_i  (gap_q == GapSquares ? 2'd0 : dim),
    .again_i(again),
    .addr_o (addr_d),
    .next_o (next_d)
  );

  // The element's word is complete if the next result lies in another one. In a reduction the
  // destination stands still inside a group, so the next element's address is the next group's.
  logic close;
  assign close = last || gap_q != '0 || next_d[AddrW-1:3] != addr_d[AddrW-1:3]
              || (space_d_q == dither_pkg::SpacePsum && next_d[2] != addr_d[2]);

  // ---- pipe ----
  // Token of stage s at [TokenW*(s-1) +: TokenW].
  logic [Stages:1]          valid_q, first_q, write_q;
  logic [Stages:1]          second_q;
  logic [2*Stages-1:0]      kind_q;
  logic [TokenW*Stages-1:0] token_q;
  logic                     issue, issue_write, token_close, token_last;
  logic [1:0]               kind;
  logic [AddrW-1:0]         token_addr;
  logic [2*IotaW-1:0]       iota_pipe_q;
  assign issue = fire || gap_q >= GapMean;
  assign issue_write = gap_q != '0 ? gap_q != GapSquares
                     : !stats_q && (group_last || !reduce_q) && (second || !twice_q);
  assign kind  = gap_q == GapMean ? stream_pkg::KindMean : gap_q == GapSquares ? stream_pkg::KindSquares
               : gap_q == GapVariance ? stream_pkg::KindVariance : stream_pkg::KindElement;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) valid_q <= '0;
    // A result that is handed over in stage Short goes no further.
    else if (en) valid_q <= {valid_q[Stages-1:1], issue}
                          & (deep_q ? '1 : {Stages{1'b1}} >> (Stages - Short));
  end
  always_ff @(posedge clk_i) begin
    if (en && busy_q) begin
      first_q  <= {first_q[Stages-1:1], group_first && gap_q == '0};
      write_q  <= {write_q[Stages-1:1], issue_write};
      second_q <= {second_q[Stages-1:1], second};
      kind_q   <= {kind_q[2*Stages-3:0], kind};
      token_q  <= {token_q[0 +: TokenW*(Stages-1)], close,
                   last && (gap_q == '0 || gap_q == GapVariance),
                   gap_q == GapVariance ? variance_addr_q : addr_d};
      if (iota_q) iota_pipe_q <= {iota_pipe_q[0 +: IotaW], addr_0};
    end
  end
  logic [Short:1] pair_q;
  if (Pairs) begin : gen_pairs
    always_ff @(posedge clk_i) begin
      if (en && busy_q) pair_q <= {pair_q[Short-1:1], pair};
    end
  end else begin : gen_single
    logic unused_pair;
    assign unused_pair = pair;
    assign pair_q      = '0;
  end
  assign {token_close, token_last, token_addr} = deep_q ? token_q[TokenW*(Stages-1) +: TokenW]
                                                        : token_q[TokenW*(Short-1) +: TokenW];

  // The partitions' words come first, over source 0's port.
  logic             reader_req;
  logic [AddrW-4:0] reader_addr;
  assign sbuf_0_req_o  = scalars_q || reader_req;
  assign sbuf_0_addr_o = scalars_q ? scalar_addr_q : reader_addr;

  stream_reader #(.Rows(Rows), .AddrW(AddrW)) u_reader_0 (
    .clk_i,
    .rst_ni,
    .load_i     (accept),
    .en_i       (en),
    .space_i    (space_0_q),
    .valid_i    (go && want_0),
    .addr_i     (addr_0[AddrW-1:0]),
    .next_i     (next_0[AddrW-1:2]),
    .last_i     (last),
    .ready_o    (ready_0),
    .fire_i     (fire),
    .valid_1_i  (valid_q[1]),
    .elem_o     (raw_0_o),
    .sbuf_req_o (reader_req),
    .sbuf_addr_o(reader_addr),
    .sbuf_gnt_i (sbuf_0_gnt_i),
    .sbuf_data_i(sbuf_0_data_i),
    .psum_req_o (psum_0_req_o),
    .psum_addr_o(psum_0_addr_o),
    .psum_gnt_i (psum_0_gnt_i),
    .psum_data_i(psum_0_data_i)
  );
  stream_reader #(.Rows(Rows), .AddrW(AddrW), .Prefetch(Prefetch)) u_reader_1 (
    .clk_i,
    .rst_ni,
    .load_i     (accept),
    .en_i       (en),
    .space_i    (space_1_q),
    .valid_i    (go && read_1_q),
    .addr_i     (addr_1),
    .next_i     (next_1[AddrW-1:2]),
    .last_i     (last),
    .ready_o    (ready_1),
    .fire_i     (fire),
    .valid_1_i  (valid_q[1] && read_1_q),
    .elem_o     (raw_1_o),
    .sbuf_req_o (sbuf_1_req_o),
    .sbuf_addr_o(sbuf_1_addr_o),
    .sbuf_gnt_i (sbuf_1_gnt_i),
    .sbuf_data_i(sbuf_1_data_i),
    .psum_req_o (psum_1_req_o),
    .psum_addr_o(psum_1_addr_o),
    .psum_gnt_i (psum_1_gnt_i),
    .psum_data_i(psum_1_data_i)
  );

  // A pair is written as one element of twice the size. Deep results are none, and an instruction's
  // pairs have left before the next one's results.
  logic write, write_pair;
  assign write_pair = Pairs && pair_q[Short];
  assign write = (deep_q ? valid_q[Stages] && write_q[Stages] : valid_q[Short] && write_q[Short])
              && !hold_i;
  stream_writer #(.Rows(Rows), .AddrW(AddrW)) u_writer (
    .clk_i,
    .rst_ni,
    .load_i      (accept),
    .space_i     (space_d_q),
    .esize_i     (write_pair ? {esize_d_q[0], !esize_d_q[0]} : esize_d_q),
    .valid_i     (write),
    .close_i     (token_close),
    .last_i      (token_last),
    .addr_i      (token_addr),
    .elem_i      (result_i),
    .blocked_o   (blocked),
    .done_o      (done),
    .sbuf_req_o  (sbuf_w_req_o),
    .sbuf_addr_o (sbuf_w_addr_o),
    .sbuf_bytes_o(sbuf_w_bytes_o),
    .sbuf_data_o (sbuf_w_data_o),
    .sbuf_gnt_i  (sbuf_w_gnt_i),
    .psum_req_o  (psum_w_req_o),
    .psum_addr_o (psum_w_addr_o),
    .psum_data_o (psum_w_data_o),
    .psum_gnt_i  (psum_w_gnt_i)
  );
  assign en             = !blocked && !hold_i;
  assign sbuf_w_lanes_o = lanes_q;
  assign psum_w_lanes_o = lanes_q;

  assign accept_o = accept;
  assign en_o     = en;
  assign valid_o  = valid_q;
  assign first_o  = first_q;
  assign write_o  = write_q;
  assign kind_o   = kind_q;
  assign second_o = second_q;
  assign iota_o   = iota_pipe_q[IotaW +: IotaW];
  assign scalars_o = arrive_q;
  assign lanes_o  = lanes_q;
  assign done_o   = done;
  assign busy_o   = busy_q;
  assign pair_o   = pair_q;
  assign work_o   = {6'b0, write && en && write_pair, write && en && !write_pair};
  assign stall_o  = (sbuf_0_req_o && !sbuf_0_gnt_i) || (sbuf_1_req_o && !sbuf_1_gnt_i)
                 || (sbuf_w_req_o && !sbuf_w_gnt_i) || (psum_0_req_o && !psum_0_gnt_i)
                 || (psum_1_req_o && !psum_1_gnt_i) || (psum_w_req_o && !psum_w_gnt_i);

  // A pair is of elements of one or two bytes.
  `CHK(PairFits_A, !(write && write_pair) || !esize_d_q[1])
  // Nothing is in the pipe of an idle engine, and the last word leaves after everything else.
  `CHK(IdleEmpty_A, busy_q || (valid_q == '0 && !run_q))
  `CHK(DoneEmpty_A, !done || (valid_q == '0 && !run_q))
  // A result is only ever written for lanes inside the array.
  `CHK(SomeLane_A, !busy_q || lanes_q != '0)
endmodule
