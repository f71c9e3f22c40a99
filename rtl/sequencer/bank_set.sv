// Which PSUM banks a pattern of 32-bit words touches, exactly.
//
//   narrow dimensions --> [low, high] --+
//   wide dimensions ----> [point] ------+--> banks point+low .. point+high --> [or] --> banks_o
//
// A dimension is wide if its stride is longer than a bank. The steps of the others skip no bank, so around a point
// they touch every bank from their lowest to their highest word. A pattern inside PSUM has at most 54 points:
// the wide sizes minus one sum up to 7 at most. Addresses are words, modulo those of PSUM.
// Timing  one point a cycle from start_i on; then done_o with banks_o, until the next load_i.
// Model   PsumBanksWritten in sim/model/functional.cpp        Test  tb/sequencer/instr_check_test.cpp
`default_nettype none
`include "chk.svh"
module bank_set (
  input  logic        clk_i,
  input  logic        rst_ni,
  input  logic        load_i,        // a new pattern; the fields below stay until clear_i
  input  logic        clear_i,
  input  logic [11:0] off_i,         // element 0
  input  logic [63:0] size_i,        // four sizes of 16 bits
  input  logic [63:0] str_i,         // four signed strides of 16 bits
  // (size - 1) * stride of one dimension after the other, before start_i
  input  logic        prod_valid_i,
  input  logic [1:0]  prod_dim_i,
  input  logic        prod_minus_i,  // its sign
  input  logic [11:0] prod_i,
  input  logic        start_i,       // the pattern lies inside PSUM and every product has come
  output logic        done_o,
  output logic [7:0]  banks_o
);
  localparam logic signed [15:0] Bank = 16'(dither_pkg::PsumBankWords);

  logic [3:0]  wide;
  logic [11:0] max;                  // size - 1 of the wide dimensions, 3 bits each
  always_comb begin
    for (int unsigned k = 0; k < 4; k++) begin
      wide[k] = size_i[16*k +: 16] != 16'd1
             && ($signed(str_i[16*k +: 16]) > Bank || $signed(str_i[16*k +: 16]) < -Bank);
      max[3*k +: 3] = wide[k] ? 3'(size_i[16*k +: 16] - 16'd1) : 3'd0;
    end
  end

  // The nested loops over the wide dimensions. base_q[k] is the point with the indices below k at 0, from where
  // dimension k steps on (as in rtl/stream/ap_walker.sv).
  logic [11:0] left_q;               // steps of each dimension still to come
  logic [47:0] base_q;
  logic        run_q, done_q, step, last;
  logic [1:0]  dim;
  logic [11:0] next;
  always_comb begin
    dim  = 2'd3;
    for (int k = 3; k >= 0; k--) if (left_q[3*k +: 3] != 3'd0) dim = 2'(k);
    last = left_q == '0;
    next = base_q[12*dim +: 12] + str_i[16*dim +: 12];
  end
  assign step = run_q && !last;

  // Banks around the point.
  logic [11:0] low_q, high_q;        // of the narrow dimensions
  logic [11:0] low, high;
  logic [7:0]  here, banks_q;
  logic        unused_word;
  assign unused_word = ^{low[8:0], high[8:0]};  // only banks
  always_comb begin
    here = '0;
    low  = '0;
    high = '0;
    if (run_q) begin
      low  = base_q[11:0] + low_q;
      high = base_q[11:0] + high_q;
      for (int unsigned b = 0; b < 8; b++) here[b] = 3'(b) >= low[11:9] && 3'(b) <= high[11:9];
    end
  end

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      run_q  <= 1'b0;
      done_q <= 1'b0;
    end else begin
      run_q  <= !load_i && !clear_i && (start_i || step);
      done_q <= !load_i && !clear_i && (done_q || (run_q && last));
    end
  end
  always_ff @(posedge clk_i) begin
    if (load_i) begin
      left_q  <= max;
      base_q  <= {4{off_i}};
      low_q   <= '0;
      high_q  <= '0;
      banks_q <= '0;
    end else begin
      if (prod_valid_i && !wide[prod_dim_i]) begin
        if (prod_minus_i) low_q <= low_q + prod_i;
        else              high_q <= high_q + prod_i;
      end
      if (step) begin
        for (int unsigned k = 0; k < 4; k++) begin
          if (2'(k) <= dim) base_q[12*k +: 12] <= next;
          if (2'(k) < dim)  left_q[3*k +: 3] <= max[3*k +: 3];
          if (2'(k) == dim) left_q[3*k +: 3] <= left_q[3*k +: 3] - 3'd1;
        end
      end
      if (run_q) banks_q <= banks_q | here;
    end
  end
  assign done_o  = done_q;
  assign banks_o = banks_q;

  // A pattern is walked once.
  `CHK(StartOnce_A, !(start_i && (run_q || done_q)))
  // Points stay inside: no bank range wraps.
  `CHK(Ordered_A, !run_q || low <= high)
endmodule
