// Writes the destination, an element of every lane per cycle, and joins neighbours in a word.
//
//   elem_i --(place)--> [assembly] --(close_i)--> [pending word] --> SBUF or PSUM
//
// close_i marks the last element that falls in its word; the word, this element included, becomes
// pending and the next one starts. Only a second closing element may find the place taken.
// Timing  request in the cycle after the closing element. gnt to blocked_o, done_o combinationally.
// Test    tb/vector/vector_engine_test.cpp
`default_nettype none
`include "chk.svh"
module stream_writer #(
  parameter  int unsigned Rows  = 16,
  parameter  int unsigned AddrW = 16  // bits of a byte address, at least 14
) (
  input  logic               clk_i,
  input  logic               rst_ni,
  input  logic               load_i,    // a new instruction
  input  logic               space_i,   // dither_pkg::Space*, constant during the instruction
  input  logic [1:0]         esize_i,   // log2 of the element's bytes
  input  logic               valid_i,
  input  logic               close_i,
  input  logic               last_i,    // the instruction's last element; it closes its word
  input  logic [AddrW-1:0]   addr_i,
  input  logic [Rows*32-1:0] elem_i,    // right-justified
  output logic               blocked_o, // this element has to wait
  output logic               done_o,    // the last word was granted
  output logic               sbuf_req_o,
  output logic [AddrW-4:0]   sbuf_addr_o,
  output logic [7:0]         sbuf_bytes_o,
  output logic [Rows*64-1:0] sbuf_data_o,
  input  logic               sbuf_gnt_i,
  output logic               psum_req_o,
  output logic [11:0]        psum_addr_o,
  output logic [Rows*32-1:0] psum_data_o,
  input  logic               psum_gnt_i
);
  logic [Rows*64-1:0] asm_q, pend_q;
  logic [7:0]         asm_bytes_q, pend_bytes_q;
  logic               pend_valid_q, pend_last_q;
  logic [AddrW-1:2]   pend_addr_q;
  logic               gnt, take, close;
  logic [7:0]         bytes;

  assign gnt       = (sbuf_req_o && sbuf_gnt_i) || (psum_req_o && psum_gnt_i);
  assign blocked_o = valid_i && close_i && pend_valid_q && !gnt;
  assign take      = valid_i && !blocked_o;
  assign close     = take && close_i;
  assign done_o    = pend_last_q && gnt;

  // PSUM words go out from the low half; both halves hold the element.
  always_comb begin
    case (esize_i)
      2'd0:    bytes = 8'h01 << addr_i[2:0];
      2'd1:    bytes = 8'h03 << {addr_i[2:1], 1'b0};
      default: bytes = 8'h0f << {addr_i[2], 2'b0};
    endcase
  end

  // Puts an element over the bytes of a word that it owns.
  function automatic logic [63:0] Place(input logic [63:0] word, input logic [31:0] elem,
                                        input logic [1:0] esize, input logic [7:0] own);
    logic [63:0] copies, keep;
    case (esize)
      2'd0:    copies = {8{elem[7:0]}};
      2'd1:    copies = {4{elem[15:0]}};
      default: copies = {2{elem}};
    endcase
    keep  = ~{{8{own[7]}}, {8{own[6]}}, {8{own[5]}}, {8{own[4]}},
              {8{own[3]}}, {8{own[2]}}, {8{own[1]}}, {8{own[0]}}};
    Place = (word & keep) | (copies & ~keep);
  endfunction

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      pend_valid_q <= 1'b0;
      pend_last_q  <= 1'b0;
      asm_bytes_q  <= '0;
    end else begin
      if (close) begin
        pend_valid_q <= 1'b1;
        pend_last_q  <= last_i;
      end else if (gnt) begin
        pend_valid_q <= 1'b0;
        pend_last_q  <= 1'b0;
      end
      if (load_i || close) asm_bytes_q <= '0;
      else if (take) asm_bytes_q <= asm_bytes_q | bytes;
    end
  end

  always_ff @(posedge clk_i) begin
    if (close) begin
      pend_bytes_q <= asm_bytes_q | bytes;
      pend_addr_q  <= addr_i[AddrW-1:2];
      for (int unsigned l = 0; l < Rows; l++) begin
        pend_q[64*l +: 64] <= space_i == dither_pkg::SpacePsum
                            ? {2{elem_i[32*l +: 32]}}
                            : Place(asm_q[64*l +: 64], elem_i[32*l +: 32], esize_i, bytes);
      end
    end else if (take) begin
      for (int unsigned l = 0; l < Rows; l++) begin
        asm_q[64*l +: 64] <= Place(asm_q[64*l +: 64], elem_i[32*l +: 32], esize_i, bytes);
      end
    end
  end

  assign sbuf_req_o   = pend_valid_q && space_i == dither_pkg::SpaceSbuf;
  assign sbuf_addr_o  = pend_addr_q[AddrW-1:3];
  assign sbuf_bytes_o = pend_bytes_q;
  assign sbuf_data_o  = pend_q;
  assign psum_req_o   = pend_valid_q && space_i == dither_pkg::SpacePsum;
  assign psum_addr_o  = pend_addr_q[13:2];
  for (genvar l = 0; l < Rows; l++) begin : gen_psum
    assign psum_data_o[32*l +: 32] = pend_q[64*l +: 32];
  end

  // The last element always leaves; nothing stays behind in the assembly register.
  `CHK(LastCloses_A, !(valid_i && last_i) || close_i)
  // A new instruction finds the writer empty.
  `CHK(EmptyAtLoad_A, !load_i || (!pend_valid_q || gnt))
  `CHK(NoLeftovers_A, !load_i || asm_bytes_q == '0)
endmodule
