// Byte stream between the two sides of a copy: any bytes in, any bytes out, a beat a cycle.
//
//   in --rotate--> packer (partial beat) --> SRAM of whole beats --> head --rotate--> out
//
// Copies never share a beat: the last bytes of one (in_last_i) are pushed as a beat of their own,
// and the reader drops the rest of it (out_last_i), so entries need no byte count.
// Timing  in to out 3 cycles. in_ready_o, room_o, out_avail_o come from registers (and out_len_i).
// Test    tb/dma/dma_test.cpp
`default_nettype none
`include "chk.svh"
module dma_stream #(
  parameter  int unsigned Beat   = 16,                       // bytes of a beat, 16..64
  parameter  int unsigned Beats  = 32,                       // beats stored, a power of two
  parameter  int unsigned ClaimW = 9,                        // bits of a claim
  localparam int unsigned Bits   = 8 * Beat,                 // derived
  localparam int unsigned BeatW  = $clog2(Beat),             // derived
  localparam int unsigned PtrW   = $clog2(Beats),            // derived
  localparam int unsigned AvailW = $clog2(Beat*(Beats+3))    // derived
) (
  input  logic              clk_i,
  input  logic              rst_ni,
  input  logic              clear_i,        // drop all bytes
  input  logic              in_valid_i,     // only where in_ready_o or promised by room_o
  output logic              in_ready_o,
  output logic              room_o,         // room for a beat one cycle from now
  input  logic [Bits-1:0]   in_data_i,
  input  logic [BeatW-1:0]  in_off_i,       // first byte used
  input  logic [BeatW:0]    in_len_i,       // bytes used, 1..Beat
  input  logic              in_last_i,
  input  logic              claim_valid_i,  // these bytes will be taken
  input  logic [ClaimW-1:0] claim_len_i,
  output logic [AvailW-1:0] unclaimed_o,    // bytes inside that nobody has claimed
  input  logic              out_want_i,     // offset and length below are meant
  input  logic [BeatW-1:0]  out_off_i,
  input  logic [BeatW:0]    out_len_i,      // 1..Beat
  input  logic              out_last_i,
  input  logic              out_take_i,
  output logic              out_avail_o,
  output logic [Bits-1:0]   out_data_o,
  output logic [Beat-1:0]   out_strb_o
);
  // ---- packer: pack_q holds fill_q bytes
  logic [Bits-1:0]   pack_q, in_rot, in_merged, in_mask;
  logic [BeatW-1:0]  fill_q, in_turn;
  logic [BeatW+1:0]  in_sum;
  logic              flush_q, in_full, in_spill, push, push_flush, fits;
  logic [BeatW:0]    push_len;
  logic [PtrW:0]     count_q;

  assign fits       = !count_q[PtrW];
  assign in_ready_o = fits && !flush_q;
  assign room_o     = count_q < (PtrW+1)'(Beats - 1) && !flush_q;
  assign in_turn    = fill_q - in_off_i;
  assign in_sum     = (BeatW+2)'(fill_q) + (BeatW+2)'(in_len_i);
  assign in_full    = in_sum >= (BeatW+2)'(Beat);
  assign in_spill   = in_last_i && in_sum > (BeatW+2)'(Beat);
  assign push_flush = flush_q && fits;
  assign push       = (in_valid_i && (in_full || in_last_i)) || push_flush;

  // Byte in_off_i goes to byte fill_q; what wraps around belongs to the next beat.
  always_comb begin
    in_rot = in_data_i;
    for (int unsigned k = 0; k < BeatW; k++) begin
      if (in_valid_i && in_turn[k]) in_rot = (in_rot << (8 << k)) | (in_rot >> (Bits - (8 << k)));
    end
    in_mask   = '0;
    in_merged = in_rot;
    if ((in_valid_i || flush_q) && fill_q != '0) begin
      in_mask   = {Bits{1'b1}} << {fill_q, 3'b000};
      in_merged = (in_rot & in_mask) | (pack_q & ~in_mask);
    end
    push_len = (BeatW+1)'(fill_q);
    if (!flush_q) push_len = in_full ? (BeatW+1)'(Beat) : in_sum[BeatW:0];
  end

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      fill_q  <= '0;
      flush_q <= 1'b0;
    end else if (clear_i) begin
      fill_q  <= '0;
      flush_q <= 1'b0;
    end else if (in_valid_i) begin
      fill_q  <= in_last_i && !in_spill ? '0 : in_sum[BeatW-1:0];
      flush_q <= in_spill;
    end else if (push_flush) begin
      fill_q  <= '0;
      flush_q <= 1'b0;
    end
  end
  always_ff @(posedge clk_i) begin
    if (in_valid_i) pack_q <= in_full ? in_rot : in_merged;
  end

  // ---- beats: the SRAM's output register is the first beat
  logic            next_valid_q, pop, fetch;
  logic [PtrW-1:0] wptr_q, rptr_q;
  logic [Bits-1:0] next_beat;

  assign fetch = count_q != '0 && (!next_valid_q || pop);
  sram_1r1w #(.Depth(Beats), .Lanes(1), .Width(Bits)) u_beats (
    .clk_i,
    .re_i(fetch), .raddr_i(rptr_q), .rdata_o(next_beat),
    .we_i(push), .waddr_i(wptr_q), .lanes_i(1'b1), .wdata_i(in_merged));

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      count_q      <= '0;
      wptr_q       <= '0;
      rptr_q       <= '0;
      next_valid_q <= 1'b0;
    end else if (clear_i) begin
      count_q      <= '0;
      wptr_q       <= '0;
      rptr_q       <= '0;
      next_valid_q <= 1'b0;
    end else if (push || fetch || pop) begin
      count_q      <= count_q + (PtrW+1)'(push) - (PtrW+1)'(fetch);
      wptr_q       <= wptr_q + PtrW'(push);
      rptr_q       <= rptr_q + PtrW'(fetch);
      next_valid_q <= fetch || (next_valid_q && !pop);
    end
  end

  // ---- bytes inside and not yet promised to a write
  logic [AvailW-1:0] unclaimed_q;
  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) unclaimed_q <= '0;
    else if (clear_i) unclaimed_q <= '0;
    else if (push || claim_valid_i) begin
      unclaimed_q <= unclaimed_q + (push ? AvailW'(push_len) : '0)
                   - (claim_valid_i ? AvailW'(claim_len_i) : '0);
    end
  end
  assign unclaimed_o = unclaimed_q;

  // ---- unpacker: bytes used_q and up of head_q are still to go; none are left when used_q is 0
  logic [Bits-1:0]  head_q, out_rot;
  logic [BeatW-1:0] used_q, out_turn;
  logic [BeatW+1:0] out_sum;
  logic             need;

  assign out_sum     = (BeatW+2)'(used_q) + (BeatW+2)'(out_len_i);
  assign need        = used_q == '0 || out_sum > (BeatW+2)'(Beat);
  assign out_avail_o = !need || next_valid_q;
  assign pop         = out_take_i && need;
  assign out_turn    = out_off_i - used_q;
  always_comb begin
    out_rot    = next_beat;
    out_strb_o = '0;
    if (out_want_i) begin
      if (used_q != '0) begin
        out_rot = (next_beat & ~({Bits{1'b1}} << {used_q, 3'b000}))
                | (head_q & ({Bits{1'b1}} << {used_q, 3'b000}));
      end
      out_strb_o = ~({Beat{1'b1}} << out_len_i) << out_off_i;
    end
    for (int unsigned k = 0; k < BeatW; k++) begin
      if (out_want_i && out_turn[k]) begin
        out_rot = (out_rot << (8 << k)) | (out_rot >> (Bits - (8 << k)));
      end
    end
  end
  assign out_data_o = out_rot;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) used_q <= '0;
    else if (clear_i) used_q <= '0;
    else if (out_take_i) used_q <= out_last_i ? '0 : out_sum[BeatW-1:0];
  end
  always_ff @(posedge clk_i) begin
    if (pop) head_q <= next_beat;
  end

  // A beat enters only where there is room for it.
  `CHK(InRoom_A, !in_valid_i || (fits && !flush_q))
  // Bytes leave only if they are there.
  `CHK(OutAvail_A, !out_take_i || (out_want_i && out_avail_o))
  // Nobody claims more than there is.
  `CHK(ClaimInside_A, !claim_valid_i || AvailW'(claim_len_i) <= unclaimed_q)
endmodule
