// Loads a set of function tables from SBUF: reads the image twice, checks it, then writes it.
//
//   SBUF words --(partition)--> [word] --> lengths, CRC-32 --(second time)--> headers, entries, segments
//
// The image lies in one partition after the other, size_i words of 8 bytes in each. Nothing is
// written, and the set before stays, if magic, a length or the CRC is wrong.
// Timing  2 * words + 4 cycles if every request is granted; done_o and bad_o are pulses, one of the two.
// Model   sim/model/function_table.hpp, FunctionMemory::Load        Test  tb/scalar/scalar_engine_test.cpp
`default_nettype none
`include "chk.svh"
module func_loader #(
  parameter  int unsigned Rows  = 16,
  parameter  int unsigned AddrW = 16,          // bits of a byte address in a partition
  localparam int unsigned PartW = $clog2(Rows)
) (
  input  logic               clk_i,
  input  logic               rst_ni,
  input  logic               start_i,
  input  logic [AddrW-4:0]   offset_i,         // in words of 8 bytes
  input  logic [PartW-1:0]   part_i,
  input  logic [7:0]         parts_i,
  input  logic [14:0]        size_i,           // words of 8 bytes in a partition
  output logic               busy_o,
  output logic               done_o,
  output logic               bad_o,
  output logic               sbuf_req_o,
  output logic [AddrW-4:0]   sbuf_addr_o,
  input  logic               sbuf_gnt_i,
  input  logic [Rows*64-1:0] sbuf_data_i,
  // What is loaded, and the writes.
  output logic [dither_pkg::FuncCodes-1:0] loaded_o,
  output logic               header_we_o,
  output logic [255:0]       header_o,
  output logic               entries_we_o,
  output logic [func_pkg::EntryAddrW-3:0] entries_addr_o,
  output logic [51:0]        entries_o,
  output logic               segment_we_o,
  output logic [func_pkg::SegmentAddrW-1:0] segment_addr_o,
  output logic [127:0]       segment_o
);
  localparam logic [31:0] Magic   = 32'h3154_4644;  // "DFT1"
  localparam logic [31:0] Residue = 32'hdebb_20e3;  // of bytes that end with their own CRC-32
  localparam int unsigned CountW  = 22;             // words of an image: 128 partitions of 32,767

  if (1 << func_pkg::EntryAddrW != dither_pkg::FuncEntries
   || 1 << func_pkg::SegmentAddrW != dither_pkg::FuncSegments) begin : gen_bad_parameters
    $error("func_loader: address widths of func_pkg do not fit the limits of isa.toml");
  end

  function automatic logic [31:0] Crc(input logic [31:0] start, input logic [63:0] word);
    logic [31:0] crc;
    crc = start;
    for (int unsigned b = 0; b < 64; b++) begin
      crc = {1'b0, crc[31:1]} ^ (crc[0] ^ word[b] ? 32'hedb8_8320 : 32'b0);
    end
    Crc = crc;
  endfunction

  // ---- reading: one word per granted cycle ----
  logic              busy_q, second_q;           // the second reading, that writes
  logic [AddrW-4:0]  start_q, addr_q;
  logic [14:0]       each_q, left_q;             // words of a partition
  logic [PartW-1:0]  first_q, part_q, arrive_part_q;
  logic [7:0]        parts_q, parts_left_q;
  logic              read_q, arrive_q, valid_q;
  logic [63:0]       word_q;
  logic              gnt, restart, finish, bad;
  assign sbuf_req_o  = read_q;
  assign sbuf_addr_o = addr_q;
  assign gnt         = read_q && sbuf_gnt_i;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      busy_q   <= 1'b0;
      second_q <= 1'b0;
      read_q   <= 1'b0;
      arrive_q <= 1'b0;
      valid_q  <= 1'b0;
    end else begin
      if (start_i) busy_q <= 1'b1;
      else if (finish || bad) busy_q <= 1'b0;
      if (start_i) second_q <= 1'b0;
      else if (restart) second_q <= 1'b1;
      // What is on its way when a reading ends is dropped.
      if (start_i || restart) read_q <= 1'b1;
      else if (finish || bad || (gnt && left_q == 15'd1 && parts_left_q == 8'd1)) read_q <= 1'b0;
      arrive_q <= gnt && !restart && !finish && !bad;
      valid_q  <= arrive_q && !restart && !finish && !bad;
    end
  end
  always_ff @(posedge clk_i) begin
    if (start_i) begin
      start_q <= offset_i;
      each_q  <= size_i;
      first_q <= part_i;
      parts_q <= parts_i;
    end
    if (start_i || restart) begin
      addr_q       <= start_i ? offset_i : start_q;
      left_q       <= start_i ? size_i : each_q;
      part_q       <= start_i ? part_i : first_q;
      parts_left_q <= start_i ? parts_i : parts_q;
    end else if (gnt) begin
      addr_q <= left_q == 15'd1 ? start_q : addr_q + 1'b1;
      left_q <= left_q == 15'd1 ? each_q : left_q - 15'd1;
      if (left_q == 15'd1) begin
        part_q       <= part_q + 1'b1;
        parts_left_q <= parts_left_q - 8'd1;
      end
    end
    if (gnt) arrive_part_q <= part_q;
    if (arrive_q) word_q <= sbuf_data_i[64*arrive_part_q +: 64];
  end

  // ---- what the words are ----
  logic [CountW-1:0] index_q, room, count_q;     // of the word in word_q; words there are; of the image
  logic [31:0]       crc_q, crc;
  logic [CountW-1:0] headers_end_q, entries_end_q;
  logic              lengths_ok, last;
  logic [CountW-1:0] header_words, entry_words, segment_words;
  assign room          = CountW'(each_q) * CountW'(parts_q);
  assign header_words  = CountW'({word_q[7:0], 2'b0});
  assign entry_words   = CountW'(word_q[31:16]);
  assign segment_words = CountW'({word_q[47:32], 1'b0});
  assign lengths_ok    = word_q[7:0] <= 8'(dither_pkg::FuncCodes)
                      && word_q[31:16] <= 16'(dither_pkg::FuncEntries / 4)
                      && word_q[47:32] <= 16'(dither_pkg::FuncSegments)
                      && count_q == CountW'(3) + header_words + entry_words + segment_words;
  assign crc           = Crc(crc_q, word_q);
  assign last          = valid_q && index_q != '0 && index_q == count_q - CountW'(1);
  assign bad           = valid_q && !second_q
                      && ((index_q == '0 && (word_q[31:0] != Magic || word_q[63:32] < 32'd3
                                           || word_q[63:32] > 32'(room)))
                       || (index_q == CountW'(1) && !lengths_ok)
                       || (last && crc != Residue));
  assign restart       = last && !second_q && !bad;
  assign finish        = last && second_q;

  always_ff @(posedge clk_i) begin
    if (start_i || restart) begin
      index_q <= '0;
      crc_q   <= '1;
    end else if (valid_q) begin
      index_q <= index_q + CountW'(1);
      if (!second_q) crc_q <= crc;
    end
    if (valid_q && !second_q && index_q == '0) count_q <= word_q[32 +: CountW];
    if (valid_q && !second_q && index_q == CountW'(1)) begin
      headers_end_q <= CountW'(2) + header_words;
      entries_end_q <= CountW'(2) + header_words + entry_words;
    end
  end

  // ---- writing ----
  logic                             write, is_header, is_entries, is_segment;
  logic [191:0]                     held_q;      // the words before, of a header or a segment
  logic [CountW-1:0]                entry_index, segment_index;
  logic [dither_pkg::FuncCodes-1:0] loaded_q;
  logic                             unused_index;
  assign write         = valid_q && second_q && index_q >= CountW'(2);
  assign is_header     = write && index_q < headers_end_q;
  assign is_entries    = write && !is_header && index_q < entries_end_q;
  assign is_segment    = write && !is_header && !is_entries && !last;
  assign entry_index   = index_q - headers_end_q;
  assign segment_index = index_q - entries_end_q;
  assign unused_index  = ^{entry_index, segment_index};

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) loaded_q <= '0;
    else if (restart) loaded_q <= '0;
    else if (header_we_o) loaded_q[header_o[4:0]] <= 1'b1;
  end
  always_ff @(posedge clk_i) begin
    if (is_header || is_segment) held_q <= {word_q, held_q[191:64]};
  end
  assign loaded_o       = loaded_q;
  assign header_we_o    = is_header && index_q[1:0] == 2'd1;  // words 2..5 are the first one's
  assign header_o       = {word_q, held_q};
  assign entries_we_o   = is_entries;
  assign entries_addr_o = entry_index[func_pkg::EntryAddrW-3:0];
  assign entries_o      = {word_q[60:48], word_q[44:32], word_q[28:16], word_q[12:0]};
  assign segment_we_o   = is_segment && segment_index[0];
  assign segment_addr_o = segment_index[func_pkg::SegmentAddrW:1];
  assign segment_o      = {word_q, held_q[191:128]};

  assign busy_o = busy_q;
  assign done_o = finish;
  assign bad_o  = bad;

  // A pulse ends it, and only what runs ends.
  `CHK(EndsOnce_A, !(done_o || bad_o) || (busy_q && !(done_o && bad_o)))
  // Writing begins when all has been checked.
  `CHK(WritesChecked_A, !(header_we_o || entries_we_o || segment_we_o) || second_q)
endmodule
