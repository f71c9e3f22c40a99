// Which PSUM banks a pattern of 32-bit words touches, exactly.
//
//   narrow dimensions --> [low, high] --+
//   wide dimensions ----> [point] ------+--> banks point+low .. point+high --> [or] --> banks_o
//
// A dimension is wide if its stride is longer than a bank. The steps of the others skip no bank, so around a point
// they touch every bank from their lowest to their highest word. A pattern inside PSUM has at most 54 points
// (wide sizes minus one sum up to 7 at most).
// Timing  one point a cycle from start_i on; done_o with banks_o, until the next load_i.
// Model   PsumBanksWritten in sim/model/functional.cpp        Test  tb/sequencer/instr_check_test.cpp
`default_nettype none
`include "chk.svh"
module bank_set (
  input  logic        clk_i,
  input  logic        rst_ni,
  input  logic        load_i,        // a new pattern
  input  logic [13:0] off_i,         // byte offset of element 0, a multiple of 4
  input  logic [63:0] size_i,        // four sizes of 16 bits
  input  logic [63:0] str_i,         // four signed strides of 16 bits, in words
  // One dimension after the other: (size - 1) * stride, in words, before start_i.
  input  logic        prod_valid_i,
  input  logic [1:0]  prod_dim_i,
  input  logic        prod_minus_i,  // its sign
  input  logic [11:0] prod_i,        // modulo the words of PSUM: a pattern outside never starts
  input  logic        start_i,       // every product has come
  output logic        done_o,
  output logic [7:0]  banks_o
);
  localparam logic signed [15:0] Bank = 16'(dither_pkg::PsumBankWords);

  logic [3:0]  wide;
  logic [63:0] points;               // sizes of the wide dimensions, 1 for the others
  always_comb begin
    for (int unsigned k = 0; k < 4; k++) begin
      wide[k] = size_i[16*k +: 16] != 16'd1
             && ($signed(str_i[16*k +: 16]) > Bank || $signed(str_i[16*k +: 16]) < -Bank);
      points[16*k +: 16] = wide[k] ? size_i[16*k +: 16] : 16'd1;
    end
  end

  // Lowest and highest word of the narrow dimensions, from the point.
  logic [3:0]  wide_q;
  logic [11:0] low_q, high_q;
  logic        run_q, done_q;
  logic [7:0]  banks_q;

  logic        step, last, unused_first, unused_group;
  logic [1:0]  dim;
  logic [13:0] point, unused_next;
  logic [1:0]  unused_byte;
  assign step        = run_q && !last;
  assign unused_byte = point[1:0];
  ap_loop u_loop (
    .clk_i, .rst_ni, .load_i, .size_i(points), .group_i(3'd0), .step_i(step), .dim_o(dim), .last_o(last),
    .group_first_o(unused_first), .group_last_o(unused_group)
  );
  ap_walker #(.AddrW(14)) u_walker (
    .clk_i, .load_i, .off_i, .str_i, .esize_i(2'd2), .step_i(step), .dim_i(dim), .addr_o(point), .next_o(unused_next)
  );

  logic [7:0]  here;
  logic [11:0] low, high;
  logic        unused_word;
  assign unused_word = ^{low[8:0], high[8:0]};  // only banks
  always_comb begin
    here = '0;
    low  = '0;
    high = '0;
    if (run_q) begin
      low  = point[13:2] + low_q;
      high = point[13:2] + high_q;
      for (int unsigned b = 0; b < 8; b++) here[b] = 3'(b) >= low[11:9] && 3'(b) <= high[11:9];
    end
  end

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      run_q  <= 1'b0;
      done_q <= 1'b0;
    end else begin
      run_q  <= !load_i && (start_i || step);
      done_q <= !load_i && (done_q || (run_q && last));
    end
  end
  always_ff @(posedge clk_i) begin
    if (load_i) begin
      wide_q  <= wide;
      low_q   <= '0;
      high_q  <= '0;
      banks_q <= '0;
    end else begin
      if (prod_valid_i && !wide_q[prod_dim_i]) begin
        if (prod_minus_i) low_q <= low_q + prod_i;
        else              high_q <= high_q + prod_i;
      end
      if (run_q) banks_q <= banks_q | here;
    end
  end
  assign done_o  = done_q;
  assign banks_o = banks_q;

  // A point is never counted before the extent around it is known.
  `CHK(StartOnce_A, !(start_i && (run_q || done_q)))
endmodule
