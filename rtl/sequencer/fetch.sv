// Instruction fetch of all queues: one AXI read master, a prefetch FIFO of 16 instructions a queue.
//
//   rings (csr) --> round robin --> [AR] ..memory.. R --> FIFO of the queue --> [out] --> sequencer
//
// Timing  bursts of up to 4 instructions, one decided in two cycles, 4 outstanding, in order.
//         R is never stalled: a burst reserves its place. An instruction leaves in any cycle.
// A burst never crosses 4 KiB, the ring's end or TAIL. What is outside the DRAM window is not read.
// Test    tb/sequencer/front_end_test.cpp
`default_nettype none
`include "chk.svh"
module fetch #(
  parameter  int unsigned AxiBits   = 128,                       // 128, 256 or 512
  localparam int unsigned NumQueues = dither_pkg::NumQueues,
  localparam int unsigned Beats     = 512 / AxiBits,             // of one instruction
  localparam int unsigned Depth     = 16                         // instructions of a FIFO
) (
  input  logic                     clk_i,
  input  logic                     rst_ni,
  // rings: constant while a queue has instructions left
  input  logic [NumQueues*38-1:0]  base_i,           // address bits 43:6
  input  logic [NumQueues*17-1:0]  size_i,
  input  logic [43:0]              dram_base_i,
  input  logic [44:0]              dram_limit_i,
  // commands
  input  logic [NumQueues-1:0]     start_i,          // doorbell: start_count_i more instructions
  input  logic [16:0]              start_count_i,
  input  logic [NumQueues-1:0]     slot_load_i,      // idle queue: the next one lies in slot_i
  input  logic [15:0]              slot_i,
  input  logic [NumQueues-1:0]     flush_i,          // drop all, back to slot 0
  input  logic [NumQueues-1:0]     restart_i,        // drop all and go on elsewhere: one behind
  input  logic [NumQueues*3-1:0]   restart_back_i,   // the one to leave next, less this many
  input  logic [NumQueues*17-1:0]  restart_count_i,  // instructions left there
  // instructions, one port a queue; a fault stands in place of the instruction
  output logic [NumQueues-1:0]     valid_o,
  input  logic [NumQueues-1:0]     pop_i,
  output logic [NumQueues*512-1:0] instr_o,
  output logic [NumQueues*2-1:0]   fault_o,          // bit 0: AXI error, bit 1: outside the window
  output logic [NumQueues*44-1:0]  fault_addr_o,     // of the burst
  // AXI4 read channels
  output logic                     ar_valid_o,
  input  logic                     ar_ready_i,
  output logic [1:0]               ar_id_o,
  output logic [43:0]              ar_addr_o,
  output logic [7:0]               ar_len_o,
  output logic [2:0]               ar_size_o,
  output logic [1:0]               ar_burst_o,
  input  logic                     r_valid_i,
  output logic                     r_ready_o,
  input  logic [AxiBits-1:0]       r_data_i,
  input  logic [1:0]               r_resp_i,
  input  logic                     r_last_i
);
  if (AxiBits != 128 && AxiBits != 256 && AxiBits != 512) begin : gen_bad_axi_bits
    $error("fetch: AxiBits must be 128, 256 or 512");
  end

  // Bursts on their way, oldest at burst_rd_q: queue, first FIFO entry, instructions - 1, dropped.
  logic [2:0] burst_queue_q [4];
  logic [3:0] burst_entry_q [4];
  logic [1:0] burst_len_q [4];
  logic [3:0] burst_drop_q;
  logic [1:0] burst_wr_q, burst_rd_q;
  logic [2:0] burst_count_q;

  // What the queues show to the issue stage, and what it tells them.
  logic [NumQueues-1:0]    wants;      // instructions left and room for a whole burst
  logic [NumQueues*17-1:0] left;
  logic [NumQueues*16-1:0] slot;
  logic [NumQueues*4-1:0]  entry;      // next free FIFO entry
  logic                    issue;      // a burst (or a fault) of queue pick_q takes its entries
  logic [2:0]              issue_n;    // 1..4 instructions
  logic                    issue_fault;
  logic [NumQueues-1:0]    drop;
  assign drop = flush_i | restart_i;

  // --- choose a queue, then size the burst ----------------------------------------------------
  logic       pick_valid_q;
  logic [2:0] pick_q, pick_d;
  logic       pick_found;
  logic       ar_free;
  assign ar_free = !ar_valid_o || ar_ready_i;

  always_comb begin : choose
    logic [3:0] q;
    q          = 4'd0;
    pick_found = 1'b0;
    pick_d     = pick_q;
    if (wants != '0 && !pick_valid_q) begin
      for (int unsigned k = 1; k <= NumQueues; k++) begin
        q = 4'(pick_q) + 4'(k);
        if (q >= 4'(NumQueues)) q = q - 4'(NumQueues);
        if (!pick_found && wants[q[2:0]]) begin
          pick_found = 1'b1;
          pick_d     = q[2:0];
        end
      end
    end
  end

  logic [38:0] line;       // address / 64; a bit more than the address has
  logic        push_burst;
  always_comb begin : size_burst
    logic [16:0] left_s, to_end;
    logic [15:0] slot_s;
    logic [5:0]  to_page;  // instructions behind this one in its 4 KiB page
    left_s      = '0;
    to_end      = '0;
    slot_s      = '0;
    to_page     = '0;
    line        = '0;
    issue_n     = 3'd4;
    issue_fault = 1'b0;
    issue       = 1'b0;
    push_burst  = 1'b0;
    if (pick_valid_q) begin
      left_s  = left[17*pick_q +: 17];
      slot_s  = slot[16*pick_q +: 16];
      to_end  = size_i[17*pick_q +: 17] - 17'(slot_s);
      line    = 39'(base_i[38*pick_q +: 38]) + 39'(slot_s);
      to_page = ~line[5:0];
      if (left_s < 17'd4)  issue_n = 3'(left_s);
      if (to_end < 17'(issue_n)) issue_n = 3'(to_end);
      if (to_page < 6'd3 && 3'(to_page) < issue_n) issue_n = 3'(to_page) + 3'd1;
      // A burst that would leave the window is taken apart, so that its legal part is executed.
      if ({line, 6'd0} < 45'(dram_base_i)
       || 46'({line, 6'd0}) + 46'({issue_n, 6'd0}) > 46'(dram_limit_i)) begin
        issue_n = 3'd1;
        issue_fault = {line, 6'd0} < 45'(dram_base_i)
                   || 46'({line, 6'd0}) + 46'd64 > 46'(dram_limit_i);
      end
      issue      = !drop[pick_q] && (issue_fault || (ar_free && burst_count_q < 3'd4));
      push_burst = issue && !issue_fault;
    end
  end

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      pick_valid_q <= 1'b0;
      pick_q       <= 3'd0;
      ar_valid_o   <= 1'b0;
    end else begin
      if (pick_valid_q) pick_valid_q <= !(issue || drop[pick_q]);
      else              pick_valid_q <= pick_found && !drop[pick_d];
      pick_q     <= pick_d;
      ar_valid_o <= push_burst || (ar_valid_o && !ar_ready_i);
    end
  end
  always_ff @(posedge clk_i) begin
    if (push_burst) begin
      ar_addr_o <= {line[37:0], 6'd0};
      ar_len_o  <= 8'(issue_n) * 8'(Beats) - 8'd1;
    end
  end
  assign ar_id_o    = 2'd2;
  assign ar_size_o  = 3'($clog2(AxiBits / 8));
  assign ar_burst_o = 2'b01;  // INCR

  // --- data ------------------------------------------------------------------------------------
  logic [1:0] instr_q;      // of the oldest burst
  logic [1:0] beat_q;       // of the instruction
  logic       error_q;      // an earlier beat of the instruction failed
  logic       take;         // a beat
  logic       instr_end, burst_end, in_error;
  logic [2:0] r_queue;
  logic [3:0] r_entry;
  logic       r_write;
  logic       unused_resp;  // OKAY or EXOKAY, SLVERR or DECERR: bit 1 tells
  assign unused_resp = r_resp_i[0];
  assign r_ready_o = 1'b1;
  assign take      = r_valid_i;
  assign r_queue   = burst_queue_q[burst_rd_q];
  assign r_entry   = burst_entry_q[burst_rd_q] + 4'(instr_q);
  assign instr_end = take && beat_q == 2'(Beats - 1);
  assign burst_end = instr_end && instr_q == burst_len_q[burst_rd_q];
  assign in_error  = r_resp_i[1] || error_q;
  assign r_write   = take && !burst_drop_q[burst_rd_q] && !drop[r_queue];

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      burst_wr_q    <= 2'd0;
      burst_rd_q    <= 2'd0;
      burst_count_q <= 3'd0;
      burst_drop_q  <= 4'd0;
      instr_q       <= 2'd0;
      beat_q        <= 2'd0;
      error_q       <= 1'b0;
    end else begin
      if (drop != '0) begin
        for (int b = 0; b < 4; b++) if (drop[burst_queue_q[b]]) burst_drop_q[b] <= 1'b1;
      end
      if (push_burst) begin
        burst_drop_q[burst_wr_q] <= 1'b0;
        burst_wr_q               <= burst_wr_q + 2'd1;
      end
      if (take) begin
        beat_q  <= instr_end ? 2'd0 : beat_q + 2'd1;
        error_q <= !instr_end && in_error;
        if (instr_end) instr_q <= burst_end ? 2'd0 : instr_q + 2'd1;
        if (burst_end) burst_rd_q <= burst_rd_q + 2'd1;
      end
      if (push_burst != burst_end) begin
        burst_count_q <= push_burst ? burst_count_q + 3'd1 : burst_count_q - 3'd1;
      end
    end
  end
  always_ff @(posedge clk_i) begin
    if (push_burst) begin
      burst_queue_q[burst_wr_q] <= pick_q;
      burst_entry_q[burst_wr_q] <= entry[4*pick_q +: 4];
      burst_len_q[burst_wr_q]   <= 2'(issue_n - 3'd1);
    end
  end

  // --- one FIFO a queue ------------------------------------------------------------------------
  for (genvar q = 0; q < NumQueues; q++) begin : gen_queue
    logic [16:0] left_q;        // instructions not yet asked for
    logic [15:0] slot_q;        // ring slot of the next one to ask for
    logic [15:0] out_slot_q;    // ring slot of the next one to leave
    logic [15:0] out_slot_next;
    logic [3:0]  wr_q, rd_q;    // next entry to reserve, next to read from the SRAM
    logic [4:0]  used_q;        // reserved entries
    logic [15:0] valid_q;       // entries with data (or a fault)
    logic [15:0] axi_q, range_q;
    logic [31:0] pos_q;         // place of an entry in its burst, two bits each
    logic        out_valid_q;
    logic [1:0]  out_fault_q, out_pos_q;
    logic        mine, read, write_end;
    logic [17:0] slot_sum;
    logic [15:0] restart_slot, back;

    assign mine      = issue && pick_q == 3'(q);
    assign write_end = r_write && instr_end && r_queue == 3'(q);
    assign read      = valid_q[rd_q] && (!out_valid_q || pop_i[q]) && !drop[q];
    assign slot_sum  = 18'(slot_q) + 18'(issue_n);
    assign out_slot_next = 17'(out_slot_q) + 17'd1 == size_i[17*q +: 17] ? 16'd0
                                                                        : out_slot_q + 16'd1;

    assign back         = 16'(restart_back_i[3*q +: 3]);
    assign restart_slot = out_slot_next >= back ? out_slot_next - back
                                                : out_slot_next - back + 16'(size_i[17*q +: 17]);

    assign wants[q]          = left_q != 17'd0 && used_q <= 5'(Depth - 4) && !drop[q];
    assign left[17*q +: 17]  = left_q;
    assign slot[16*q +: 16]  = slot_q;
    assign entry[4*q +: 4]   = wr_q;

    always_ff @(posedge clk_i or negedge rst_ni) begin
      if (!rst_ni) begin
        left_q      <= 17'd0;
        slot_q      <= 16'd0;
        out_slot_q  <= 16'd0;
        wr_q        <= 4'd0;
        rd_q        <= 4'd0;
        used_q      <= 5'd0;
        valid_q     <= 16'd0;
        out_valid_q <= 1'b0;
      end else if (drop[q]) begin
        left_q      <= flush_i[q] ? 17'd0 : restart_count_i[17*q +: 17];
        slot_q      <= flush_i[q] ? 16'd0 : restart_slot;
        out_slot_q  <= flush_i[q] ? 16'd0 : restart_slot;
        wr_q        <= 4'd0;
        rd_q        <= 4'd0;
        used_q      <= 5'd0;
        valid_q     <= 16'd0;
        out_valid_q <= 1'b0;
      end else begin
        if (start_i[q]) begin
          left_q <= start_count_i;
        end else if (mine) begin
          left_q <= left_q - 17'(issue_n);
        end
        if (slot_load_i[q]) begin
          slot_q     <= slot_i;
          out_slot_q <= slot_i;
        end else begin
          if (mine) slot_q <= slot_sum == 18'(size_i[17*q +: 17]) ? 16'd0 : slot_sum[15:0];
          if (pop_i[q]) out_slot_q <= out_slot_next;
        end
        if (mine) wr_q <= wr_q + 4'(issue_n);
        if (read) rd_q <= rd_q + 4'd1;
        if (mine || read) used_q <= used_q + (mine ? 5'(issue_n) : 5'd0) - 5'(read);
        if (write_end)           valid_q[r_entry] <= 1'b1;
        if (mine && issue_fault) valid_q[wr_q]    <= 1'b1;
        if (read)                valid_q[rd_q]    <= 1'b0;
        if (read || pop_i[q]) out_valid_q <= read;
      end
    end

    always_ff @(posedge clk_i) begin
      if (write_end) begin
        axi_q[r_entry]         <= in_error;
        range_q[r_entry]       <= 1'b0;
        pos_q[2*r_entry +: 2]  <= instr_q;
      end
      if (mine && issue_fault) begin
        axi_q[wr_q]        <= 1'b0;
        range_q[wr_q]      <= 1'b1;
        pos_q[2*wr_q +: 2] <= 2'd0;
      end
      if (read) begin
        out_fault_q <= {range_q[rd_q], axi_q[rd_q]};
        out_pos_q   <= pos_q[2*rd_q +: 2];
      end
    end

    sram_1r1w #(.Depth(Depth), .Lanes(Beats), .Width(AxiBits)) u_fifo (
      .clk_i,
      .re_i    (read),
      .raddr_i (rd_q),
      .rdata_o (instr_o[512*q +: 512]),
      .we_i    (r_write && r_queue == 3'(q)),
      .waddr_i (r_entry),
      .lanes_i (Beats'(1) << beat_q),
      .wdata_i ({Beats{r_data_i}})
    );

    assign valid_o[q] = out_valid_q;
    assign fault_o[2*q +: 2] = out_fault_q;
    always_comb begin
      fault_addr_o[44*q +: 44] = 44'd0;
      if (out_valid_q && out_fault_q != 2'b00) begin
        fault_addr_o[44*q +: 44] = {base_i[38*q +: 38] + 38'(out_slot_q) - 38'(out_pos_q), 6'd0};
      end
    end

    // Reserved places are never exceeded, and only what is there is popped.
    `CHK(FifoBound_A, used_q <= 5'(Depth) && (!pop_i[q] || valid_o[q] || drop[q]))
  end

  // Data comes only for bursts on their way and ends where they end.
  `CHK(Expected_A, !r_valid_i || burst_count_q != 3'd0)
  `CHK(Last_A, !r_valid_i || r_last_i == burst_end)
  // An address stays until it is taken.
  `CHK(HeldAr_A, !$past(rst_ni) || !$past(ar_valid_o && !ar_ready_i)
              || (ar_valid_o && ar_addr_o == $past(ar_addr_o) && ar_len_o == $past(ar_len_o)))
endmodule
