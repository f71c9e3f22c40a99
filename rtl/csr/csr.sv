// Registers of the core behind AXI4-Lite: queue set-up and doorbells, error records, interrupt,
// counters, and windows to the semaphores and the rounders' states.
//
// Timing  a write answers after 2 cycles (SIZE 35, semaphores when granted), a read after 2
//         (RNG, NONFINITE 4). One access at a time; AW and W in any order; a write goes before a read.
// An access without register, of the wrong kind, or not of a whole word: SLVERR, nothing changes.
// Test    tb/csr/csr_test.cpp
`default_nettype none
`include "chk.svh"
module csr #(
  parameter  int unsigned Rows      = 8,                         // partitions
  parameter  bit          Pairs     = 1'b0,                      // matmuls of 8-bit pairs
  parameter  bit          Whiten    = 1'b1,                      // of the random words
  localparam int unsigned NumQueues = dither_pkg::NumQueues
) (
  input  logic                    clk_i,
  input  logic                    rst_ni,
  // AXI4-Lite
  input  logic                    aw_valid_i,
  output logic                    aw_ready_o,
  input  logic [15:0]             aw_addr_i,
  input  logic                    w_valid_i,
  output logic                    w_ready_o,
  input  logic [31:0]             w_data_i,
  input  logic [3:0]              w_strb_i,
  output logic                    b_valid_o,
  input  logic                    b_ready_i,
  output logic [1:0]              b_resp_o,
  input  logic                    ar_valid_i,
  output logic                    ar_ready_o,
  input  logic [15:0]             ar_addr_i,
  output logic                    r_valid_o,
  input  logic                    r_ready_i,
  output logic [31:0]             r_data_o,
  output logic [1:0]              r_resp_o,
  output logic                    irq_o,
  // rings, to fetch
  output logic [NumQueues*38-1:0] base_o,          // address bits 43:6
  output logic [NumQueues*17-1:0] size_o,
  output logic [NumQueues*32-1:0] tail_o,
  output logic [NumQueues-1:0]    start_o,         // doorbell accepted
  output logic [16:0]             start_count_o,   // TAIL - HEAD
  output logic [NumQueues-1:0]    slot_load_o,     // new SIZE: the next instruction lies in slot_o
  output logic [15:0]             slot_o,          // HEAD modulo SIZE
  output logic [43:0]             dram_base_o,
  output logic [44:0]             dram_limit_o,    // at most 2^44
  output logic [31:0]             watchdog_o,
  // queues
  output logic [NumQueues-1:0]    reset_o,
  output logic [NumQueues-1:0]    resume_o,
  input  logic [NumQueues-1:0]    reset_done_i,
  input  logic [NumQueues*2-1:0]  state_i,
  input  logic [NumQueues*32-1:0] head_i,
  input  logic [NumQueues*8-1:0]  err_i,
  input  logic [NumQueues*2-1:0]  err_operand_i,
  input  logic [NumQueues*32-1:0] err_index_i,
  input  logic [NumQueues*48-1:0] err_addr_i,
  input  logic [NumQueues-1:0]    stopped_i,
  input  logic [NumQueues-1:0]    irq_i,
  // events of the counters
  input  logic [NumQueues-1:0]    busy_i,
  input  logic [NumQueues-1:0]    wait_sem_i,
  input  logic [NumQueues-1:0]    wait_fetch_i,
  input  logic [NumQueues-1:0]    stall_i,
  input  logic [NumQueues*8-1:0]  work_i,
  input  logic [NumQueues-1:0]    retired_i,
  input  logic [3:0]              conflicts_i,     // SBUF requests not granted this cycle
  // a tensor instruction counted infinite or NaN words
  input  logic                    nonfinite_valid_i,
  input  logic [31:0]             nonfinite_count_i,
  input  logic [31:0]             nonfinite_index_i,
  // semaphores
  output logic                    sem_valid_o,
  input  logic                    sem_ready_i,
  output logic                    sem_add_o,
  output logic [5:0]              sem_index_o,
  output logic [15:0]             sem_val_o,
  output logic [5:0]              sem_read_o,
  input  logic [15:0]             sem_read_val_i,
  // rounder states: rdata stands while the lane is selected or one cycle later
  output logic                    rng_scalar_o,    // 0: vector engine, 1: scalar engine
  output logic [6:0]              rng_lane_o,
  output logic                    rng_we_o,
  output logic [31:0]             rng_wdata_o,
  input  logic [31:0]             rng_vector_rdata_i,
  input  logic [31:0]             rng_scalar_rdata_i
);
  localparam logic [31:0] ConfigValue = {16'(dither_pkg::SbufBytesOf(Rows) / 1024), Pairs, 15'(Rows)};
  localparam logic [31:0] RngModeValue = {8'd0, 8'(rounder_pkg::LeapSteps),
                                           8'(rounder_pkg::RandomBits), 7'd0, Whiten};
  localparam logic [31:0] IrqBits     = 32'h0003_1f1f;
  localparam logic [1:0]  Okay = 2'b00, SlvErr = 2'b10;

  // --- registers -------------------------------------------------------------------------------
  logic [NumQueues*38-1:0] base_q;
  logic [NumQueues*17-1:0] size_q;
  logic [NumQueues*32-1:0] tail_q;
  logic [31:0]             irq_status_q, irq_enable_q, watchdog_q;
  logic [NumQueues-1:0]    refused_q;
  logic [43:0]             dram_base_q;
  logic [44:0]             dram_limit_q;
  assign base_o       = base_q;
  assign size_o       = size_q;
  assign tail_o       = tail_q;
  assign watchdog_o   = watchdog_q;
  assign dram_base_o  = dram_base_q;
  assign dram_limit_o = dram_limit_q[44] ? {1'b1, 44'd0} : dram_limit_q;

  // --- write channel: address and data wait for each other, then execute -----------------------
  localparam logic [1:0] WrIdle = 2'd0, WrModulo = 2'd1, WrSem = 2'd2;
  logic        aw_full_q, w_full_q;
  logic [15:0] aw_q;
  logic [31:0] w_q;
  logic        strobes_q;        // all four bytes are written
  logic [1:0]  wr_state_q;
  logic        exec;             // the write takes effect (or is refused) this cycle
  logic        finish;           // its answer is ready in the next
  assign aw_ready_o = !aw_full_q;
  assign w_ready_o  = !w_full_q;
  assign exec = aw_full_q && w_full_q && wr_state_q == WrIdle && !b_valid_o;

  // Decoded target of the write.
  logic [2:0]  wq;               // queue
  logic        w_ok, w_refuse, w_base_lo, w_base_hi, w_size, w_tail, w_ctrl, w_irq_status,
               w_irq_enable, w_watchdog, w_refused, w_dram_base_lo, w_dram_base_hi,
               w_dram_limit_lo, w_dram_limit_hi, w_clear, w_sem, w_rng, w_nonfinite;
  logic [31:0] ahead;            // new TAIL - HEAD
  always_comb begin : write_decode
    logic idle;
    wq = aw_q[8:6] - 3'd4;       // 0x100 + 0x40 q
    {w_ok, w_refuse, w_base_lo, w_base_hi, w_size, w_tail, w_ctrl, w_irq_status, w_irq_enable,
     w_watchdog, w_refused, w_dram_base_lo, w_dram_base_hi, w_dram_limit_lo, w_dram_limit_hi,
     w_clear, w_sem, w_rng, w_nonfinite} = '0;
    idle  = 1'b0;
    ahead = 32'd0;
    if (exec && strobes_q && aw_q[1:0] == 2'b00) begin
      if (aw_q >= dither_pkg::CsrQueueBase
       && aw_q < dither_pkg::CsrQueueBase + 16'(NumQueues * dither_pkg::CsrQueueStride)) begin
        idle  = state_i[2*wq +: 2] == dither_pkg::QueueStateIdle;
        ahead = w_q - head_i[32*wq +: 32];
        case (16'(aw_q[5:0]))
          dither_pkg::CsrQueueBaseLo: begin
            w_ok     = idle && w_q[5:0] == 6'd0;
            w_refuse = !w_ok;
          end
          dither_pkg::CsrQueueBaseHi: begin
            w_ok     = idle && w_q[31:12] == 20'd0;
            w_refuse = !w_ok;
          end
          dither_pkg::CsrQueueSize: begin
            w_ok     = idle && w_q != 32'd0 && w_q <= 32'd65536;
            w_refuse = !w_ok;
          end
          dither_pkg::CsrQueueTail: begin
            w_ok     = idle && ahead != 32'd0 && ahead <= 32'(size_q[17*wq +: 17]);
            w_refuse = !w_ok;
          end
          dither_pkg::CsrQueueCtrl: w_ok = 1'b1;
          default: ;
        endcase
        w_base_lo = w_ok && 16'(aw_q[5:0]) == dither_pkg::CsrQueueBaseLo;
        w_base_hi = w_ok && 16'(aw_q[5:0]) == dither_pkg::CsrQueueBaseHi;
        w_size    = w_ok && 16'(aw_q[5:0]) == dither_pkg::CsrQueueSize;
        w_tail    = w_ok && 16'(aw_q[5:0]) == dither_pkg::CsrQueueTail;
        w_ctrl    = w_ok && 16'(aw_q[5:0]) == dither_pkg::CsrQueueCtrl;
      end else if (aw_q[15:9] == dither_pkg::CsrSemSetBase[15:9]) begin
        w_sem = 1'b1;            // 0x800..0x8ff set, 0x900..0x9ff add
        w_ok  = 1'b1;
      end else if (aw_q[15:9] == dither_pkg::CsrRngVectorBase[15:9]
                || aw_q[15:9] == dither_pkg::CsrRngScalarBase[15:9]) begin
        w_rng = 32'(aw_q[8:2]) < Rows
             && !(aw_q[9] ? busy_i[dither_pkg::QueueScalar] : busy_i[dither_pkg::QueueVector]);
        w_ok  = w_rng;
      end else begin
        w_ok = 1'b1;
        case (aw_q)
          dither_pkg::CsrIrqStatus:   w_irq_status    = 1'b1;
          dither_pkg::CsrIrqEnable:   w_irq_enable    = 1'b1;
          dither_pkg::CsrWatchdog:    w_watchdog      = 1'b1;
          dither_pkg::CsrRefused:     w_refused       = 1'b1;
          dither_pkg::CsrDramBaseLo:  w_dram_base_lo  = 1'b1;
          dither_pkg::CsrDramBaseHi:  w_dram_base_hi  = 1'b1;
          dither_pkg::CsrDramLimitLo: w_dram_limit_lo = 1'b1;
          dither_pkg::CsrDramLimitHi: w_dram_limit_hi = 1'b1;
          dither_pkg::CsrNonfiniteCount: w_nonfinite  = 1'b1;
          dither_pkg::CsrGlobalBase + dither_pkg::CsrGlobalCounterClear: w_clear = 1'b1;
          default: w_ok = 1'b0;
        endcase
      end
    end
  end

  // SIZE also sets the slot of the next instruction, HEAD modulo SIZE: one quotient bit a cycle.
  // The remainder stays below SIZE <= 2^16, so doubled it has 17 bits.
  logic [16:0] divisor;
  logic [31:0] dividend_q;
  logic [15:0] rem_q;
  logic [16:0] rem_shift;
  logic [4:0]  step_q;
  logic        mod_end;
  assign divisor   = w_q[16:0];
  assign rem_shift = {rem_q, dividend_q[31]};
  assign mod_end   = wr_state_q == WrModulo && step_q == 5'd31;
  assign slot_o    = rem_shift < divisor ? rem_shift[15:0] : 16'(rem_shift - divisor);

  assign sem_valid_o = wr_state_q == WrSem;
  assign sem_add_o   = aw_q[8];
  assign sem_index_o = aw_q[7:2];
  assign sem_val_o   = w_q[15:0];
  assign finish      = (exec && !w_size && !w_sem) || mod_end || (sem_valid_o && sem_ready_i);

  assign start_count_o = ahead[16:0];
  always_comb begin
    start_o     = '0;
    slot_load_o = '0;
    reset_o     = '0;
    resume_o    = '0;
    if (w_tail) start_o[wq] = 1'b1;
    if (mod_end) slot_load_o[aw_q[8:6] - 3'd4] = 1'b1;
    if (w_ctrl) begin
      reset_o[wq]  = w_q[0];
      resume_o[wq] = w_q[1] && !w_q[0];
    end
  end

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      aw_full_q  <= 1'b0;
      w_full_q   <= 1'b0;
      b_valid_o  <= 1'b0;
      wr_state_q <= WrIdle;
    end else begin
      aw_full_q <= aw_full_q ? !finish : aw_valid_i;
      w_full_q  <= w_full_q  ? !finish : w_valid_i;
      b_valid_o <= finish || (b_valid_o && !b_ready_i);
      if (w_size)      wr_state_q <= WrModulo;
      else if (w_sem)  wr_state_q <= WrSem;
      else if (finish) wr_state_q <= WrIdle;
    end
  end
  always_ff @(posedge clk_i) begin
    if (aw_valid_i && aw_ready_o) aw_q <= aw_addr_i;
    if (w_valid_i && w_ready_o) begin
      w_q       <= w_data_i;
      strobes_q <= w_strb_i == 4'hf;
    end
    if (exec) b_resp_o <= w_ok ? Okay : SlvErr;
    if (w_size) begin
      dividend_q <= head_i[32*wq +: 32];
      rem_q      <= 16'd0;
      step_q     <= 5'd0;
    end else if (wr_state_q == WrModulo) begin
      dividend_q <= {dividend_q[30:0], 1'b0};
      rem_q      <= slot_o;
      step_q     <= step_q + 5'd1;
    end
  end

  logic [31:0] irq_set, irq_clear;
  always_comb begin
    irq_set   = {14'd0, nonfinite_valid_i, w_refuse, 3'd0, stopped_i, 3'd0, irq_i};
    irq_clear = w_irq_status ? w_q : 32'd0;
  end

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      base_q       <= '0;
      size_q       <= '0;
      tail_q       <= '0;
      irq_status_q <= 32'd0;
      irq_enable_q <= 32'd0;
      irq_o        <= 1'b0;
      watchdog_q   <= dither_pkg::CsrWatchdogReset;
      refused_q    <= '0;
      dram_base_q  <= 44'd0;
      dram_limit_q <= 45'd0;
    end else begin
      // What happens in the cycle of a clear is not lost.
      irq_status_q <= (irq_status_q & ~irq_clear) | irq_set;
      irq_o        <= (irq_status_q & irq_enable_q) != 32'd0;
      if (w_refuse)       refused_q[wq]       <= 1'b1;
      else if (w_refused) refused_q           <= refused_q & ~w_q[NumQueues-1:0];
      if (w_irq_enable)    irq_enable_q        <= w_q & IrqBits;
      if (w_watchdog)      watchdog_q          <= w_q;
      if (w_dram_base_lo)  dram_base_q[31:0]   <= w_q;
      if (w_dram_base_hi)  dram_base_q[43:32]  <= w_q[11:0];
      if (w_dram_limit_lo) dram_limit_q[31:0]  <= w_q;
      if (w_dram_limit_hi) dram_limit_q[44:32] <= w_q[12:0];
      if (w_base_lo)       base_q[38*wq +: 26]      <= w_q[31:6];
      if (w_base_hi)       base_q[38*wq + 26 +: 12] <= w_q[11:0];
      if (w_size)          size_q[17*wq +: 17]      <= w_q[16:0];
      if (w_tail)          tail_q[32*wq +: 32]      <= w_q;
      if (reset_done_i != '0) begin
        for (int unsigned q = 0; q < NumQueues; q++) begin
          if (reset_done_i[q]) tail_q[32*q +: 32] <= 32'd0;
        end
      end
    end
  end

  // --- infinite and NaN words: a clear forgets the past, not what comes in its cycle ------------
  logic [31:0] nonfinite_count_q, nonfinite_index_q, nonfinite_first_q, nonfinite_count;
  logic [32:0] nonfinite_sum;
  assign nonfinite_count = w_nonfinite ? '0 : nonfinite_count_q;
  assign nonfinite_sum   = 33'(nonfinite_count) + 33'(nonfinite_count_i);
  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      nonfinite_count_q <= 32'd0;
      nonfinite_index_q <= 32'd0;
      nonfinite_first_q <= 32'd0;
    end else if (nonfinite_valid_i) begin
      nonfinite_count_q <= nonfinite_sum[32] ? '1 : nonfinite_sum[31:0];
      if (nonfinite_count == 32'd0) begin
        nonfinite_index_q <= nonfinite_index_i;
        nonfinite_first_q <= nonfinite_count_i;
      end
    end else if (w_nonfinite) begin
      nonfinite_count_q <= 32'd0;
      nonfinite_index_q <= 32'd0;
      nonfinite_first_q <= 32'd0;
    end
  end

  // --- counters --------------------------------------------------------------------------------
  logic [63:0]             cycles_q;
  logic [31:0]             conflicts_q;
  logic [NumQueues*32-1:0] busy_q, wait_sem_q, wait_fetch_q, stall_q, work_q, retired_q;
  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      cycles_q    <= 64'd0;
      conflicts_q <= 32'd0;
    end else begin
      cycles_q <= w_clear ? 64'd0 : cycles_q + 64'd1;
      if (w_clear) conflicts_q <= 32'd0;
      else if (conflicts_i != 4'd0) conflicts_q <= conflicts_q + 32'(conflicts_i);
    end
  end
  for (genvar q = 0; q < NumQueues; q++) begin : gen_counters
    always_ff @(posedge clk_i or negedge rst_ni) begin
      if (!rst_ni) begin
        busy_q[32*q +: 32]       <= 32'd0;
        wait_sem_q[32*q +: 32]   <= 32'd0;
        wait_fetch_q[32*q +: 32] <= 32'd0;
        stall_q[32*q +: 32]      <= 32'd0;
        work_q[32*q +: 32]       <= 32'd0;
        retired_q[32*q +: 32]    <= 32'd0;
      end else if (w_clear) begin
        busy_q[32*q +: 32]       <= 32'd0;
        wait_sem_q[32*q +: 32]   <= 32'd0;
        wait_fetch_q[32*q +: 32] <= 32'd0;
        stall_q[32*q +: 32]      <= 32'd0;
        work_q[32*q +: 32]       <= 32'd0;
        retired_q[32*q +: 32]    <= 32'd0;
      end else begin
        if (busy_i[q])       busy_q[32*q +: 32]       <= busy_q[32*q +: 32] + 32'd1;
        if (wait_sem_i[q])   wait_sem_q[32*q +: 32]   <= wait_sem_q[32*q +: 32] + 32'd1;
        if (wait_fetch_i[q]) wait_fetch_q[32*q +: 32] <= wait_fetch_q[32*q +: 32] + 32'd1;
        if (stall_i[q])      stall_q[32*q +: 32]      <= stall_q[32*q +: 32] + 32'd1;
        if (retired_i[q])    retired_q[32*q +: 32]    <= retired_q[32*q +: 32] + 32'd1;
        if (work_i[8*q +: 8] != 8'd0) begin
          work_q[32*q +: 32] <= work_q[32*q +: 32] + 32'(work_i[8*q +: 8]);
        end
      end
    end
  end

  // --- read channel ----------------------------------------------------------------------------
  // RNG reads hold the lane for two cycles, so that the engine may register it or its answer. NONFINITE reads take as
  // long: the count of an instruction comes a little after HEAD, and a host that has read HEAD must find it.
  logic        ar_full_q;
  logic [15:0] ar_q;
  logic        look;                  // decode this cycle
  logic [1:0]  rng_wait_q;            // cycles since the lane was selected
  logic        rd_rng, rd_slow, rd_ok, rd_end;
  logic [2:0]  rq, cq;
  logic [31:0] rd_data;
  assign ar_ready_o = !ar_full_q;
  assign look       = ar_full_q && !r_valid_o && !exec && !rng_we_o;
  assign sem_read_o = ar_q[7:2];
  assign rd_end     = look && (!rd_slow || rng_wait_q == 2'd2);

  always_comb begin : read_decode
    rq      = ar_q[8:6] - 3'd4;       // 0x100 + 0x40 q
    cq      = ar_q[7:5];              // 0x400 + 0x20 q
    rd_ok   = 1'b0;
    rd_rng  = 1'b0;
    rd_slow = 1'b0;
    rd_data = 32'd0;
    if (look && ar_q[1:0] == 2'b00) begin
      rd_ok = 1'b1;
      if (ar_q >= dither_pkg::CsrQueueBase
       && ar_q < dither_pkg::CsrQueueBase + 16'(NumQueues * dither_pkg::CsrQueueStride)) begin
        case (16'(ar_q[5:0]))
          dither_pkg::CsrQueueBaseLo:   rd_data = {base_q[38*rq +: 26], 6'd0};
          dither_pkg::CsrQueueBaseHi:   rd_data = 32'(base_q[38*rq + 26 +: 12]);
          dither_pkg::CsrQueueSize:     rd_data = 32'(size_q[17*rq +: 17]);
          dither_pkg::CsrQueueTail:     rd_data = tail_q[32*rq +: 32];
          dither_pkg::CsrQueueHead:     rd_data = head_i[32*rq +: 32];
          dither_pkg::CsrQueueStatus:   rd_data = {14'd0, err_operand_i[2*rq +: 2],
                                                   err_i[8*rq +: 8], 6'd0, state_i[2*rq +: 2]};
          dither_pkg::CsrQueueErrIndex: rd_data = err_index_i[32*rq +: 32];
          dither_pkg::CsrQueueErrAddrLo: rd_data = err_addr_i[48*rq +: 32];
          dither_pkg::CsrQueueErrAddrHi: rd_data = {{16{err_addr_i[48*rq + 47]}},
                                                    err_addr_i[48*rq + 32 +: 16]};
          default: rd_ok = 1'b0;
        endcase
      end else if (ar_q >= dither_pkg::CsrCounterBase
       && ar_q < dither_pkg::CsrCounterBase + 16'(NumQueues * dither_pkg::CsrCounterStride)) begin
        case (16'(ar_q[4:0]))
          dither_pkg::CsrCounterBusy:      rd_data = busy_q[32*cq +: 32];
          dither_pkg::CsrCounterWaitSem:   rd_data = wait_sem_q[32*cq +: 32];
          dither_pkg::CsrCounterWaitFetch: rd_data = wait_fetch_q[32*cq +: 32];
          dither_pkg::CsrCounterStallMem:  rd_data = stall_q[32*cq +: 32];
          dither_pkg::CsrCounterWork:      rd_data = work_q[32*cq +: 32];
          dither_pkg::CsrCounterRetired:   rd_data = retired_q[32*cq +: 32];
          default: rd_ok = 1'b0;
        endcase
      end else if (ar_q[15:8] == dither_pkg::CsrSemSetBase[15:8]) begin
        rd_data = 32'(sem_read_val_i);
      end else if (ar_q[15:9] == dither_pkg::CsrRngVectorBase[15:9]
                || ar_q[15:9] == dither_pkg::CsrRngScalarBase[15:9]) begin
        rd_ok   = 32'(ar_q[8:2]) < Rows;
        rd_rng  = rd_ok;
        rd_slow = rd_ok;
        rd_data = ar_q[9] ? rng_scalar_rdata_i : rng_vector_rdata_i;
        if (!rd_ok) rd_data = 32'd0;
      end else begin
        case (ar_q)
          dither_pkg::CsrId:          rd_data = dither_pkg::IdValue;
          dither_pkg::CsrVersion:     rd_data = dither_pkg::VersionValue;
          dither_pkg::CsrConfig:      rd_data = ConfigValue;
          dither_pkg::CsrIrqStatus:   rd_data = irq_status_q;
          dither_pkg::CsrIrqEnable:   rd_data = irq_enable_q;
          dither_pkg::CsrWatchdog:    rd_data = watchdog_q;
          dither_pkg::CsrRefused:     rd_data = 32'(refused_q);
          dither_pkg::CsrRngMode:     rd_data = RngModeValue;
          dither_pkg::CsrDramBaseLo:  rd_data = dram_base_q[31:0];
          dither_pkg::CsrDramBaseHi:  rd_data = 32'(dram_base_q[43:32]);
          dither_pkg::CsrDramLimitLo: rd_data = dram_limit_q[31:0];
          dither_pkg::CsrDramLimitHi: rd_data = 32'(dram_limit_q[44:32]);
          dither_pkg::CsrNonfiniteCount: {rd_slow, rd_data} = {1'b1, nonfinite_count_q};
          dither_pkg::CsrNonfiniteIndex: {rd_slow, rd_data} = {1'b1, nonfinite_index_q};
          dither_pkg::CsrNonfiniteFirst: {rd_slow, rd_data} = {1'b1, nonfinite_first_q};
          dither_pkg::CsrGlobalBase + dither_pkg::CsrGlobalCyclesLo: rd_data = cycles_q[31:0];
          dither_pkg::CsrGlobalBase + dither_pkg::CsrGlobalCyclesHi: rd_data = cycles_q[63:32];
          dither_pkg::CsrGlobalBase + dither_pkg::CsrGlobalSbufConflicts: rd_data = conflicts_q;
          default: rd_ok = 1'b0;
        endcase
      end
    end
  end

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      ar_full_q  <= 1'b0;
      r_valid_o  <= 1'b0;
      rng_wait_q <= 2'd0;
      rng_we_o   <= 1'b0;
    end else begin
      ar_full_q <= ar_full_q ? !rd_end : ar_valid_i;
      r_valid_o <= rd_end || (r_valid_o && !r_ready_i);
      rng_we_o  <= w_rng;
      // A write to the RNG in between takes the lane away: the read starts again.
      if (rd_end || w_rng || rng_we_o) rng_wait_q <= 2'd0;
      else if (look && rd_slow) rng_wait_q <= rng_wait_q + 2'd1;
    end
  end
  always_ff @(posedge clk_i) begin
    if (ar_valid_i && ar_ready_o) ar_q <= ar_addr_i;
    if (rd_end) begin
      r_data_o <= rd_data;
      r_resp_o <= rd_ok ? Okay : SlvErr;
    end
    if (w_rng) begin
      rng_scalar_o <= aw_q[9];
      rng_lane_o   <= aw_q[8:2];
      rng_wdata_o  <= w_q;
    end else if (look && rd_rng && rng_wait_q == 2'd0) begin
      rng_scalar_o <= ar_q[9];
      rng_lane_o   <= ar_q[8:2];
    end
  end

  // Answers stay until they are taken.
  `CHK(HeldB_A, !$past(rst_ni) || !$past(b_valid_o && !b_ready_i)
             || (b_valid_o && b_resp_o == $past(b_resp_o)))
  `CHK(HeldR_A, !$past(rst_ni) || !$past(r_valid_o && !r_ready_i)
             || (r_valid_o && r_data_o == $past(r_data_o)))
  // A doorbell only reaches an idle queue.
  `CHK(Doorbell_A, start_o == '0 || state_i[2*wq +: 2] == dither_pkg::QueueStateIdle)
endmodule
