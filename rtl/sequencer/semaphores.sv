// The 64 semaphores: one change a cycle, shared round robin by five queues and the host; every
// queue's wait compares in the same cycle.
//
// Timing  a granted change is visible (waits, host read) in the next cycle. ready depends on valid.
//         A requester is served after at most five others.
// Test    tb/sequencer/front_end_test.cpp
`default_nettype none
`include "chk.svh"
module semaphores #(
  localparam int unsigned NumQueues = dither_pkg::NumQueues,
  localparam int unsigned NumPorts  = NumQueues + 1            // the host is the last one
) (
  input  logic                    clk_i,
  input  logic                    rst_ni,
  // waits: met while signed(sem - value) >= 0
  input  logic [NumQueues-1:0]    wait_valid_i,
  input  logic [NumQueues*6-1:0]  wait_sem_i,
  input  logic [NumQueues*16-1:0] wait_val_i,
  output logic [NumQueues-1:0]    wait_met_o,
  // signals of retiring instructions
  input  logic [NumQueues-1:0]    sig_valid_i,
  output logic [NumQueues-1:0]    sig_ready_o,
  input  logic [NumQueues*6-1:0]  sig_sem_i,
  input  logic [NumQueues*8-1:0]  sig_inc_i,     // signed
  // host: set or add, and a read port of its own
  input  logic                    host_valid_i,
  output logic                    host_ready_o,
  input  logic                    host_add_i,    // 1: add the value, 0: set
  input  logic [5:0]              host_sem_i,
  input  logic [15:0]             host_val_i,
  input  logic [5:0]              read_sem_i,
  output logic [15:0]             read_val_o
);
  logic [15:0] sem_q [dither_pkg::NumSems];

  logic [15:0] ahead;         // of the last compare; only its sign counts
  logic        unused_ahead;
  assign unused_ahead = ^ahead;
  always_comb begin : waits
    ahead      = 16'd0;
    wait_met_o = '0;
    for (int unsigned q = 0; q < NumQueues; q++) begin
      if (wait_valid_i[q]) begin
        ahead = sem_q[wait_sem_i[6*q +: 6]] - wait_val_i[16*q +: 16];
        wait_met_o[q] = !ahead[15];
      end
    end
  end
  assign read_val_o = sem_q[read_sem_i];

  // Round robin: the port behind the last one served comes first.
  logic [NumPorts-1:0] request, grant;
  logic [2:0]          next_q, next_d;
  logic [5:0]          index;
  logic [15:0]         value;
  logic                add;
  assign request = {host_valid_i, sig_valid_i};

  always_comb begin : arbiter
    logic       found;
    logic [3:0] port;
    found  = 1'b0;
    port   = 4'd0;
    grant  = '0;
    next_d = next_q;
    index  = host_sem_i;
    value  = host_val_i;
    add    = host_add_i;
    if (request != '0) begin
      for (int unsigned k = 0; k < NumPorts; k++) begin
        port = 4'(next_q) + 4'(k);
        if (port >= 4'(NumPorts)) port = port - 4'(NumPorts);
        if (!found && request[port[2:0]]) begin
          found            = 1'b1;
          grant[port[2:0]] = 1'b1;
          next_d           = port == 4'(NumPorts - 1) ? 3'd0 : 3'(port + 4'd1);
        end
      end
      for (int unsigned q = 0; q < NumQueues; q++) begin
        if (grant[q]) begin
          index = sig_sem_i[6*q +: 6];
          value = {{8{sig_inc_i[8*q + 7]}}, sig_inc_i[8*q +: 8]};
          add   = 1'b1;
        end
      end
    end
  end
  assign sig_ready_o  = grant[NumQueues-1:0];
  assign host_ready_o = grant[NumQueues];

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      next_q <= 3'd0;
      for (int unsigned s = 0; s < dither_pkg::NumSems; s++) sem_q[s] <= 16'd0;
    end else if (request != '0) begin
      next_q       <= next_d;
      sem_q[index] <= (add ? sem_q[index] : 16'd0) + value;
    end
  end

  // One change a cycle, and never an idle one while somebody asks.
  `CHK(OneGrant_A, $onehot0(grant) && (request != '0) == (grant != '0))
endmodule
