// Control of a lane engine: takes an instruction, feeds the lanes, writes their results.
//
//   instr -> loop, walkers -> [0 issue] -> [1 word] -> [2 raw elements] lanes [Stages] -> writer
//
// One enable en_o moves the whole pipe; it is low only while the writer is blocked. Instructions
// are serial: the next issues in the cycle after the last word of the one before was granted.
// Timing  n elements take n + Short + 1 cycles if every request is granted at once, deep_i
//         n + Stages + 1.
// Test    tb/vector/vector_engine_test.cpp, tb/scalar/scalar_engine_test.cpp
`default_nettype none
`include "chk.svh"
module stream_unit #(
  parameter  int unsigned Rows      = 16,
  parameter  int unsigned SbufBytes = dither_pkg::SbufBytesOf(Rows),
  parameter  int unsigned Stages    = 7,                  // in which the lanes hand over deep results
  parameter  int unsigned Short     = Stages,             // and the others
  parameter  bit          Prefetch  = 1'b0,               // source 1 reads a word ahead
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
  input  logic               read_1_i,    // source 1 is read
  input  logic               group_i,     // the rdims+1 innermost dimensions are a group
  input  logic               reduce_i,    // only the last element of a group is written
  input  logic               deep_i,      // results come in stage Stages, not Short
  // To and from the lanes. Bit s of the vectors is about the element in stage s.
  output logic               en_o,
  output logic [Stages:1]    valid_o,
  output logic [Stages:1]    first_o,     // first of its group
  output logic [Stages:1]    write_o,     // gives a result
  output logic [Rows-1:0]    lanes_o,     // lanes of the instruction
  output logic [Rows*32-1:0] raw_0_o,     // stage 2, right-justified
  output logic [Rows*32-1:0] raw_1_o,
  input  logic [Rows*32-1:0] result_i,    // stage Stages, right-justified
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

  if (AddrW < 14 || Short < 3 || Short > Stages) begin : gen_bad_parameters
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
  logic            read_1_q, reduce_q, deep_q, space_0_q, space_1_q, space_d_q;
  logic [1:0]      esize_d_q;
  logic [Rows-1:0] lanes_q;
  logic            accept, fire, last, group_first, group_last, blocked, en, done;
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
      else if (fire && last) run_q <= 1'b0;
    end
  end
  always_ff @(posedge clk_i) begin
    if (accept) begin
      read_1_q  <= read_1_i;
      reduce_q  <= reduce_i;
      deep_q    <= deep_i;
      space_0_q <= instr.space_0;
      space_1_q <= instr.space_1;
      space_d_q <= instr.space_d;
      esize_d_q <= Log2Bytes(instr.dtype_d);
      for (int unsigned l = 0; l < Rows; l++) begin
        lanes_q[l] <= 9'(l) >= {1'b0, instr.part_0}
                   && 9'(l) < {1'b0, instr.part_0} + {1'b0, instr.parts};
      end
    end
  end

  // ---- issue ----
  logic [AddrW-1:0] addr_0, addr_1, addr_d, next_0, next_1, next_d;
  logic             ready_0, ready_1, unused_next;
  assign unused_next = ^{next_0[1:0], next_1[1:0], next_d[1:0]};
  assign fire        = run_q && ready_0 && (ready_1 || !read_1_q) && en;

  ap_loop u_loop (
    .clk_i,
    .rst_ni,
    .load_i       (accept),
    .size_i       (instr.size),
    .group_i      (group_i ? 3'(instr.rdims) + 3'd1 : 3'd0),
    .step_i       (fire),
    .dim_o        (dim),
    .last_o       (last),
    .group_first_o(group_first),
    .group_last_o (group_last)
  );
  ap_walker #(.AddrW(AddrW)) u_walker_0 (
    .clk_i,
    .load_i (accept),
    .off_i  (instr.off_0[AddrW-1:0]),
    .str_i  (instr.str_0),
    .esize_i(Log2Bytes(instr.dtype_0)),
    .step_i (fire),
    .dim_i  (dim),
    .addr_o (addr_0),
    .next_o (next_0)
  );
  ap_walker #(.AddrW(AddrW)) u_walker_1 (
    .clk_i,
    .load_i (accept),
    .off_i  (instr.off_1[AddrW-1:0]),
    .str_i  (instr.str_1),
    .esize_i(Log2Bytes(instr.dtype_1)),
    .step_i (fire),
    .dim_i  (dim),
    .addr_o (addr_1),
    .next_o (next_1)
  );
  ap_walker #(.AddrW(AddrW)) u_walker_d (
    .clk_i,
    .load_i (accept),
    .off_i  (instr.off_d[AddrW-1:0]),
    .str_i  (instr.str_d),
    .esize_i(Log2Bytes(instr.dtype_d)),
    .step_i (fire),
    .dim_i  (dim),
    .addr_o (addr_d),
    .next_o (next_d)
  );

  // The element's word is complete if the next result lies in another one. In a reduction the
  // destination stands still inside a group, so the next element's address is the next group's.
  logic close;
  assign close = last || next_d[AddrW-1:3] != addr_d[AddrW-1:3]
              || (space_d_q == dither_pkg::SpacePsum && next_d[2] != addr_d[2]);

  // ---- pipe ----
  // Token of stage s at [TokenW*(s-1) +: TokenW].
  logic [Stages:1]          valid_q, first_q, write_q;
  logic [TokenW*Stages-1:0] token_q;
  logic                     token_close, token_last;
  logic [AddrW-1:0]         token_addr;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) valid_q <= '0;
    // A result that is handed over in stage Short goes no further.
    else if (en) valid_q <= {valid_q[Stages-1:1], fire}
                          & (deep_q ? '1 : {Stages{1'b1}} >> (Stages - Short));
  end
  always_ff @(posedge clk_i) begin
    if (en && busy_q) begin
      first_q <= {first_q[Stages-1:1], group_first};
      write_q <= {write_q[Stages-1:1], group_last || !reduce_q};
      token_q <= {token_q[0 +: TokenW*(Stages-1)], close, last, addr_d};
    end
  end
  assign {token_close, token_last, token_addr} = deep_q ? token_q[TokenW*(Stages-1) +: TokenW]
                                                        : token_q[TokenW*(Short-1) +: TokenW];

  stream_reader #(.Rows(Rows), .AddrW(AddrW)) u_reader_0 (
    .clk_i,
    .rst_ni,
    .load_i     (accept),
    .en_i       (en),
    .space_i    (space_0_q),
    .valid_i    (run_q),
    .addr_i     (addr_0),
    .next_i     (next_0[AddrW-1:2]),
    .last_i     (last),
    .ready_o    (ready_0),
    .fire_i     (fire),
    .valid_1_i  (valid_q[1]),
    .elem_o     (raw_0_o),
    .sbuf_req_o (sbuf_0_req_o),
    .sbuf_addr_o(sbuf_0_addr_o),
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
    .valid_i    (run_q && read_1_q),
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

  logic write;
  assign write = deep_q ? valid_q[Stages] && write_q[Stages] : valid_q[Short] && write_q[Short];
  stream_writer #(.Rows(Rows), .AddrW(AddrW)) u_writer (
    .clk_i,
    .rst_ni,
    .load_i      (accept),
    .space_i     (space_d_q),
    .esize_i     (esize_d_q),
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
  assign en             = !blocked;
  assign sbuf_w_lanes_o = lanes_q;
  assign psum_w_lanes_o = lanes_q;

  assign accept_o = accept;
  assign en_o     = en;
  assign valid_o  = valid_q;
  assign first_o  = first_q;
  assign write_o  = write_q;
  assign lanes_o  = lanes_q;
  assign done_o   = done;
  assign busy_o   = busy_q;
  assign work_o   = 8'(write && en);
  assign stall_o  = (sbuf_0_req_o && !sbuf_0_gnt_i) || (sbuf_1_req_o && !sbuf_1_gnt_i)
                 || (sbuf_w_req_o && !sbuf_w_gnt_i) || (psum_0_req_o && !psum_0_gnt_i)
                 || (psum_1_req_o && !psum_1_gnt_i) || (psum_w_req_o && !psum_w_gnt_i);

  // Nothing is in the pipe of an idle engine, and the last word leaves after everything else.
  `CHK(IdleEmpty_A, busy_q || (valid_q == '0 && !run_q))
  `CHK(DoneEmpty_A, !done || (valid_q == '0 && !run_q))
  // A result is only ever written for lanes inside the array.
  `CHK(SomeLane_A, !busy_q || lanes_q != '0)
endmodule
