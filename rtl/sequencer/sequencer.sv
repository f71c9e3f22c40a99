// One queue: check, wait for a semaphore, dispatch to the engine, retire in order.
//
//   fetch --> check (while earlier ones wait and work) --> [next] --> engine --> [inside] --> retire
//
// Timing  at best one instruction in two cycles; a check of 16 cycles hides behind earlier work.
//         done to signal, HEAD and interrupt: the same cycle when the semaphore port is free.
// An offer to the engine is withdrawn only when the queue stops (error, reset).
// Test    tb/sequencer/front_end_test.cpp
`default_nettype none
`include "chk.svh"
module sequencer #(
  parameter int unsigned Rows  = 8,        // partitions
  parameter bit          Pairs = 1'b0,     // matmuls of 8-bit pairs
  parameter int unsigned Queue = 0         // dither_pkg::Queue*
) (
  input  logic         clk_i,
  input  logic         rst_ni,
  // host
  input  logic         reset_i,            // pulse: empty the queue once the engine is quiet
  input  logic         resume_i,           // pulse: go on behind the faulty instruction
  output logic         reset_done_o,       // pulse: HEAD is 0 from the next cycle on
  input  logic [31:0]  tail_i,
  input  logic [31:0]  watchdog_i,
  input  logic [43:0]  dram_base_i,
  input  logic [44:0]  dram_limit_i,
  output logic [1:0]   state_o,            // dither_pkg::QueueState*
  output logic [31:0]  head_o,
  output logic [7:0]   err_o,              // the record of the last error
  output logic [1:0]   err_operand_o,
  output logic [31:0]  err_index_o,
  output logic [47:0]  err_addr_o,
  output logic         stopped_o,          // pulse: an error stopped the queue
  output logic         irq_o,              // pulse: an instruction with irq retired
  // fetch
  input  logic         fetch_valid_i,
  output logic         fetch_pop_o,
  input  logic [511:0] fetch_instr_i,
  input  logic [1:0]   fetch_fault_i,
  input  logic [43:0]  fetch_fault_addr_i,
  output logic         fetch_restart_o,
  output logic [16:0]  fetch_restart_count_o,  // instructions left behind the faulty one
  output logic [2:0]   fetch_restart_back_o,   // instructions that left the FIFO from it on
  // semaphores
  output logic         wait_valid_o,
  output logic [5:0]   wait_sem_o,
  output logic [15:0]  wait_val_o,
  input  logic         wait_met_i,
  output logic         sig_valid_o,
  input  logic         sig_ready_i,
  output logic [5:0]   sig_sem_o,
  output logic [7:0]   sig_inc_o,
  // engine
  output logic         instr_valid_o,
  input  logic         instr_ready_i,
  output logic [511:0] instr_o,
  input  logic         done_i,
  input  logic         engine_err_i,
  input  logic [7:0]   engine_err_cause_i,
  input  logic [47:0]  engine_err_addr_i,
  input  logic         engine_busy_i,
  // events and trace
  output logic         wait_sem_event_o,
  output logic         wait_fetch_event_o,
  // PSUM banks (tensor queue)
  input  logic [7:0]   psum_written_i,     // banks that hold something
  output logic [7:0]   psum_banks_o,       // of the matmul that goes to the engine in this cycle
  output logic [31:0]  done_index_o,       // with done_i: HEAD count of that instruction
  output logic         retire_valid_o,     // all effects are in memory from the next cycle on
  output logic [31:0]  retire_index_o
);
  // Where the faulty instruction is, which says what resume has to do.
  localparam logic [1:0] AtEngine = 2'd0;  // oldest one inside, with an error
  localparam logic [1:0] AtNext   = 2'd1;  // next one, its semaphore did not come
  localparam logic [1:0] AtFetch  = 2'd2;  // checked or fetched with an error
  localparam logic [1:0] AtMemory = 2'd3;  // not there: memory is silent

  logic [31:0] head_q;
  logic        error_q, resetting_q;
  logic [1:0]  at_q, at_d;
  logic        has_work, running;
  assign has_work = head_q != tail_i;
  assign running  = has_work && !error_q && !resetting_q;

  // --- check -----------------------------------------------------------------------------------
  logic        check_done, check_valid;
  logic [7:0]  check_err;
  logic [1:0]  check_operand;
  logic [47:0] check_addr;
  logic [7:0]  check_banks;
  assign check_valid = fetch_valid_i && fetch_fault_i == 2'b00;
  instr_check #(.Rows(Rows), .Pairs(Pairs), .Queue(Queue)) u_check (
    .clk_i,
    .rst_ni,
    .valid_i   (check_valid),
    .clear_i   (fetch_pop_o || fetch_restart_o || reset_done_o),
    .instr_i   (fetch_instr_i),
    .dram_base_i,
    .dram_limit_i,
    .done_o    (check_done),
    .err_o     (check_err),
    .operand_o (check_operand),
    .addr_o    (check_addr),
    .banks_o   (check_banks)
  );
  logic checked_ok, checked_bad;
  assign checked_ok  = check_valid && check_done && check_err == dither_pkg::ErrNone;
  assign checked_bad = fetch_valid_i && (fetch_fault_i != 2'b00
                    || (check_done && check_err != dither_pkg::ErrNone));

  // --- next: wait and dispatch -----------------------------------------------------------------
  logic [511:0]       next_q;
  dither_pkg::instr_t next;         // only the header, which both layouts share
  logic               next_valid_q;
  logic               next_go_q;    // its wait has been met
  logic               next_nop;
  logic               take, push, unmet;
  logic [2:0]         inside_q;     // dispatched and not retired
  logic [3:0]         errs_q;       // met an error, or were dropped by the engine because of it
  logic               unused_next;
  assign next        = next_q;
  assign unused_next = ^next;
  assign next_nop    = next.opcode == dither_pkg::OpNop;

  assign take         = checked_ok && running && !next_valid_q;
  assign wait_valid_o = next_valid_q && !next_go_q;
  assign wait_sem_o   = next.wait_sem;
  assign wait_val_o   = next.wait_val;
  assign unmet        = wait_valid_o && !wait_met_i;

  // The check that depends on what ran before comes last, when the wait has been met: an accumulate needs every bank
  // that it touches to hold something. Nothing but a write of another queue, which nothing orders, can mend it later.
  logic [7:0] next_banks_q, next_reads_q, missing;
  logic       unwritten;
  assign missing      = next_reads_q & ~psum_written_i;
  assign unwritten    = missing != '0;
  assign psum_banks_o = push ? next_banks_q : '0;

  logic may_push;
  assign may_push      = next_valid_q && next_go_q && inside_q != 3'd4 && running && errs_q == 4'd0
                      && !unwritten;
  assign instr_valid_o = may_push && !next_nop;
  assign instr_o       = next_q;
  assign push          = may_push && (next_nop || instr_ready_i);

  // --- inside: what retiring needs, oldest at rd_q ---------------------------------------------
  logic [15:0] info_q [4];          // sig_en, sig_sem, sig_inc, irq
  logic [55:0] fault_q;             // cause and address of the engine's error
  logic [1:0]  rd_q, wr_q;
  logic [3:0]  dones_q;             // executed (or nop); entries outside the FIFO are 0
  logic        open;                // an instruction is in the engine
  logic [1:0]  open_index;          // the oldest of them
  logic        head_done, head_err, retire;
  logic [15:0] head_info;

  always_comb begin : oldest_open
    logic [1:0] e;
    e          = rd_q;
    open       = 1'b0;
    open_index = rd_q;
    if (inside_q != 3'd0) begin
      for (int k = 0; k < 4; k++) begin
        e = rd_q + 2'(k);
        if (!open && 3'(k) < inside_q && !dones_q[e] && !errs_q[e]) begin
          open       = 1'b1;
          open_index = e;
        end
      end
    end
  end
  assign head_info = info_q[rd_q];
  assign head_done = inside_q != 3'd0
                  && (dones_q[rd_q] || (done_i && open && open_index == rd_q));
  assign head_err  = inside_q != 3'd0 && errs_q[rd_q];

  assign sig_valid_o = head_done && running && head_info[15];
  assign sig_sem_o   = head_info[14:9];
  assign sig_inc_o   = head_info[8:1];
  assign retire      = head_done && running && (!sig_valid_o || sig_ready_i);
  assign irq_o       = retire && head_info[0];
  assign retire_valid_o = retire;
  assign retire_index_o = head_q;
  assign done_index_o   = head_q + 32'(2'(open_index - rd_q));

  // --- watchdog: what the queue waits for once everything before has retired --------------------
  logic [31:0] patience_q;
  logic        wait_sem, wait_fetch, bark;
  assign wait_sem   = running && unmet && inside_q == 3'd0;
  assign wait_fetch = running && !next_valid_q && !fetch_valid_i && inside_q == 3'd0;
  assign bark       = (wait_sem || wait_fetch) && watchdog_i != 32'd0
                   && patience_q >= watchdog_i;
  assign wait_sem_event_o   = wait_sem;
  assign wait_fetch_event_o = wait_fetch;

  // --- errors ----------------------------------------------------------------------------------
  logic        stop;
  logic [7:0]  stop_err;
  logic [1:0]  stop_operand;
  logic [47:0] stop_addr;
  always_comb begin
    stop         = 1'b0;
    at_d         = AtEngine;
    stop_err     = dither_pkg::ErrWatchdog;
    stop_operand = 2'd0;
    stop_addr    = 48'd0;
    if (running) begin
      if (head_err) begin
        stop      = 1'b1;
        stop_err  = fault_q[55:48];
        stop_addr = fault_q[47:0];
        if (stop_err == dither_pkg::ErrBadIndex) stop_operand = 2'd2;  // the list
      end else if (checked_bad && !next_valid_q && inside_q == 3'd0) begin
        stop = 1'b1;
        at_d = AtFetch;
        if (fetch_fault_i != 2'b00) begin
          stop_err  = fetch_fault_i[1] ? dither_pkg::ErrDramRange : dither_pkg::ErrAxiFetch;
          stop_addr = {4'd0, fetch_fault_addr_i};
        end else begin
          stop_err     = check_err;
          stop_operand = check_operand;
          stop_addr    = check_addr;
        end
      end else if (next_valid_q && next_go_q && unwritten && inside_q == 3'd0) begin
        stop     = 1'b1;
        at_d     = AtNext;
        stop_err = dither_pkg::ErrPsumUnwritten;
        for (int b = 7; b >= 0; b--) if (missing[b]) stop_addr = 48'(b) * 48'(4 * dither_pkg::PsumBankWords);
      end else if (bark) begin
        stop = 1'b1;
        at_d = wait_sem ? AtNext : AtMemory;
      end
    end
  end
  assign stopped_o = stop;

  logic resume;  // the faulty instruction counts as gone
  assign resume          = resume_i && error_q && !resetting_q && !reset_i;
  assign fetch_pop_o     = take || (resume && at_q == AtFetch);
  // The engine dropped what was behind its error, before it had any effect: it is fetched again.
  assign fetch_restart_o = resume && (at_q == AtMemory || at_q == AtEngine);
  assign fetch_restart_back_o  = inside_q + 3'(next_valid_q);
  assign fetch_restart_count_o = 17'(tail_i - head_q - 32'd1);
  assign reset_done_o    = resetting_q && !open && !engine_busy_i;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      head_q       <= 32'd0;
      error_q      <= 1'b0;
      resetting_q  <= 1'b0;
      next_valid_q <= 1'b0;
      inside_q     <= 3'd0;
      rd_q         <= 2'd0;
      wr_q         <= 2'd0;
      dones_q      <= 4'd0;
      errs_q       <= 4'd0;
      patience_q   <= 32'd0;
    end else if (reset_done_o) begin
      head_q       <= 32'd0;
      error_q      <= 1'b0;
      resetting_q  <= reset_i;
      next_valid_q <= 1'b0;
      inside_q     <= 3'd0;
      rd_q         <= 2'd0;
      wr_q         <= 2'd0;
      dones_q      <= 4'd0;
      errs_q       <= 4'd0;
      patience_q   <= 32'd0;
    end else begin
      if (reset_i) resetting_q <= 1'b1;
      if (stop) error_q <= 1'b1;
      else if (resume) error_q <= 1'b0;
      if (retire || resume) head_q <= head_q + 32'd1;

      if (take) next_valid_q <= 1'b1;
      else if (push || (resume && at_q == AtNext)) next_valid_q <= 1'b0;

      if (push) wr_q <= wr_q + 2'd1;
      if (retire) rd_q <= rd_q + 2'd1;
      if (push != retire) inside_q <= push ? inside_q + 3'd1 : inside_q - 3'd1;
      if (done_i && open)       dones_q[open_index] <= 1'b1;
      if (engine_err_i) errs_q <= ~dones_q;
      if (push) dones_q[wr_q] <= next_nop;
      if (retire) dones_q[rd_q] <= 1'b0;
      if (resume && at_q == AtEngine) begin
        next_valid_q <= 1'b0;
        inside_q     <= 3'd0;
        rd_q         <= 2'd0;
        wr_q         <= 2'd0;
        dones_q      <= 4'd0;
        errs_q       <= 4'd0;
      end

      if (wait_sem || wait_fetch) patience_q <= patience_q + 32'd1;
      else if (patience_q != 32'd0) patience_q <= 32'd0;
    end
  end

  always_ff @(posedge clk_i) begin
    if (take) begin
      next_q    <= fetch_instr_i;
      next_go_q <= !fetch_instr_i[14];  // wait_en
      next_banks_q <= check_banks;
      next_reads_q <= fetch_instr_i[72] ? check_banks : '0;  // acc
    end else if (wait_valid_o && wait_met_i) begin
      next_go_q <= 1'b1;
    end
    if (push) info_q[wr_q] <= {next.sig_en, next.sig_sem, next.sig_inc, next.irq};
    if (engine_err_i) fault_q <= {engine_err_cause_i, engine_err_addr_i};
    if (stop) at_q <= at_d;
  end

  // The error record: cause and operand go with the error, index and address stay to be read.
  logic [31:0] err_index_q;
  logic [47:0] err_addr_q;
  logic [7:0]  err_q;
  logic [1:0]  err_operand_q;
  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      err_q         <= dither_pkg::ErrNone;
      err_operand_q <= 2'd0;
      err_index_q   <= 32'd0;
      err_addr_q    <= 48'd0;
    end else if (stop) begin
      err_q         <= stop_err;
      err_operand_q <= stop_operand;
      err_index_q   <= head_q;
      err_addr_q    <= stop_addr;
    end else if (reset_done_o) begin
      err_q         <= dither_pkg::ErrNone;
      err_operand_q <= 2'd0;
      err_index_q   <= 32'd0;
      err_addr_q    <= 48'd0;
    end else if (resume) begin
      err_q         <= dither_pkg::ErrNone;
      err_operand_q <= 2'd0;
    end
  end
  assign err_o         = err_q;
  assign err_operand_o = err_operand_q;
  assign err_index_o   = err_index_q;
  assign err_addr_o    = err_addr_q;
  assign head_o        = head_q;

  // A queue being reset still shows why it stands.
  always_comb begin
    state_o = dither_pkg::QueueStateIdle;
    if (error_q) state_o = dither_pkg::QueueStateError;
    else if (has_work || resetting_q) state_o = dither_pkg::QueueStateRunning;
  end

  // The engine answers only for instructions that it has, once each.
  `CHK(AnswerExpected_A, !(done_i || engine_err_i) || (open && !(done_i && engine_err_i)))
  // An engine that meets an error takes nothing in that cycle (a nop doesn't go there).
  `CHK(ErrorAlone_A, !(engine_err_i && push && !next_nop))
  // At most four instructions are inside, and none starts in a stopped queue.
  `CHK(InsideBound_A, inside_q <= 3'd4 && !(instr_valid_o && error_q))
  // A bank that holds something keeps doing so.
  `CHK(WrittenStays_A, !$past(rst_ni) || ($past(psum_written_i) & ~psum_written_i) == '0)
  // An offer is held unless the queue stops.
  `CHK(HeldOffer_A, !$past(rst_ni) || !$past(instr_valid_o && !instr_ready_i) || !running
                 || errs_q != 4'd0 || (instr_valid_o && instr_o == $past(instr_o)))
endmodule
