// Walks one side of a copy: four nested loops become segments, contiguous pieces of bytes in order.
//
//   load --> loops (one run a cycle) --> cutter (joins rows that touch, cuts at blocks) --> segment
//
// A segment never leaves an aligned block: Block bytes (an AXI burst, so never over a 4 KiB page)
// in DRAM, Beat bytes (a chunk) in SBUF. Addresses of both add alike: the partition is bits 27:20.
// Told so, it waits for a row before it begins, or before every pass of dimension 2, which then
// begins at that row's address.
// Timing  one segment a cycle, two cycles after load; valid never depends on ready.
// Test    tb/dma/dma_test.cpp
`default_nettype none
`include "chk.svh"
module dma_walk #(
  parameter  int unsigned Beat   = 16,                // bytes of a beat and a chunk, 16..64
  parameter  int unsigned Block  = 256,               // bytes of the longest burst, <= 4096
  localparam int unsigned BeatW  = $clog2(Beat),      // derived
  localparam int unsigned BlockW = $clog2(Block)      // derived
) (
  input  logic              clk_i,
  input  logic              rst_ni,
  input  logic              clear_i,       // forget everything
  input  logic              load_valid_i,
  output logic              load_ready_o,
  input  logic              load_sbuf_i,   // this side lies in SBUF
  input  logic [43:0]       load_addr_i,
  input  logic [1:0]        load_esize_i,  // log2 of the element's bytes
  input  logic [63:0]       load_size_i,
  input  logic [127:0]      load_str_i,
  input  logic              load_wait_i,   // begin with the first row_valid_i
  input  logic              load_rows_i,   // (with load_wait_i) dimension 2 goes from row to row
  input  logic              row_valid_i,
  output logic              row_ready_o,
  input  logic [43:0]       row_addr_i,
  output logic              seg_valid_o,
  input  logic              seg_ready_i,
  output logic              seg_sbuf_o,
  output logic [43:0]       seg_addr_o,
  output logic [BlockW:0]   seg_len_o,     // 1..Block bytes
  output logic              seg_last_o     // last one of the copy
);
  // ---- loops: addr*_q is where the current pass of loop k began, cnt*_q counts from 1
  logic         run_q, sbuf_q, whole_q, touch_q;
  logic         wait_q, rows_q, run, row_take;  // wait_q: for a row
  logic [43:0]  addr0_q, addr1_q, addr2_q, addr3_q, from, next;
  logic [15:0]  cnt0_q, cnt1_q, cnt2_q, cnt3_q;
  logic [63:0]  size_q;
  logic [127:0] str_q;
  logic [17:0]  len_q, row_len;  // at most 65535 elements of 4 bytes
  logic [31:0]  step;
  logic         last0, last1, last2, last3, run_last, run_join, run_pop, load, load_whole;

  // Rows are whole runs when their elements touch; rows that touch too are joined by the cutter.
  assign row_len      = 18'(load_size_i[15:0]) << load_esize_i;
  assign load_whole   = load_str_i[31:0] == (32'd1 << load_esize_i) || load_size_i[15:0] == 16'd1;
  assign load_ready_o = !run_q;
  assign load         = load_valid_i && !run_q;
  assign run          = run_q && !wait_q;
  assign row_ready_o  = run_q && wait_q;
  assign row_take     = row_ready_o && row_valid_i;

  assign last0    = whole_q || cnt0_q == size_q[15:0];
  assign last1    = cnt1_q == size_q[31:16];
  assign last2    = cnt2_q == size_q[47:32];
  assign last3    = cnt3_q == size_q[63:48];
  assign run_last = last0 && last1 && last2 && last3;
  assign run_join = touch_q && cnt1_q != 16'd1;
  always_comb begin
    from = addr3_q;
    step = str_q[127:96];
    if (!last0) begin
      from = addr0_q;
      step = str_q[31:0];
    end else if (!last1) begin
      from = addr1_q;
      step = str_q[63:32];
    end else if (!last2) begin
      from = addr2_q;
      step = str_q[95:64];
    end
  end
  assign next = wait_q ? row_addr_i : from + {{12{step[31]}}, step};

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) run_q <= 1'b0;
    else if (clear_i) run_q <= 1'b0;
    else if (load) run_q <= 1'b1;
    else if (run_pop && run_last) run_q <= 1'b0;
  end
  always_ff @(posedge clk_i) begin
    if (load) wait_q <= load_wait_i;
    else if (row_take) wait_q <= 1'b0;
    else if (run_pop && rows_q && last0 && last1 && !last2) wait_q <= 1'b1;
    if (load) begin
      rows_q  <= load_rows_i;
      sbuf_q  <= load_sbuf_i;
      whole_q <= load_whole;
      touch_q <= load_whole && load_str_i[63:32] == 32'(row_len);
      size_q  <= load_size_i;
      str_q   <= load_str_i;
      len_q   <= load_whole ? row_len : 18'd1 << load_esize_i;
      addr0_q <= load_addr_i;
      addr1_q <= load_addr_i;
      addr2_q <= load_addr_i;
      addr3_q <= load_addr_i;
      cnt0_q  <= 16'd1;
      cnt1_q  <= 16'd1;
      cnt2_q  <= 16'd1;
      cnt3_q  <= 16'd1;
    end else if (row_take) begin
      if (rows_q) begin
        addr0_q <= next;
        addr1_q <= next;
        addr2_q <= next;
      end
    end else if (run_pop) begin
      addr0_q <= next;
      cnt0_q  <= last0 ? 16'd1 : cnt0_q + 16'd1;
      if (last0) begin
        addr1_q <= next;
        cnt1_q  <= last1 ? 16'd1 : cnt1_q + 16'd1;
        if (last1) begin
          addr2_q <= next;
          cnt2_q  <= last2 ? 16'd1 : cnt2_q + 16'd1;
          if (last2) begin
            addr3_q <= next;
            cnt3_q  <= cnt3_q + 16'd1;
          end
        end
      end
    end
  end

  // ---- cutter: left_q bytes from cut_q on are known to be contiguous
  logic        cut_valid_q, cut_sbuf_q, cut_last_q, take, reload, grow, full;
  logic [43:0] cut_q;
  logic [18:0] left_q, room;  // < Block before a row of < 2^18 joins
  logic [BlockW:0] to_end;

  always_comb begin
    to_end = (BlockW+1)'(Block) - {1'b0, cut_q[BlockW-1:0]};
    if (cut_sbuf_q) to_end = (BlockW+1)'(Beat) - (BlockW+1)'(cut_q[BeatW-1:0]);
  end
  assign room = 19'(to_end);
  assign full = left_q >= room;
  // A piece that doesn't reach its block's end waits for the row that touches it.
  assign grow        = cut_valid_q && !full && run && run_join;
  assign seg_valid_o = cut_valid_q && !grow;
  assign seg_sbuf_o  = cut_sbuf_q;
  assign seg_addr_o  = cut_q;
  assign seg_len_o   = full ? to_end : left_q[BlockW:0];
  assign seg_last_o  = cut_last_q && left_q <= room;
  assign take        = seg_valid_o && seg_ready_i;
  assign reload      = run && (!cut_valid_q || (take && left_q <= room));
  assign run_pop     = reload || grow;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) cut_valid_q <= 1'b0;
    else if (clear_i) cut_valid_q <= 1'b0;
    else if (reload) cut_valid_q <= 1'b1;
    else if (take && left_q <= room) cut_valid_q <= 1'b0;
  end
  always_ff @(posedge clk_i) begin
    if (reload) begin
      cut_q      <= addr0_q;
      left_q     <= 19'(len_q);
      cut_sbuf_q <= sbuf_q;
    end else if (grow) begin
      left_q     <= left_q + 19'(len_q);
    end else if (take) begin
      cut_q      <= cut_q + 44'(to_end);
      left_q     <= left_q - room;
    end
    if (run_pop) cut_last_q <= run_last;
  end

  // A row only ever joins the piece that ends where it begins.
  `CHK(JoinTouches_A, !grow || addr0_q == cut_q + 44'(left_q))
  // A list of rows begins with one.
  `CHK(RowsWait_A, !load || load_wait_i || !load_rows_i)
  // No segment is empty or leaves its block.
  `CHK(InBlock_A, !seg_valid_o || (seg_len_o != '0 && seg_len_o <= to_end))
endmodule
