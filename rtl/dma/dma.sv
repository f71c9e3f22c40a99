// One DMA channel: copies strided tensors between DRAM and SBUF, any way; four copies inside.
//
//   walk (source) --AR, SBUF read--> stream of bytes --AW/W, SBUF write--> walk (destination)
//        ^-------------------- rows of a list (dma_index) -----------------------^
//
// Reads run ahead, also into the next copy; a copy writes only when the one before it is done, so
// an error stops the queue exactly there. A burst is written once all its bytes are here: W never
// waits for R, which is why two channels on one memory can't block each other.
// Test    tb/dma/dma_test.cpp
`default_nettype none
`include "chk.svh"
module dma #(
  parameter  int unsigned Rows      = 8,                              // partitions, 8..128
  parameter  int unsigned SbufBytes = dither_pkg::SbufBytesOf(Rows),  // bytes of a partition
  parameter  int unsigned AxiBits   = dither_pkg::AxiBitsOf(Rows),    // 128, 256 or 512
  parameter  int unsigned MaxBurst  = 16,                             // beats; 2^n, <= 4 KiB
  parameter  int unsigned MaxReads  = 32,                             // bursts outstanding; 2^n
  parameter  int unsigned MaxWrites = 16,                             // bursts outstanding; 2^n
  localparam int unsigned Beat      = AxiBits / 8,                    // derived
  localparam int unsigned ChunkW    = $clog2(SbufBytes / Beat)        // derived
) (
  input  logic               clk_i,
  input  logic               rst_ni,
  // sequencer
  input  logic               instr_valid_i,
  output logic               instr_ready_o,
  input  logic [511:0]       instr_i,
  output logic               done_o,
  output logic               err_o,
  output logic [7:0]         err_cause_o,
  output logic [47:0]        err_addr_o,
  output logic               busy_o,
  output logic               stall_o,      // SBUF refused
  output logic [7:0]         work_o,       // bytes written
  input  logic [31:0]        watchdog_i,   // cycles without progress that are an error; 0: never
  // SBUF chunks
  output logic               sbuf_req_o,
  output logic               sbuf_we_o,
  output logic [7:0]         sbuf_part_o,
  output logic [ChunkW-1:0]  sbuf_addr_o,
  output logic [AxiBits-1:0] sbuf_wdata_o,
  output logic [Beat-1:0]    sbuf_wbe_o,
  input  logic               sbuf_gnt_i,
  input  logic [AxiBits-1:0] sbuf_rdata_i,
  // AXI4: INCR bursts of full beats, addresses are multiples of a beat
  output logic               ar_valid_o,
  input  logic               ar_ready_i,
  output logic [43:0]        ar_addr_o,
  output logic [7:0]         ar_len_o,
  input  logic               r_valid_i,
  output logic               r_ready_o,
  input  logic [AxiBits-1:0] r_data_i,
  input  logic [1:0]         r_resp_i,
  input  logic               r_last_i,
  output logic               aw_valid_o,
  input  logic               aw_ready_i,
  output logic [43:0]        aw_addr_o,
  output logic [7:0]         aw_len_o,
  output logic               w_valid_o,
  input  logic               w_ready_i,
  output logic [AxiBits-1:0] w_data_o,
  output logic [Beat-1:0]    w_strb_o,
  output logic               w_last_o,
  input  logic               b_valid_i,
  output logic               b_ready_o,
  input  logic [1:0]         b_resp_i
);
  localparam int unsigned BeatW  = $clog2(Beat);
  localparam int unsigned Block  = MaxBurst * Beat;
  localparam int unsigned BlockW = $clog2(Block);
  localparam int unsigned Beats  = 2 * MaxBurst;  // one burst being written, one arriving
  localparam int unsigned AvailW = $clog2(Beat * (Beats + 3));
  localparam int unsigned RdW    = $clog2(MaxReads);
  localparam int unsigned WrW    = $clog2(MaxWrites);
  localparam int unsigned PageW  = 44 - BeatW;             // a beat's address
  localparam int unsigned JobW   = 1 + BeatW + BlockW + 1;  // last of its copy, first byte, bytes
  localparam int unsigned Inside = 4;
  if (AxiBits != 128 && AxiBits != 256 && AxiBits != 512) begin : gen_bad_bits
    $error("dma: AxiBits must be 128, 256 or 512");
  end
  if (Block > 4096 || MaxBurst < 2 || (MaxBurst & (MaxBurst - 1)) != 0) begin : gen_bad_burst
    $error("dma: MaxBurst must be a power of two of at most 4 KiB");
  end
  if ((MaxReads & (MaxReads - 1)) != 0 || (MaxWrites & (MaxWrites - 1)) != 0 || MaxReads < 2
      || MaxWrites < 2) begin : gen_bad_outstanding
    $error("dma: MaxReads and MaxWrites must be powers of two, at least 2");
  end

  // ---- instruction in
  dither_pkg::dma_instr_t instr;
  logic [2:0]  esize, inside_q, read_q;
  logic        is_nop, nop_q, accept, load, src_ready, clear, drained;
  logic        gather, scatter, index_ready, index_err_q;
  logic        read_err_q, write_err_q, late_q, late_err_q, kill, abort, report, expire, wd_hit;
  logic        read_fault, write_fault, look;
  logic        unused_instr;

  assign instr  = instr_i;
  assign esize  = dither_pkg::DtypeBytes(instr.dtype_0);
  assign is_nop = instr.opcode == dither_pkg::OpNop;
  assign gather  = instr.opcode == dither_pkg::OpGather;
  assign scatter = instr.opcode == dither_pkg::OpScatter;
  assign unused_instr = ^{instr.rsv0, instr.rsv1, instr.rsv2, instr.rsv3, instr.dtype_d, esize[0],
                          instr.wait_val, instr.wait_sem, instr.wait_en, instr.sig_inc, instr.irq,
                          instr.sig_sem, instr.sig_en, instr.src_addr[47:45],
                          instr.dst_addr[47:45]};

  // Destinations wait here while their sources are being read.
  localparam int unsigned DestW = 1 + 1 + 44 + 2 + 64 + 128;
  logic [DestW-1:0] dest_mem [2];
  logic [DestW-1:0] dest;
  logic [1:0]       dest_count_q;
  logic             dest_w_q, dest_r_q, dest_pop, dst_ready;

  // A nop enters an empty channel only: nothing is left to wait for.
  assign instr_ready_o = late_q ? wd_hit
                       : !read_err_q && !write_err_q && !wd_hit && inside_q != 3'(Inside)
                         && (is_nop ? inside_q == '0 : src_ready && !dest_count_q[1]
                                                       && (index_ready || !(gather || scatter)));
  assign accept   = instr_valid_i && instr_ready_o;
  assign load     = accept && !is_nop && !late_q;
  assign dest     = dest_mem[dest_r_q];
  assign dest_pop = dest_count_q != '0 && dst_ready;
  assign busy_o   = inside_q != '0;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      dest_count_q <= '0;
      dest_w_q     <= 1'b0;
      dest_r_q     <= 1'b0;
    end else if (clear) begin
      dest_count_q <= '0;
      dest_r_q     <= dest_w_q;
    end else if (load || dest_pop) begin
      dest_count_q <= dest_count_q + 2'(load) - 2'(dest_pop);
      dest_w_q     <= dest_w_q ^ load;
      dest_r_q     <= dest_r_q ^ dest_pop;
    end
  end
  always_ff @(posedge clk_i) begin
    if (load) begin
      dest_mem[dest_w_q] <= {scatter, instr.dst_addr[44], instr.dst_addr[43:0], esize[2:1], instr.size,
                             instr.dst_str};
    end
  end

  // ---- the two walks
  logic            s_valid, s_take, s_sbuf, s_last, d_valid, d_take, d_sbuf, d_last;
  logic [43:0]     s_addr, d_addr;
  logic [BlockW:0] s_len, d_len;
  logic            s_row_ready, d_row_ready, list_passed, row_valid;
  logic            scatter_q;  // the list in dma_index is of a scatter
  logic [43:0]     row_addr;
  // A scatter reads its source when its list has passed, a gather as its rows come. Only a scatter's
  // destination ever waits for a row.
  dma_walk #(.Beat(Beat), .Block(Block)) u_source (
    .clk_i, .rst_ni, .clear_i(clear),
    .load_valid_i(load), .load_ready_o(src_ready), .load_sbuf_i(instr.src_addr[44]),
    .load_addr_i(instr.src_addr[43:0]), .load_esize_i(esize[2:1]), .load_size_i(instr.size),
    .load_str_i(instr.src_str), .load_wait_i(gather || scatter), .load_rows_i(gather),
    .row_valid_i(scatter_q ? list_passed : row_valid), .row_ready_o(s_row_ready),
    .row_addr_i(row_addr),
    .seg_valid_o(s_valid), .seg_ready_i(s_take), .seg_sbuf_o(s_sbuf), .seg_addr_o(s_addr),
    .seg_len_o(s_len), .seg_last_o(s_last));
  dma_walk #(.Beat(Beat), .Block(Block)) u_dest (
    .clk_i, .rst_ni, .clear_i(clear),
    .load_valid_i(dest_count_q != '0), .load_ready_o(dst_ready), .load_sbuf_i(dest[238]),
    .load_addr_i(dest[237:194]), .load_esize_i(dest[193:192]), .load_size_i(dest[191:128]),
    .load_str_i(dest[127:0]), .load_wait_i(dest[239]), .load_rows_i(dest[239]),
    .row_valid_i(row_valid), .row_ready_o(d_row_ready), .row_addr_i(row_addr),
    .seg_valid_o(d_valid), .seg_ready_i(d_take), .seg_sbuf_o(d_sbuf), .seg_addr_o(d_addr),
    .seg_len_o(d_len), .seg_last_o(d_last));

  // ---- the list of a gather or scatter: checked when everything before is read to the end, so
  // that a bad index stops the queue as a read error of this instruction does
  logic              list_req, index_bad;
  logic [31:0]       limit, list_at, table_step;
  logic              unused_list;
  logic [7:0]        list_part;
  logic [ChunkW-1:0] list_addr;
  logic [31:0]       list_index;
  logic [15:0]       list_place;
  assign limit      = instr.src_str[3];
  assign list_at    = instr.dst_str[3];
  assign unused_list = ^{limit, list_at};
  assign table_step = gather ? instr.src_str[2] : instr.dst_str[2];
  dma_index #(.SbufBytes(SbufBytes), .AxiBits(AxiBits)) u_index (
    .clk_i, .rst_ni, .clear_i(clear),
    .load_valid_i(load && (gather || scatter)), .load_ready_o(index_ready),
    .load_part_i(list_at[27:20]), .load_word_i(list_at[2 +: ChunkW + BeatW - 2]),
    .load_size_i(instr.size[2]), .load_limit_i(limit[30:0]),
    .load_base_i(gather ? instr.src_addr[43:0] : instr.dst_addr[43:0]),
    .load_step_i(table_step),
    .check_i(inside_q == read_q + 3'd1), .passed_o(list_passed),
    .bad_o(index_bad), .index_o(list_index), .place_o(list_place),
    .sbuf_req_o(list_req), .sbuf_part_o(list_part), .sbuf_addr_o(list_addr),
    .sbuf_gnt_i, .sbuf_rdata_i,
    .row_valid_o(row_valid), .row_ready_i(scatter_q ? d_row_ready : s_row_ready),
    .row_addr_o(row_addr));
  always_ff @(posedge clk_i) begin
    if (load && (gather || scatter)) scatter_q <= scatter;
  end

  // ---- reads: rd_mem remembers the bursts between rd_r_q (answering) and rd_w_q (next to ask);
  // their addresses are needed only for errors and lie in an SRAM, read by read_fault and look
  logic [JobW-1:0]  rd_mem [MaxReads];
  logic [JobW-1:0]  rd_job;
  logic [RdW:0]     rd_w_q, rd_r_q;
  logic             rd_none, ar_take, ar_valid_q, r_first_q, r_fire, r_push, r_end;
  logic [PageW-1:0] ar_addr_q, rd_addr;
  logic [7:0]       ar_len_q;
  logic [BlockW:0]  r_left_q, r_left;
  logic [BeatW-1:0] r_off;
  logic [BeatW:0]   r_room, r_len;
  logic             in_ready, room, sbuf_read, sbuf_write;
  logic             got_q, got_last_q;  // a chunk comes from SBUF in this cycle
  logic [BeatW-1:0] got_off_q;
  logic [BeatW:0]   got_len_q;

  // Beats of a burst, minus one: the segment's end seen from the beat that it begins in.
  function automatic logic [7:0] BurstLen(input logic [BeatW-1:0] off, input logic [BlockW:0] len);
    logic [BlockW+1:0] span;
    span     = (BlockW+2)'(off) + (BlockW+2)'(len) - (BlockW+2)'(1);
    BurstLen = 8'(span >> BeatW);
  endfunction

  assign rd_none = rd_w_q == rd_r_q;
  assign ar_take = s_valid && !s_sbuf && !kill && rd_w_q != {~rd_r_q[RdW], rd_r_q[RdW-1:0]}
                   && (!ar_valid_q || ar_ready_i);
  assign rd_job  = rd_mem[rd_r_q[RdW-1:0]];
  assign r_off   = r_first_q ? rd_job[BlockW+1 +: BeatW] : '0;
  assign r_left  = r_first_q ? rd_job[BlockW:0] : r_left_q;
  assign r_room  = (BeatW+1)'(Beat) - (BeatW+1)'(r_off);
  assign r_end   = r_left <= (BlockW+1)'(r_room);
  assign r_len   = r_end ? r_left[BeatW:0] : r_room;
  // After an error what is still coming is thrown away.
  assign r_ready_o = !rd_none && (kill || in_ready);
  assign r_fire    = r_valid_i && r_ready_o;
  assign r_push    = r_fire && !kill && !r_resp_i[1];
  assign ar_valid_o = ar_valid_q;
  assign ar_addr_o  = {ar_addr_q, BeatW'(0)};
  assign ar_len_o   = ar_len_q;

  // SBUF is read when no burst is on its way (order) and its chunk, which can't wait, has a place.
  // After the last chunk of a copy the stream may need a cycle to flush.
  assign sbuf_read = s_valid && s_sbuf && !kill && rd_none && room && !(got_q && got_last_q);
  assign s_take    = s_sbuf ? sbuf_read && sbuf_gnt_i && !sbuf_write && !list_req : ar_take;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      rd_w_q     <= '0;
      rd_r_q     <= '0;
      ar_valid_q <= 1'b0;
      r_first_q  <= 1'b1;
      got_q      <= 1'b0;
    end else begin
      if (ar_take) rd_w_q <= rd_w_q + 1'b1;
      if (ar_take) ar_valid_q <= 1'b1;
      else if (ar_ready_i) ar_valid_q <= 1'b0;
      if (r_fire) r_first_q <= r_end;
      if (r_fire && r_end) rd_r_q <= rd_r_q + 1'b1;
      got_q <= s_sbuf && s_take;
    end
  end
  always_ff @(posedge clk_i) begin
    if (ar_take) begin
      rd_mem[rd_w_q[RdW-1:0]] <= {s_last, s_addr[BeatW-1:0], s_len};
      ar_addr_q               <= s_addr[43:BeatW];
      ar_len_q                <= BurstLen(s_addr[BeatW-1:0], s_len);
    end
    if (r_fire) r_left_q <= r_left - (BlockW+1)'(r_len);
    if (s_sbuf && s_take) begin
      got_off_q  <= s_addr[BeatW-1:0];
      got_len_q  <= s_len[BeatW:0];
      got_last_q <= s_last;
    end
  end

  sram_1r1w #(.Depth(MaxReads), .Lanes(1), .Width(PageW)) u_read_addr (
    .clk_i,
    .re_i(read_fault || (look && !read_err_q && !write_err_q)), .raddr_i(rd_r_q[RdW-1:0]),
    .rdata_o(rd_addr),
    .we_i(ar_take), .waddr_i(rd_w_q[RdW-1:0]), .lanes_i(1'b1), .wdata_i(s_addr[43:BeatW]));

  // ---- the stream
  logic               in_valid, in_last, out_want, out_avail, out_take, out_last;
  logic [AvailW-1:0]  unclaimed;
  logic [BeatW-1:0]   out_off;
  logic [BeatW:0]     out_len;
  logic [AxiBits-1:0] out_data;
  logic [Beat-1:0]    out_strb;
  assign in_valid = r_push || (got_q && !kill);
  assign in_last  = got_q ? got_last_q : rd_job[JobW-1] && r_end;
  dma_stream #(.Beat(Beat), .Beats(Beats), .ClaimW(BlockW + 1)) u_stream (
    .clk_i, .rst_ni, .clear_i((clear || late_q) && drained),
    .in_valid_i(in_valid), .in_ready_o(in_ready), .room_o(room),
    .in_data_i(got_q ? sbuf_rdata_i : r_data_i), .in_off_i(got_q ? got_off_q : r_off),
    .in_len_i(got_q ? got_len_q : r_len), .in_last_i(in_last),
    .claim_valid_i(d_take), .claim_len_i(d_len), .unclaimed_o(unclaimed),
    .out_want_i(out_want), .out_off_i(out_off), .out_len_i(out_len), .out_last_i(out_last),
    .out_take_i(out_take), .out_avail_o(out_avail), .out_data_o(out_data), .out_strb_o(out_strb));

  // ---- writes: wr_mem remembers the bursts between wr_b_q (answers), wr_d_q (data) and wr_w_q
  logic [JobW-1:0]  wr_mem [MaxWrites];
  logic [JobW-1:0]  wr_job;
  logic [WrW:0]     wr_w_q, wr_d_q, wr_b_q;
  logic             wr_none, wr_data, aw_take, aw_valid_q, w_first_q, w_fire, w_end, b_fire;
  logic             ended_q, hold, dst_go;
  logic [PageW-1:0] aw_addr_q, wr_addr;
  logic [7:0]       aw_len_q;
  logic [BlockW:0]  w_left_q, w_left;
  logic [BeatW-1:0] w_off;
  logic [BeatW:0]   w_room, w_len;

  assign wr_none = wr_w_q == wr_b_q;
  assign wr_data = wr_w_q != wr_d_q;
  // ended_q: all of a copy is sent or written; the next one holds until it is answered.
  assign hold    = ended_q && !wr_none;
  assign dst_go  = d_valid && !hold && !abort;
  assign aw_take = dst_go && !d_sbuf && unclaimed >= AvailW'(d_len)
                   && wr_w_q != {~wr_b_q[WrW], wr_b_q[WrW-1:0]} && (!aw_valid_q || aw_ready_i);
  assign wr_job  = wr_mem[wr_d_q[WrW-1:0]];
  assign w_off   = w_first_q ? wr_job[BlockW+1 +: BeatW] : '0;
  assign w_left  = w_first_q ? wr_job[BlockW:0] : w_left_q;
  assign w_room  = (BeatW+1)'(Beat) - (BeatW+1)'(w_off);
  assign w_end   = w_left <= (BlockW+1)'(w_room);
  assign w_len   = w_end ? w_left[BeatW:0] : w_room;

  assign sbuf_write = dst_go && d_sbuf && out_avail;
  assign d_take     = d_sbuf ? sbuf_write && sbuf_gnt_i && !list_req : aw_take;
  assign out_want   = wr_data || (dst_go && d_sbuf);
  assign out_off    = wr_data ? w_off : d_addr[BeatW-1:0];
  assign out_len    = wr_data ? w_len : d_len[BeatW:0];
  assign out_last   = wr_data ? w_end && wr_job[JobW-1] : d_last;
  assign out_take   = w_fire || (d_sbuf && d_take);

  assign aw_valid_o = aw_valid_q;
  assign aw_addr_o  = {aw_addr_q, BeatW'(0)};
  assign aw_len_o   = aw_len_q;
  assign w_valid_o  = wr_data && out_avail;
  assign w_data_o   = out_data;
  assign w_strb_o   = out_strb;
  assign w_last_o   = w_end;
  assign w_fire     = w_valid_o && w_ready_i;
  assign b_ready_o  = 1'b1;
  assign b_fire     = b_valid_i && !wr_none;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      wr_w_q     <= '0;
      wr_d_q     <= '0;
      wr_b_q     <= '0;
      aw_valid_q <= 1'b0;
      w_first_q  <= 1'b1;
      ended_q    <= 1'b0;
    end else begin
      if (aw_take) wr_w_q <= wr_w_q + 1'b1;
      if (aw_take) aw_valid_q <= 1'b1;
      else if (aw_ready_i) aw_valid_q <= 1'b0;
      if (w_fire) w_first_q <= w_end;
      if (w_fire && w_end) wr_d_q <= wr_d_q + 1'b1;
      if (b_fire) wr_b_q <= wr_b_q + 1'b1;
      if (clear) ended_q <= 1'b0;
      else if (d_take && d_last) ended_q <= 1'b1;
      else if (wr_none) ended_q <= 1'b0;
    end
  end
  always_ff @(posedge clk_i) begin
    if (aw_take) begin
      wr_mem[wr_w_q[WrW-1:0]] <= {d_last, d_addr[BeatW-1:0], d_len};
      aw_addr_q               <= d_addr[43:BeatW];
      aw_len_q                <= BurstLen(d_addr[BeatW-1:0], d_len);
    end
    if (w_fire) w_left_q <= w_left - (BlockW+1)'(w_len);
  end

  sram_1r1w #(.Depth(MaxWrites), .Lanes(1), .Width(PageW)) u_write_addr (
    .clk_i,
    .re_i(write_fault || (look && !write_err_q)), .raddr_i(wr_b_q[WrW-1:0]), .rdata_o(wr_addr),
    .we_i(aw_take), .waddr_i(wr_w_q[WrW-1:0]), .lanes_i(1'b1), .wdata_i(d_addr[43:BeatW]));

  // ---- SBUF port: the list goes first, so that addresses are made while rows move (one index a
  // row); then a write, which makes room
  assign sbuf_req_o   = sbuf_read || sbuf_write || list_req;
  assign sbuf_we_o    = sbuf_write && !list_req;
  always_comb begin
    sbuf_part_o = s_addr[27:20];
    sbuf_addr_o = s_addr[BeatW +: ChunkW];
    if (sbuf_write) begin
      sbuf_part_o = d_addr[27:20];
      sbuf_addr_o = d_addr[BeatW +: ChunkW];
    end
    if (list_req) begin
      sbuf_part_o = list_part;
      sbuf_addr_o = list_addr;
    end
  end
  assign sbuf_wdata_o = out_data;
  assign sbuf_wbe_o   = out_strb;

  // ---- retiring, errors
  logic copied, read_end, wd_seen_q;

  assign copied   = ended_q && wr_none && !write_err_q && !late_q;
  assign read_end = in_valid && in_last;
  // read_q copies are read to the end and not done: a read error belongs to the one behind them,
  // which stops when they are done. A write error belongs to the oldest and so comes before it.
  assign kill        = read_err_q || write_err_q || late_q;
  assign abort       = write_err_q || late_q || (read_err_q && read_q == '0);
  assign read_fault  = r_fire && r_resp_i[1] && !kill;
  assign write_fault = b_fire && b_resp_i[1] && !abort;
  assign drained     = rd_none && wr_none && !got_q;
  assign report      = abort && !late_q && drained;
  // Silent memory: report now, then stay closed until all that is late has come (late_q). An
  // instruction that arrives meanwhile gets the same chance of watchdog_i cycles.
  assign expire      = wd_hit && wd_seen_q && !late_q && !report && !copied;
  assign clear       = report || expire;
  assign done_o      = copied || nop_q;
  assign err_o       = report || expire || late_err_q;
  // The watchdog looks up the oldest bursts in its first cycle; those being written are older.
  assign look = wd_hit && !wd_seen_q;
  always_comb begin
    err_cause_o = dither_pkg::ErrWatchdog;
    err_addr_o  = {4'd0, wr_none ? rd_addr : wr_addr, BeatW'(0)};
    if (abort && !late_q && !late_err_q) begin
      err_cause_o = write_err_q ? dither_pkg::ErrAxiWrite : dither_pkg::ErrAxiRead;
      err_addr_o  = {4'd0, write_err_q ? wr_addr : rd_addr, BeatW'(0)};
      if (index_err_q && !write_err_q) begin
        err_cause_o = dither_pkg::ErrBadIndex;
        err_addr_o  = {list_place, list_index};
      end
    end
  end

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      inside_q    <= '0;
      read_q      <= '0;
      nop_q       <= 1'b0;
      read_err_q  <= 1'b0;
      write_err_q <= 1'b0;
      index_err_q <= 1'b0;
      late_q      <= 1'b0;
      late_err_q  <= 1'b0;
    end else begin
      nop_q      <= accept && is_nop && !late_q;
      late_err_q <= accept && late_q;
      if (expire) late_q <= 1'b1;
      else if (drained) late_q <= 1'b0;
      if (clear) begin
        inside_q    <= '0;
        read_q      <= '0;
        read_err_q  <= 1'b0;
        write_err_q <= 1'b0;
        index_err_q <= 1'b0;
      end else begin
        if (accept || done_o || late_err_q) begin
          inside_q <= inside_q + 3'(accept) - 3'(done_o || late_err_q);
        end
        if (read_end || copied) read_q <= read_q + 3'(read_end) - 3'(copied);
        if (read_fault || index_bad) read_err_q <= 1'b1;
        if (index_bad) index_err_q <= 1'b1;
        if (write_fault) write_err_q <= 1'b1;
      end
    end
  end
  // Only the upper bit tells an error from a success.
  logic unused_resp;
  assign unused_resp = r_resp_i[0] ^ b_resp_i[0];

  // ---- watchdog
  logic [31:0] wd_q;
  logic        moved, waiting;
  assign waiting = !rd_none || !wr_none;
  assign moved   = r_fire || b_fire || w_fire || (ar_valid_q && ar_ready_i)
                   || (aw_valid_q && aw_ready_i) || (sbuf_req_o && sbuf_gnt_i) || copied;
  assign wd_hit  = watchdog_i != '0 && wd_q >= watchdog_i;
  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) wd_q <= '0;
    else if (!waiting || moved || watchdog_i == '0 || clear || (accept && late_q)) begin
      if (wd_q != '0) wd_q <= '0;
    end else if (!wd_hit) wd_q <= wd_q + 32'd1;
  end
  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) wd_seen_q <= 1'b0;
    else wd_seen_q <= wd_hit;
  end

  assign stall_o = sbuf_req_o && !sbuf_gnt_i;
  assign work_o  = out_take ? 8'(out_len) : '0;

  // AXI: what is offered stays offered.
  `CHK(HeldAr_A, !$past(rst_ni) || !$past(ar_valid_o && !ar_ready_i) || ar_valid_o)
  `CHK(HeldAw_A, !$past(rst_ni) || !$past(aw_valid_o && !aw_ready_i) || aw_valid_o)
  `CHK(HeldW_A, !$past(rst_ni) || !$past(w_valid_o && !w_ready_i) || w_valid_o)
  // The memory ends each burst where it was asked to.
  `CHK(LastBeat_A, !r_fire || r_last_i == r_end)
  // Answers come only to bursts that were asked for.
  `CHK(BurstKnown_A, (!r_valid_i || !rd_none) && (!b_valid_i || !wr_none))
  // DRAM and SBUF never deliver in the same cycle.
  `CHK(OneSource_A, !(r_push && got_q))
  // Partitions exist.
  `CHK(PartInside_A, !sbuf_req_o || sbuf_part_o < 8'(Rows))
  // One retirement at a time, and only of something inside.
  `CHK(OneDone_A, !(done_o && err_o) && (!(done_o || err_o) || busy_o))
endmodule
