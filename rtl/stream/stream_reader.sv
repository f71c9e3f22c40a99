// Reads one source operand, an element of every lane per cycle, and keeps the last word it read.
//
//   addr_i --(held word?)--> request --> memory --> [hold] --(pick element)--> [elem_o]
//
// An element in the held word costs no access; with Prefetch the next word is asked for as soon as
// the held one serves. Requests come from registers, never from a grant, and a grant in a cycle
// with en_i low is thrown away.
// Timing  ready_o in cycle t (from the grant), data in t+1 (kept if the pipe freezes), elem_o t+2.
// Test    tb/vector/vector_engine_test.cpp
`default_nettype none
`include "chk.svh"
module stream_reader #(
  parameter int unsigned Rows     = 16,
  parameter int unsigned AddrW    = 16,   // bits of a byte address, at least 14
  parameter bit          Prefetch = 1'b0  // a second word register
) (
  input  logic               clk_i,
  input  logic               rst_ni,
  input  logic               load_i,   // a new instruction: forget the held word
  input  logic               en_i,     // the pipe advances
  input  logic               space_i,  // dither_pkg::Space*, constant during the instruction
  // Issue: ready_o says that the word is held or granted now; fire_i sends the element on.
  input  logic               valid_i,
  input  logic [AddrW-1:0]   addr_i,
  input  logic [AddrW-1:2]   next_i,   // address of the element behind, unless last_i
  input  logic               last_i,
  output logic               ready_o,
  input  logic               fire_i,
  // The stage after issue.
  input  logic               valid_1_i,
  output logic [Rows*32-1:0] elem_o,   // right-justified, bits above the element arbitrary
  // Memories.
  output logic               sbuf_req_o,
  output logic [AddrW-4:0]   sbuf_addr_o,
  input  logic               sbuf_gnt_i,
  input  logic [Rows*64-1:0] sbuf_data_i,
  output logic               psum_req_o,
  output logic [11:0]        psum_addr_o,
  input  logic               psum_gnt_i,
  input  logic [Rows*32-1:0] psum_data_i
);
  logic               held_q;    // the hold register has, or is about to get, the word of tag_q
  logic [AddrW-1:2]   tag_q;
  logic               ahead_q;   // the same for the ahead register and the word behind it
  logic               arrive_q;  // the memory's data is valid in this cycle, for hold
  logic               arrive_ahead_q;
  logic [2:0]         sel_q;     // byte of the stage-1 element in its word
  logic [Rows*64-1:0] hold_q, ahead_data_q;
  logic [Rows*32-1:0] elem_q;
  logic               same, need, look, gnt, take, take_ahead, shift;
  logic [AddrW-1:2]   addr;

  // A PSUM word has 4 bytes, an SBUF word 8.
  function automatic logic SameWord(input logic [AddrW-1:2] a, input logic [AddrW-1:2] b,
                                    input logic space);
    SameWord = a[AddrW-1:3] == b[AddrW-1:3]
            && (space == dither_pkg::SpaceSbuf || a[2] == b[2]);
  endfunction

  // Elements come in the order in which next_i announced them, so a word that is not held but
  // fetched ahead is the right one.
  assign same = held_q && SameWord(addr_i[AddrW-1:2], tag_q, space_i);
  assign need = valid_i && !same && !ahead_q;
  assign look = Prefetch && valid_i && same && !ahead_q && !last_i
             && !SameWord(next_i, tag_q, space_i);

  assign addr        = need || !Prefetch ? addr_i[AddrW-1:2] : next_i;
  assign sbuf_req_o  = (need || look) && space_i == dither_pkg::SpaceSbuf;
  assign psum_req_o  = (need || look) && space_i == dither_pkg::SpacePsum;
  assign sbuf_addr_o = addr[AddrW-1:3];
  assign psum_addr_o = addr[13:2];
  assign gnt         = (sbuf_req_o && sbuf_gnt_i) || (psum_req_o && psum_gnt_i);
  assign ready_o     = same || ahead_q || gnt;
  assign take        = need && gnt && en_i;
  assign take_ahead  = look && gnt && en_i;
  assign shift       = fire_i && !same && ahead_q;  // the word ahead becomes the held one

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      held_q         <= 1'b0;
      ahead_q        <= 1'b0;
      arrive_q       <= 1'b0;
      arrive_ahead_q <= 1'b0;
    end else begin
      arrive_q       <= take;
      arrive_ahead_q <= take_ahead;
      if (load_i) held_q <= 1'b0;
      else if (take) held_q <= 1'b1;
      if (take_ahead) ahead_q <= 1'b1;
      else if (shift) ahead_q <= 1'b0;
    end
  end

  // An element is aligned to its size, so each half has fewer places to come from than a shifter's.
  function automatic logic [31:0] Pick(input logic [63:0] word, input logic [2:0] sel);
    logic [31:0] w32;
    logic [15:0] w16;
    w32  = sel[2] ? word[63:32] : word[31:0];
    w16  = sel[1] ? w32[31:16] : w32[15:0];
    Pick = {w32[31:16], w16[15:8], sel[0] ? w16[15:8] : w16[7:0]};
  endfunction

  always_ff @(posedge clk_i) begin
    if (take || shift) tag_q <= addr_i[AddrW-1:2];
    // PSUM's word lies in the low half of the hold register.
    if (fire_i) sel_q <= space_i == dither_pkg::SpacePsum ? 3'd0 : addr_i[2:0];
    if (arrive_q || (arrive_ahead_q && shift)) begin
      for (int unsigned l = 0; l < Rows; l++) begin
        hold_q[64*l +: 64] <= space_i == dither_pkg::SpacePsum ? {32'b0, psum_data_i[32*l +: 32]}
                                                               : sbuf_data_i[64*l +: 64];
      end
    end else if (shift) begin
      hold_q <= ahead_data_q;
    end
    if (arrive_ahead_q && !shift) begin
      for (int unsigned l = 0; l < Rows; l++) begin
        ahead_data_q[64*l +: 64] <= space_i == dither_pkg::SpacePsum
                                  ? {32'b0, psum_data_i[32*l +: 32]} : sbuf_data_i[64*l +: 64];
      end
    end
    if (en_i && valid_1_i) begin
      for (int unsigned l = 0; l < Rows; l++) begin
        elem_q[32*l +: 32] <= Pick(
            !arrive_q ? hold_q[64*l +: 64]
            : space_i == dither_pkg::SpacePsum ? {32'b0, psum_data_i[32*l +: 32]}
            : sbuf_data_i[64*l +: 64], sel_q);
      end
    end
  end
  assign elem_o = elem_q;

  // Nothing is left over from an instruction, and the two registers never fill at once.
  `CHK(NothingAhead_A, !load_i || !ahead_q || shift)
  `CHK(OneArrives_A, !(arrive_q && (arrive_ahead_q || shift)))
endmodule
