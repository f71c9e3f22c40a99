// Reads one source operand, an element of every lane per cycle, and keeps the last word it read.
//
//   addr_i --(held word?)--> request --> memory --> [hold] --(pick element)--> [elem_o]
//
// An element in the held word costs no access. Requests come from registers, never from a grant;
// a grant in a cycle with en_i low is thrown away and asked for again.
// Timing  ready_o in cycle t (from the grant), data in t+1 (kept if the pipe freezes), elem_o t+2.
// Test    tb/vector/vector_engine_test.cpp
`default_nettype none
module stream_reader #(
  parameter  int unsigned Rows  = 16,
  parameter  int unsigned AddrW = 16  // bits of a byte address, at least 14
) (
  input  logic               clk_i,
  input  logic               rst_ni,
  input  logic               load_i,   // a new instruction: forget the held word
  input  logic               en_i,     // the pipe advances
  input  logic               space_i,  // dither_pkg::Space*, constant during the instruction
  // Issue: ready_o says that the word is held or granted now; fire_i sends the element on.
  input  logic               valid_i,
  input  logic [AddrW-1:0]   addr_i,
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
  logic               arrive_q;  // the memory's data is valid in this cycle
  logic [2:0]         sel_q;     // byte of the stage-1 element in its word
  logic [Rows*64-1:0] hold_q;
  logic [Rows*32-1:0] elem_q;
  logic               same, need, gnt, take;

  // A PSUM word has 4 bytes, an SBUF word 8.
  assign same = held_q && addr_i[AddrW-1:3] == tag_q[AddrW-1:3]
             && (space_i == dither_pkg::SpaceSbuf || addr_i[2] == tag_q[2]);
  assign need        = valid_i && !same;
  assign sbuf_req_o  = need && space_i == dither_pkg::SpaceSbuf;
  assign psum_req_o  = need && space_i == dither_pkg::SpacePsum;
  assign sbuf_addr_o = addr_i[AddrW-1:3];
  assign psum_addr_o = addr_i[13:2];
  assign gnt         = (sbuf_req_o && sbuf_gnt_i) || (psum_req_o && psum_gnt_i);
  assign ready_o     = same || gnt;
  assign take        = gnt && en_i;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      held_q   <= 1'b0;
      arrive_q <= 1'b0;
    end else begin
      arrive_q <= take;
      if (load_i) held_q <= 1'b0;
      else if (take) held_q <= 1'b1;
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
    if (take) tag_q <= addr_i[AddrW-1:2];
    // PSUM's word lies in the low half of the hold register.
    if (fire_i) sel_q <= space_i == dither_pkg::SpacePsum ? 3'd0 : addr_i[2:0];
    if (arrive_q) begin
      for (int unsigned l = 0; l < Rows; l++) begin
        hold_q[64*l +: 64] <= space_i == dither_pkg::SpacePsum ? {32'b0, psum_data_i[32*l +: 32]}
                                                               : sbuf_data_i[64*l +: 64];
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
endmodule
