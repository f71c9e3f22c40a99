// Transposes blocks of n x n elements, n lanes wide: n columns in, then n columns out, one a cycle.
//
//   column of stage 2 --(rotate by its number)--> [bank l: word of column m] --(rotate back)--> stage 3
//
// Element (k, m), lane k of column m, lies in bank (k + m) mod Rows at word m. Column k of the result
// needs (k, m) in lane m for all m: each bank once, at word (bank - k) mod Rows. Partitions that do
// not start at 0 shift lanes and banks alike.
// Area    one rotator, Rows log2(Rows) multiplexers of 32 bits, and Rows banks of Rows words.
// Timing  a column in stage 2 is written at its end; one of the second run leaves in stage 3.
// Model   functional.cpp, Shuffle        Test  tb/vector/vector_engine_test.cpp
`default_nettype none
module lane_transpose #(
  parameter  int unsigned Rows  = 16,
  localparam int unsigned LaneW = $clog2(Rows)  // derived
) (
  input  logic               clk_i,
  input  logic               load_i,      // a new instruction, with its first partitions and n
  input  logic               on_i,        // the instruction is a transpose
  input  logic [LaneW-1:0]   part_0_i,
  input  logic [LaneW-1:0]   part_d_i,
  input  logic [7:0]         n_i,
  input  logic               en_i,        // the pipe advances
  input  logic               valid_1_i,
  input  logic               second_1_i,  // the column in stage 1 is one of the result
  input  logic               valid_2_i,
  input  logic               second_2_i,
  input  logic [Rows*32-1:0] raw_i,       // stage 2
  output logic [Rows*32-1:0] turned_o     // stage 3
);
  logic [LaneW-1:0]   last_q, part_0_q, part_d_q;
  logic [LaneW-1:0]   column_q, column_2_q;  // of stages 1 and 2
  logic [Rows*32-1:0] banks, rotated, turned_q;
  logic [LaneW-1:0]   shift;

  always_ff @(posedge clk_i) begin
    if (load_i) begin
      last_q   <= LaneW'(n_i - 8'd1);
      part_0_q <= part_0_i;
      part_d_q <= part_d_i;
      column_q <= '0;
    end else if (on_i && en_i && valid_1_i) begin
      column_q <= column_q == last_q ? '0 : column_q + 1'b1;
    end
    if (on_i && en_i) column_2_q <= column_q;
  end

  // Left by shift: lane l goes to l + shift. A column m goes to the banks by m; column k of the result
  // lies in bank part_0 + k + m for lane part_d + m, so it goes back by part_d - part_0 - k.
  assign shift = second_2_i ? part_d_q - part_0_q - column_2_q : column_2_q;
  function automatic logic [Rows*32-1:0] Rotate(input logic [Rows*32-1:0] x, input logic [LaneW-1:0] by);
    Rotate = x;
    for (int unsigned s = 0; s < LaneW; s++) begin
      if (by[s]) Rotate = (Rotate << (32 << s)) | (Rotate >> (32 * Rows - (32 << s)));
    end
  endfunction
  always_comb begin
    rotated = '0;
    if (on_i && valid_2_i) rotated = Rotate(second_2_i ? banks : raw_i, shift);
  end

  logic [Rows*LaneW-1:0] words;
  logic                  re;
  assign re = on_i && en_i && valid_1_i && second_1_i;
  always_comb begin
    words = '0;
    if (re) begin
      for (int unsigned b = 0; b < Rows; b++) words[LaneW*b +: LaneW] = LaneW'(b) - part_0_q - column_q;
    end
  end
  sram_banks #(.Depth(Rows), .Lanes(Rows), .Width(32)) u_banks (
    .clk_i,
    .re_i   (re),
    .raddr_i(words),
    .rdata_o(banks),
    .we_i   (on_i && en_i && valid_2_i && !second_2_i),
    .waddr_i(column_2_q),
    .wdata_i(rotated)
  );
  always_ff @(posedge clk_i) begin
    if (on_i && en_i && valid_2_i && second_2_i) turned_q <= rotated;
  end
  assign turned_o = turned_q;
endmodule
