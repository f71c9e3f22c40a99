// The front end of the core: registers, instruction fetch, semaphores, a sequencer for each queue.
//
//   AXI4-Lite --> csr --> sequencer x5 --> engines          AXI4 reads <-- fetch --> sequencers
//                  |          |  semaphores  |
//
// Vectors over the queues hold queue q at [W*q +: W].
// Test    tb/sequencer/front_end_test.cpp
`default_nettype none
module front_end #(
  parameter  int unsigned Rows      = 8,                            // partitions
  parameter  int unsigned AxiBits   = dither_pkg::AxiBitsOf(Rows),  // 128, 256 or 512
  parameter  bit          Pairs     = 1'b0,                         // matmuls of 8-bit pairs
  parameter  bit          Whiten    = 1'b1,                         // of the random words
  localparam int unsigned NumQueues = dither_pkg::NumQueues
) (
  input  logic                     clk_i,
  input  logic                     rst_ni,
  // AXI4-Lite
  input  logic                     s_aw_valid_i,
  output logic                     s_aw_ready_o,
  input  logic [15:0]              s_aw_addr_i,
  input  logic                     s_w_valid_i,
  output logic                     s_w_ready_o,
  input  logic [31:0]              s_w_data_i,
  input  logic [3:0]               s_w_strb_i,
  output logic                     s_b_valid_o,
  input  logic                     s_b_ready_i,
  output logic [1:0]               s_b_resp_o,
  input  logic                     s_ar_valid_i,
  output logic                     s_ar_ready_o,
  input  logic [15:0]              s_ar_addr_i,
  output logic                     s_r_valid_o,
  input  logic                     s_r_ready_i,
  output logic [31:0]              s_r_data_o,
  output logic [1:0]               s_r_resp_o,
  output logic                     irq_o,
  // AXI4 read channels of the instruction fetch
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
  input  logic                     r_last_i,
  // engines
  output logic [NumQueues-1:0]     instr_valid_o,
  input  logic [NumQueues-1:0]     instr_ready_i,
  output logic [NumQueues*512-1:0] instr_o,
  input  logic [NumQueues-1:0]     done_i,
  input  logic [NumQueues-1:0]     err_i,
  input  logic [NumQueues*8-1:0]   err_cause_i,
  input  logic [NumQueues*48-1:0]  err_addr_i,
  input  logic [NumQueues-1:0]     busy_i,
  input  logic [NumQueues-1:0]     stall_i,
  input  logic [NumQueues*8-1:0]   work_i,
  input  logic [3:0]               conflicts_i,       // SBUF requests not granted this cycle
  // PSUM writes of the vector (low bits) and the scalar engine; their done_i comes a cycle later
  input  logic [1:0]               psum_write_i,
  input  logic [5:0]               psum_bank_i,
  // four cycles after done_i of a tensor instruction that counted infinite or NaN words
  input  logic                     nonfinite_valid_i,
  input  logic [31:0]              nonfinite_count_i,
  output logic [31:0]              watchdog_o,        // for the DMA
  // rounder states of the vector and scalar engines (csr.sv)
  output logic                     rng_scalar_o,
  output logic [6:0]               rng_lane_o,
  output logic                     rng_we_o,
  output logic [31:0]              rng_wdata_o,
  input  logic [31:0]              rng_vector_rdata_i,
  input  logic [31:0]              rng_scalar_rdata_i,
  // retire trace: all effects of the instruction are in memory from the next cycle on
  output logic [NumQueues-1:0]     retire_valid_o,
  output logic [NumQueues*32-1:0]  retire_index_o
);
  logic [NumQueues*38-1:0]   base;
  logic [NumQueues*17-1:0]   size;
  logic [NumQueues*32-1:0]   tail;
  logic [NumQueues-1:0]      start;
  logic [NumQueues-1:0]      slot_load;
  logic [NumQueues-1:0]      reset;
  logic [NumQueues-1:0]      resume;
  logic [NumQueues-1:0]      reset_done;
  logic [NumQueues*2-1:0]    state /*verilator public_flat_rd*/;  // simulations watch it for the end
  logic [NumQueues*32-1:0]   head;
  logic [NumQueues*8-1:0]    stat_err /*verilator public_flat_rd*/;  // compared with the model's in lockstep
  logic [NumQueues*2-1:0]    stat_operand /*verilator public_flat_rd*/;
  logic [NumQueues*32-1:0]   stat_index /*verilator public_flat_rd*/;
  logic [NumQueues*48-1:0]   stat_addr /*verilator public_flat_rd*/;
  logic [NumQueues-1:0]      stopped;
  logic [NumQueues-1:0]      irq;
  logic [NumQueues-1:0]      wait_sem_event;
  logic [NumQueues-1:0]      wait_fetch_event;
  logic [NumQueues-1:0]      fetch_valid;
  logic [NumQueues-1:0]      fetch_pop;
  logic [NumQueues*512-1:0]  fetch_instr;
  logic [NumQueues*2-1:0]    fetch_fault;
  logic [NumQueues*44-1:0]   fetch_fault_addr;
  logic [NumQueues-1:0]      fetch_restart;
  logic [NumQueues*17-1:0]   fetch_restart_count;
  logic [NumQueues*3-1:0] fetch_restart_back;
  logic [NumQueues-1:0]      wait_valid;
  logic [NumQueues*6-1:0]    wait_sem;
  logic [NumQueues*16-1:0]   wait_val;
  logic [NumQueues-1:0]      wait_met;
  logic [NumQueues-1:0]      sig_valid;
  logic [NumQueues-1:0]      sig_ready;
  logic [NumQueues*6-1:0]    sig_sem;
  logic [NumQueues*8-1:0]    sig_inc;
  logic [16:0] start_count;
  logic [15:0] slot;
  logic [43:0] dram_base;
  logic [44:0] dram_limit;
  logic [31:0] watchdog;
  assign watchdog_o = watchdog;
  logic [7:0]              psum_written;
  logic [NumQueues*8-1:0]  psum_banks;    // only the tensor queue's are used
  logic [NumQueues*32-1:0] done_index;
  logic                    unused_queues;
  assign unused_queues = ^{psum_banks, done_index};
  logic        host_valid, host_ready, host_add;
  logic [5:0]  host_sem, read_sem;
  logic [15:0] host_val, read_val;

  // The index of a done matmul waits for its count of infinite and NaN words.
  localparam int unsigned Tensor = 32'(dither_pkg::QueueTensor);
  localparam int unsigned Vector = 32'(dither_pkg::QueueVector);
  localparam int unsigned Scalar = 32'(dither_pkg::QueueScalar);
  logic [31:0] done_index_1_q, done_index_2_q, done_index_3_q, done_index_4_q;
  logic [3:1]  done_q;
  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) done_q <= '0;
    else         done_q <= {done_q[2:1], done_i[Tensor]};
  end
  always_ff @(posedge clk_i) begin
    if (done_i[Tensor]) done_index_1_q <= done_index[32*Tensor +: 32];
    if (done_q[1])      done_index_2_q <= done_index_1_q;
    if (done_q[2])      done_index_3_q <= done_index_2_q;
    if (done_q[3])      done_index_4_q <= done_index_3_q;
  end

  csr #(.Rows(Rows), .Pairs(Pairs), .Whiten(Whiten)) u_csr (
    .clk_i, .rst_ni,
    .aw_valid_i(s_aw_valid_i), .aw_ready_o(s_aw_ready_o), .aw_addr_i(s_aw_addr_i),
    .w_valid_i(s_w_valid_i), .w_ready_o(s_w_ready_o), .w_data_i(s_w_data_i), .w_strb_i(s_w_strb_i),
    .b_valid_o(s_b_valid_o), .b_ready_i(s_b_ready_i), .b_resp_o(s_b_resp_o),
    .ar_valid_i(s_ar_valid_i), .ar_ready_o(s_ar_ready_o), .ar_addr_i(s_ar_addr_i),
    .r_valid_o(s_r_valid_o), .r_ready_i(s_r_ready_i), .r_data_o(s_r_data_o), .r_resp_o(s_r_resp_o),
    .irq_o,
    .base_o(base), .size_o(size), .tail_o(tail), .start_o(start), .start_count_o(start_count),
    .slot_load_o(slot_load), .slot_o(slot), .dram_base_o(dram_base), .dram_limit_o(dram_limit),
    .watchdog_o(watchdog),
    .reset_o(reset), .resume_o(resume), .reset_done_i(reset_done), .state_i(state), .head_i(head),
    .err_i(stat_err), .err_operand_i(stat_operand), .err_index_i(stat_index),
    .err_addr_i(stat_addr), .stopped_i(stopped), .irq_i(irq),
    .nonfinite_valid_i, .nonfinite_count_i, .nonfinite_index_i(done_index_4_q),
    .busy_i, .wait_sem_i(wait_sem_event), .wait_fetch_i(wait_fetch_event), .stall_i, .work_i,
    .retired_i(retire_valid_o), .conflicts_i,
    .sem_valid_o(host_valid), .sem_ready_i(host_ready), .sem_add_o(host_add),
    .sem_index_o(host_sem), .sem_val_o(host_val), .sem_read_o(read_sem), .sem_read_val_i(read_val),
    .rng_scalar_o, .rng_lane_o, .rng_we_o, .rng_wdata_o, .rng_vector_rdata_i, .rng_scalar_rdata_i
  );

  psum_written u_written (
    .clk_i, .rst_ni,
    .te_banks_i(psum_banks[8*Tensor +: 8]), .write_i(psum_write_i), .bank_i(psum_bank_i),
    .done_i({done_i[Scalar], done_i[Vector]}), .written_o(psum_written)
  );

  fetch #(.AxiBits(AxiBits)) u_fetch (
    .clk_i, .rst_ni,
    .base_i(base), .size_i(size), .dram_base_i(dram_base), .dram_limit_i(dram_limit),
    .start_i(start), .start_count_i(start_count), .slot_load_i(slot_load), .slot_i(slot),
    .flush_i(reset_done), .restart_i(fetch_restart), .restart_back_i(fetch_restart_back),
    .restart_count_i(fetch_restart_count),
    .valid_o(fetch_valid), .pop_i(fetch_pop), .instr_o(fetch_instr), .fault_o(fetch_fault),
    .fault_addr_o(fetch_fault_addr),
    .ar_valid_o, .ar_ready_i, .ar_id_o, .ar_addr_o, .ar_len_o, .ar_size_o, .ar_burst_o,
    .r_valid_i, .r_ready_o, .r_data_i, .r_resp_i, .r_last_i
  );

  semaphores u_semaphores (
    .clk_i, .rst_ni,
    .wait_valid_i(wait_valid), .wait_sem_i(wait_sem), .wait_val_i(wait_val), .wait_met_o(wait_met),
    .sig_valid_i(sig_valid), .sig_ready_o(sig_ready), .sig_sem_i(sig_sem), .sig_inc_i(sig_inc),
    .host_valid_i(host_valid), .host_ready_o(host_ready), .host_add_i(host_add),
    .host_sem_i(host_sem), .host_val_i(host_val), .read_sem_i(read_sem), .read_val_o(read_val)
  );

  for (genvar q = 0; q < NumQueues; q++) begin : gen_queue
    sequencer #(.Rows(Rows), .Pairs(Pairs), .Queue(q)) u_sequencer (
      .clk_i, .rst_ni,
      .reset_i(reset[q]), .resume_i(resume[q]), .reset_done_o(reset_done[q]),
      .tail_i(tail[32*q +: 32]), .watchdog_i(watchdog),
      .dram_base_i(dram_base), .dram_limit_i(dram_limit),
      .state_o(state[2*q +: 2]), .head_o(head[32*q +: 32]), .err_o(stat_err[8*q +: 8]),
      .err_operand_o(stat_operand[2*q +: 2]), .err_index_o(stat_index[32*q +: 32]),
      .err_addr_o(stat_addr[48*q +: 48]), .stopped_o(stopped[q]), .irq_o(irq[q]),
      .fetch_valid_i(fetch_valid[q]), .fetch_pop_o(fetch_pop[q]),
      .fetch_instr_i(fetch_instr[512*q +: 512]), .fetch_fault_i(fetch_fault[2*q +: 2]),
      .fetch_fault_addr_i(fetch_fault_addr[44*q +: 44]), .fetch_restart_o(fetch_restart[q]),
      .fetch_restart_count_o(fetch_restart_count[17*q +: 17]),
      .fetch_restart_back_o(fetch_restart_back[3*q +: 3]),
      .wait_valid_o(wait_valid[q]), .wait_sem_o(wait_sem[6*q +: 6]),
      .wait_val_o(wait_val[16*q +: 16]), .wait_met_i(wait_met[q]),
      .sig_valid_o(sig_valid[q]), .sig_ready_i(sig_ready[q]), .sig_sem_o(sig_sem[6*q +: 6]),
      .sig_inc_o(sig_inc[8*q +: 8]),
      .instr_valid_o(instr_valid_o[q]), .instr_ready_i(instr_ready_i[q]),
      .instr_o(instr_o[512*q +: 512]), .done_i(done_i[q]), .engine_err_i(err_i[q]),
      .engine_err_cause_i(err_cause_i[8*q +: 8]), .engine_err_addr_i(err_addr_i[48*q +: 48]),
      .engine_busy_i(busy_i[q]),
      .psum_written_i(psum_written), .psum_banks_o(psum_banks[8*q +: 8]), .done_index_o(done_index[32*q +: 32]),
      .wait_sem_event_o(wait_sem_event[q]), .wait_fetch_event_o(wait_fetch_event[q]),
      .retire_valid_o(retire_valid_o[q]), .retire_index_o(retire_index_o[32*q +: 32])
    );
  end
endmodule
