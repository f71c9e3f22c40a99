// Addresses of table rows that a list of indices in SBUF names; the whole list is checked first.
//
//   list --chunk port--> word --(>= limit)--> bad
//                          +---> shift and add, two bits a cycle --> base + index * step --> row
//
// Timing  first pass an index a cycle; then a row every 3 cycles and one for each two bits of its
//         index. What is offered stays. An index that turned bad since the first pass counts as 0:
//         no row outside the table ever comes out.
// Test    tb/dma/dma_test.cpp
`default_nettype none
`include "chk.svh"
module dma_index #(
  parameter  int unsigned SbufBytes = 16384,                   // of a partition
  parameter  int unsigned AxiBits   = 128,                     // of a chunk: 128, 256 or 512
  localparam int unsigned ChunkW    = $clog2(SbufBytes * 8 / AxiBits),  // derived
  localparam int unsigned SelW      = $clog2(AxiBits / 32),    // derived: word in a chunk
  localparam int unsigned WordW     = ChunkW + SelW            // derived: word in a partition
) (
  input  logic               clk_i,
  input  logic               rst_ni,
  input  logic               clear_i,      // forget everything
  input  logic               load_valid_i,
  output logic               load_ready_o,
  input  logic [7:0]         load_part_i,  // where the list lies
  input  logic [WordW-1:0]   load_word_i,
  input  logic [15:0]        load_size_i,  // its indices, 1..65535
  input  logic [30:0]        load_limit_i, // rows of the table
  input  logic [43:0]        load_base_i,  // row 0
  input  logic [31:0]        load_step_i,  // from row to row, in bytes
  input  logic               check_i,      // the first pass may begin, or go on
  output logic               passed_o,     // all indices are below the limit
  output logic               bad_o,        // one is not: a pulse, ...
  output logic [31:0]        index_o,      // ... from the next cycle on which
  output logic [15:0]        place_o,      // and where in the list
  // SBUF chunks
  output logic               sbuf_req_o,
  output logic [7:0]         sbuf_part_o,
  output logic [ChunkW-1:0]  sbuf_addr_o,
  input  logic               sbuf_gnt_i,
  input  logic [AxiBits-1:0] sbuf_rdata_i,
  // addresses of rows, in the order of the list
  output logic               row_valid_o,
  input  logic               row_ready_i,
  output logic [43:0]        row_addr_o
);
  localparam logic [1:0] StIdle = 2'd0, StCheck = 2'd1, StRows = 2'd2, StBad = 2'd3;
  logic [1:0]       state_q;
  logic             more_q;    // indices left to be read in this pass
  logic             got_q;     // a word comes in this cycle
  logic             made_q;    // index_q is an index on its way to an address
  logic [7:0]       part_q;
  logic [WordW-1:0] first_q;
  logic [15:0]      last_q, place_q;
  logic [30:0]      limit_q;
  logic [43:0]      base_q, shift_q, row_q;
  logic [31:0]      step_q, index_q, word;
  logic [SelW-1:0]  sel_q;
  logic [WordW-1:0] at;
  logic             take, outside, row_take;

  assign load_ready_o = state_q == StIdle;
  assign passed_o     = state_q == StRows;

  assign at          = first_q + WordW'(place_q);
  assign sbuf_part_o = part_q;
  assign sbuf_addr_o = at[WordW-1:SelW];
  assign sbuf_req_o  = more_q && ((state_q == StCheck && check_i)
                                  || (state_q == StRows && !got_q && !made_q));
  assign take        = sbuf_req_o && sbuf_gnt_i;

  always_comb begin
    word = sbuf_rdata_i[31:0];
    for (int unsigned k = 1; k < AxiBits / 32; k++) begin
      if (sel_q == SelW'(k)) word = sbuf_rdata_i[32*k +: 32];
    end
  end
  assign outside = word >= {1'b0, limit_q};
  assign bad_o   = state_q == StCheck && got_q && outside;
  assign index_o = index_q;
  assign place_o = place_q - 16'd1;

  assign row_valid_o = made_q && index_q == '0;
  assign row_addr_o  = row_q;
  assign row_take    = row_valid_o && row_ready_i;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      state_q <= StIdle;
      more_q  <= 1'b0;
      got_q   <= 1'b0;
      made_q  <= 1'b0;
    end else if (clear_i) begin
      state_q <= StIdle;
      more_q  <= 1'b0;
      got_q   <= 1'b0;
      made_q  <= 1'b0;
    end else begin
      got_q <= take && !bad_o;
      if (load_valid_i && load_ready_o) begin
        state_q <= StCheck;
        more_q  <= 1'b1;
      end else if (bad_o) begin
        state_q <= StBad;
        more_q  <= 1'b0;
      end else if (state_q == StCheck && got_q && !more_q) begin
        state_q <= StRows;
        more_q  <= 1'b1;
      end else begin
        if (take && place_q == last_q) more_q <= 1'b0;
        if (row_take && !more_q) state_q <= StIdle;
      end
      if (state_q == StRows && got_q) made_q <= 1'b1;
      else if (row_take) made_q <= 1'b0;
    end
  end

  always_ff @(posedge clk_i) begin
    if (load_valid_i && load_ready_o) begin
      part_q  <= load_part_i;
      first_q <= load_word_i;
      last_q  <= load_size_i - 16'd1;
      limit_q <= load_limit_i;
      base_q  <= load_base_i;
      step_q  <= load_step_i;
      place_q <= '0;
    end else if (state_q == StCheck && got_q && !more_q && !outside) begin
      place_q <= '0;
    end else if (take && !bad_o) begin
      // A bad one leaves place_q at the next, so place_o tells its own.
      place_q <= place_q + 16'd1;
    end
    if (take) sel_q <= at[SelW-1:0];
    if (got_q) begin
      index_q <= state_q == StRows && outside ? '0 : word;
      shift_q <= {{12{step_q[31]}}, step_q};
      row_q   <= base_q;
    end else if (made_q && index_q != '0) begin
      index_q <= index_q >> 2;
      shift_q <= shift_q << 2;
      row_q   <= row_q + (index_q[0] ? shift_q : '0) + (index_q[1] ? shift_q << 1 : '0);
    end
  end

  // A row that is offered stays.
  `CHK(HeldRow_A, !$past(rst_ni) || !$past(row_valid_o && !row_ready_i && !clear_i)
                  || (row_valid_o && row_addr_o == $past(row_addr_o)))
  // Words come only for an index that was asked for.
  `CHK(GotKnown_A, !got_q || state_q == StCheck || state_q == StRows)
endmodule
