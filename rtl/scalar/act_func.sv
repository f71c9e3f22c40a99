// The function of one scalar lane in fp32: a piece of a cubic, from a table, in thirteen stages.
//
//   6 x -> 7 unpack -> 8 products -> 9 argument -> 10 normalise -> [directory] 11 -> [segment] 12
//   -> 13 c3 t + c2 -> 14 .. t + c1 -> 15 .. t + c0 -> 16 -> 17 2^value -> 18 normalise -> 19 round -> y
//
// The memories hold the same in all lanes; table_we_i writes them while no element is inside.
// Timing  y_o in stage 19; x_i in stage 6. A stage computes only for a valid element (valid_i), and
//         en_i low freezes all.
// Model   sim/model/function_table.hpp        Test  tb/scalar/scalar_engine_test.cpp
`default_nettype none
module act_func (
  input  logic              clk_i,
  input  logic              en_i,
  input  logic [18:6]       valid_i,
  input  func_pkg::header_t header_i,   // constant during an instruction
  input  logic              table_i,    // else x passes (through relu_i) unchanged
  input  logic              relu_i,
  input  logic              odd_i,      // round to odd
  input  logic [31:0]       x_i,
  output logic [31:0]       y_o,
  // Writing the tables: four entries or a segment at a time.
  input  logic              entries_we_i,
  input  logic [func_pkg::EntryAddrW-3:0] entries_addr_i,
  input  logic [51:0]       entries_i,
  input  logic              segment_we_i,
  input  logic [func_pkg::SegmentAddrW-1:0] segment_addr_i,
  input  logic [127:0]      segment_i
);
  localparam int unsigned EntryAddrW   = func_pkg::EntryAddrW;
  localparam int unsigned SegmentAddrW = func_pkg::SegmentAddrW;

  func_pkg::header_t h;
  logic              mantissa, log, turn, unused_header;
  assign h        = header_i;
  assign mantissa = h.mode == func_pkg::ModeMantissa;
  assign log      = h.mode == func_pkg::ModeLog;
  assign turn     = h.mode == func_pkg::ModeTurn;
  assign unused_header = ^{h.unused_addend, h.code};

  // ---- 7: sign, exponent, significand; what needs no table is a literal from here on ----
  logic              sign7_q, literal7_q, turn7_q;
  logic signed [9:0] e7_q;
  logic [23:0]       m7_q;
  logic [31:0]       bits7_q;
  logic [69:0]       window7_q;

  function automatic logic [33:0] Unpack(input logic [30:0] x);  // {e, m}
    logic [4:0]        zeros;
    logic signed [9:0] e;
    logic [22:0]       m;
    logic [5:0]        unused_high;
    {unused_high[5], zeros} = fp_pkg::Lzc64({x[22:0], 41'b0});
    unused_high[4:0] = '0;
    if (x[30:23] != '0) begin
      e = $signed({2'b0, x[30:23]}) - 10'sd127;
      m = x[22:0];
    end else begin
      e = -10'sd127 - $signed({5'b0, zeros});
      m = (x[22:0] << zeros) << 1;
    end
    Unpack = {e, 1'b1, m};
  endfunction

  function automatic logic [32:0] Literal(input logic [127:0] special, input logic is_table,
                                          input logic relu, input logic [31:0] x);
    logic [31:0] bits;
    logic        literal;
    literal = 1'b1;
    bits    = x;
    if (!is_table) begin
      if (relu) bits = fp_pkg::MaxMin(x, 32'b0, 1'b0);
    end else if (fp_pkg::IsNan(x[30:0])) begin
      bits = fp_pkg::Nan;
    end else if (x[30:0] == fp_pkg::Inf) begin
      bits = x[31] ? special[127:96] : special[95:64];
    end else if (x[30:0] == '0) begin
      bits = x[31] ? special[63:32] : special[31:0];
    end else begin
      literal = 1'b0;
    end
    Literal = {literal, bits};
  endfunction

  always_ff @(posedge clk_i) begin
    if (en_i && valid_i[6]) begin
      sign7_q <= x_i[31];
      {literal7_q, bits7_q} <= Literal(h.special, table_i, relu_i, x_i);
      if (table_i) begin
        {e7_q, m7_q} <= Unpack(x_i[30:0]);
        turn7_q      <= turn && 11'($signed({3'b0, x_i[30:23]}) - 11'sd127)
                                 >= 11'(h.first) + $signed({4'b0, h.octaves});
        if (turn) window7_q <= func_pkg::TurnWindow(x_i[30:23]);
      end
    end
  end

  // ---- 8: quarter turns, or the exponent's part of a logarithm ----
  logic              sign8_q, literal8_q, turn8_q, near8_q;
  logic signed [9:0] e8_q;
  logic [23:0]       m8_q;
  logic [31:0]       bits8_q;
  logic [53:0]       high8_q;
  logic [47:0]       low8_q;
  logic [7:0]        e7_abs;
  function automatic logic [53:0] Product(input logic [7:0] a, input logic [53:0] b);
    Product = 54'(a) * b;
  endfunction
  assign e7_abs = e7_q[9] ? 8'(-e7_q) : e7_q[7:0];

  always_ff @(posedge clk_i) begin
    if (en_i && valid_i[7]) begin
      literal8_q <= literal7_q;
      bits8_q    <= bits7_q;
      sign8_q    <= sign7_q;
      if (table_i) begin
        e8_q    <= e7_q;
        m8_q    <= m7_q;
        turn8_q <= turn7_q;
        near8_q <= log && !sign7_q && (e7_q == 10'sd0 || e7_q == -10'sd1);
        if (turn || log) begin
          high8_q <= Product(log ? e7_abs : m7_q[23:16], log ? 54'(h.addend) : window7_q[53:0]);
        end
        if (turn) low8_q <= 48'(m7_q[15:0]) * window7_q[69:22];
      end
    end
  end

  // ---- 9: the argument as a number below 1 (its top bit worth 1/2), or the significand ----
  logic               negate9_q, side9_q, second9_q, literal9_q;
  logic signed [9:0]  e9_q;
  logic [51:0]        value9_q;
  logic signed [39:0] addend9_q;
  logic [31:0]        bits9_q;

  function automatic logic [52:0] Turns(input logic [53:0] high, input logic [47:0] low,
                                        input logic [1:0] add);  // {lower half, place in a quadrant}
    logic [53:0] turns;
    logic [1:0]  quadrant;
    turns    = high + {low, 6'b0};
    quadrant = turns[53:52] + add;
    Turns    = {quadrant[1], turns[51:0] ^ {52{quadrant[0]}}};
  endfunction
  function automatic logic signed [39:0] Addend(input logic [53:0] product, input logic minus);
    logic signed [53:0] signed_product;
    logic               unused_bits;
    signed_product = minus ? -$signed(product) : $signed(product);
    Addend         = signed_product[47:8];
    unused_bits    = ^{signed_product[53:48], signed_product[7:0]};
  endfunction

  always_ff @(posedge clk_i) begin : argument
    logic [52:0]        turns;
    logic signed [25:0] u;
    logic [23:0]        u_abs;
    if (en_i && valid_i[8]) begin
      literal9_q <= literal8_q;
      bits9_q    <= bits8_q;
      if (table_i) begin
        turns     = turn ? Turns(high8_q, low8_q, h.turn) : '0;
        u         = $signed({1'b0, e8_q[0] ? {1'b0, m8_q} : {m8_q, 1'b0}}) - 26'sh100_0000;
        u_abs     = u[25] ? 24'(-u) : 24'(u);
        negate9_q <= (sign8_q && h.symmetry == func_pkg::SymmetryOdd) ^ (turn8_q && turns[52]);
        side9_q   <= near8_q ? u[25]
                   : !turn8_q && sign8_q && h.symmetry == func_pkg::SymmetryNone;
        second9_q <= near8_q || turn8_q;
        e9_q      <= e8_q;
        value9_q  <= turn8_q ? turns[51:0] : near8_q ? {u_abs, 28'b0} : {m8_q, 28'b0};
        if (log) addend9_q <= near8_q ? '0 : Addend(high8_q, e8_q[9]);
        if (near8_q && u == '0) begin
          literal9_q <= 1'b1;
          bits9_q    <= '0;
        end
      end
    end
  end

  // ---- 10: normalised, and the octave that the directory is asked for ----
  logic               negate10_q, side10_q, second10_q, literal10_q;
  logic signed [9:0]  octave10_q, follow10_q;
  logic [26:0]        fraction10_q;
  logic signed [39:0] addend10_q;
  logic [31:0]        bits10_q;

  function automatic logic [32:0] Normalise(input logic [51:0] x);  // {zeros, fraction}
    logic [5:0]  zeros;
    logic [51:0] norm;
    logic        unused_low;
    zeros      = x == '0 ? 6'd51 : fp_pkg::Lzc64({x, 12'b0});
    norm       = x << zeros;
    Normalise  = {zeros, norm[50:24]};
    unused_low = ^{norm[51], norm[23:0]};
  endfunction

  always_ff @(posedge clk_i) begin : normalise
    logic [5:0]        zeros;
    logic [26:0]       fraction;
    logic signed [9:0] octave;
    if (en_i && valid_i[9]) begin
      literal10_q <= literal9_q;
      bits10_q    <= bits9_q;
      if (table_i) begin
        {zeros, fraction} = Normalise(value9_q);
        fraction10_q <= fraction;
        octave      = second9_q ? -10'sd1 - $signed({4'b0, zeros}) : e9_q;
        octave10_q  <= mantissa ? (h.parity ? {9'b0, e9_q[0]} : '0) : log && !second9_q ? '0 : octave;
        follow10_q  <= mantissa && h.parity ? octave >>> 1 : octave;
        negate10_q  <= negate9_q;
        side10_q    <= side9_q;
        second10_q  <= second9_q;
        if (log) addend10_q <= addend9_q;
      end
    end
  end

  // ---- 11: the directory ----
  logic [EntryAddrW-1:0] entry_addr;
  logic [51:0]           entries;
  logic [12:0]           entry;
  logic                  negate11_q, literal11_q;
  logic [1:0]            pick11_q;
  logic signed [9:0]     follow11_q;
  logic [26:0]           fraction11_q;
  logic signed [39:0]    addend11_q;
  logic [31:0]           bits11_q;

  function automatic logic [9:0] EntryOf(input logic signed [9:0] octave, input logic signed [8:0] first,
                                         input logic [6:0] octaves, input logic [9:0] directory,
                                         input logic side);
    logic signed [10:0] index;
    index = 11'(octave) - 11'(first);
    if (index < 11'sd0) index = '0;
    else if (index >= $signed({4'b0, octaves})) index = $signed({4'b0, octaves}) - 11'sd1;
    EntryOf = directory + index[9:0] + (side ? 10'(octaves) : 10'd0);
  endfunction

  always_comb begin
    entry_addr = '0;
    if (valid_i[10] && table_i) begin
      entry_addr = EntryAddrW'(EntryOf(octave10_q, second10_q ? h.first_2 : h.first,
                                       second10_q ? h.octaves_2 : h.octaves,
                                       second10_q ? h.directory_2 : h.directory, side10_q));
    end
  end
  sram_1r1w #(.Depth(dither_pkg::FuncEntries / 4), .Width(52)) u_entries (
    .clk_i,
    .re_i   (en_i && valid_i[10] && table_i),
    .raddr_i(entry_addr[EntryAddrW-1:2]),
    .rdata_o(entries),
    .we_i   (entries_we_i),
    .waddr_i(entries_addr_i),
    .lanes_i(1'b1),
    .wdata_i(entries_i)
  );
  assign entry = entries[13*pick11_q +: 13];

  always_ff @(posedge clk_i) begin
    if (en_i && valid_i[10]) begin
      literal11_q <= literal10_q;
      bits11_q    <= bits10_q;
      if (table_i) begin
        pick11_q     <= entry_addr[1:0];
        negate11_q   <= negate10_q;
        follow11_q   <= follow10_q;
        fraction11_q <= fraction10_q;
        if (log) addend11_q <= addend10_q;
      end
    end
  end

  // ---- 12: the segment ----
  logic [SegmentAddrW-1:0] segment_addr;
  func_pkg::segment_t      s;
  logic                    negate12_q, literal12_q;
  logic signed [9:0]       follow12_q;
  logic [26:0]             t12_q;
  logic signed [39:0]      addend12_q;
  logic [31:0]             bits12_q;

  always_comb begin
    segment_addr = '0;
    if (valid_i[11] && table_i) begin
      segment_addr = SegmentAddrW'(entry[9:0])
                   + (SegmentAddrW'(fraction11_q[26:20]) >> (3'd7 - entry[12:10]));
    end
  end
  sram_1r1w #(.Depth(dither_pkg::FuncSegments), .Width(128)) u_segments (
    .clk_i,
    .re_i   (en_i && valid_i[11] && table_i),
    .raddr_i(segment_addr),
    .rdata_o(s),
    .we_i   (segment_we_i),
    .waddr_i(segment_addr_i),
    .lanes_i(1'b1),
    .wdata_i(segment_i)
  );

  always_ff @(posedge clk_i) begin
    if (en_i && valid_i[11]) begin
      literal12_q <= literal11_q;
      bits12_q    <= bits11_q;
      if (table_i) begin
        t12_q      <= fraction11_q << entry[12:10];
        negate12_q <= negate11_q;
        follow12_q <= follow11_q;
        if (log) addend12_q <= addend11_q;
      end
    end
  end

  // ---- 13, 14, 15: the cubic, floored to units of 2^-29 after every product ----
  logic                negate13_q, literal13_q, log2_13_q;
  logic signed [10:0]  exponent13_q;
  logic signed [37:0]  c0_13_q;
  logic signed [32:0]  c1_13_q;
  logic signed [26:0]  h13_q;
  logic [26:0]         t13_q;
  logic signed [39:0]  addend13_q;
  logic [31:0]         bits13_q;

  logic                negate14_q, literal14_q, log2_14_q;
  logic signed [10:0]  exponent14_q;
  logic signed [37:0]  c0_14_q;
  logic signed [33:0]  h14_q;
  logic [26:0]         t14_q;
  logic signed [39:0]  addend14_q;
  logic [31:0]         bits14_q;

  logic                negate15_q, literal15_q, log2_15_q;
  logic signed [10:0]  exponent15_q;
  logic signed [39:0]  value15_q;
  logic [31:0]         bits15_q;

  function automatic logic signed [26:0] Step3(input logic signed [17:0] c3, input logic signed [25:0] c2,
                                               input logic [17:0] t);
    logic signed [36:0] product;
    logic               unused_low;
    product    = 37'(c3) * $signed({19'b0, t});
    Step3      = 27'(c2) + 27'($signed(product[36:18]));
    unused_low = ^product[17:0];
  endfunction
  function automatic logic signed [33:0] Step2(input logic signed [26:0] h2, input logic signed [32:0] c1,
                                               input logic [22:0] t);
    logic signed [50:0] product;
    logic               unused_low;
    product    = 51'(h2) * $signed({28'b0, t});
    Step2      = 34'(c1) + 34'($signed(product[50:23]));
    unused_low = ^product[22:0];
  endfunction
  function automatic logic signed [39:0] Step1(input logic signed [33:0] h1, input logic signed [37:0] c0,
                                               input logic [26:0] t, input logic signed [39:0] addend);
    logic signed [61:0] product;
    logic               unused_low;
    product    = 62'(h1) * $signed({35'b0, t});
    Step1      = 40'(c0) + 40'($signed(product[61:27])) + addend;
    unused_low = ^product[26:0];
  endfunction

  always_ff @(posedge clk_i) begin
    if (en_i && valid_i[12]) begin
      literal13_q <= literal12_q || (table_i && s.kind[2]);
      bits13_q    <= literal12_q ? bits12_q : {s.c0[31] ^ negate12_q, s.c0[30:0]};
      if (table_i) begin
        log2_13_q    <= s.kind == func_pkg::KindLog2;
        negate13_q   <= negate12_q ^ (s.kind == func_pkg::KindLog2 && s.negative);
        exponent13_q <= 11'(s.exponent) + (s.kind == func_pkg::KindPlus ? 11'(follow12_q)
                                         : s.kind == func_pkg::KindMinus ? 11'sd0 - 11'(follow12_q) : '0);
        c0_13_q      <= s.c0;
        c1_13_q      <= s.c1;
        h13_q        <= Step3(s.c3, s.c2, t12_q[26:9]);
        t13_q        <= t12_q;
        if (log) addend13_q <= addend12_q;
      end
    end
    if (en_i && valid_i[13]) begin
      literal14_q <= literal13_q;
      bits14_q    <= bits13_q;
      if (!literal13_q) begin
        log2_14_q    <= log2_13_q;
        negate14_q   <= negate13_q;
        exponent14_q <= exponent13_q;
        c0_14_q      <= c0_13_q;
        h14_q        <= Step2(h13_q, c1_13_q, t13_q[26:4]);
        t14_q        <= t13_q;
        if (log) addend14_q <= addend13_q;
      end
    end
    if (en_i && valid_i[14]) begin
      literal15_q <= literal14_q;
      bits15_q    <= bits14_q;
      if (!literal14_q) begin
        log2_15_q    <= log2_14_q;
        negate15_q   <= negate14_q;
        exponent15_q <= exponent14_q;
        value15_q    <= Step1(h14_q, c0_14_q, t14_q, log ? addend14_q : '0);
      end
    end
  end

  // ---- 16, 17: 2^value, or the value's magnitude ----
  logic                      negate16_q, literal16_q, log2_16_q;
  logic signed [11:0]        exponent16_q;
  logic [39:0]               magnitude16_q;  // 2^value: d0 and the fraction
  logic [25:0]               slope16_q;
  logic [31:0]               bits16_q;
  logic [22:0]               t16_q;

  logic                      negate17_q, literal17_q;
  logic signed [11:0]        exponent17_q;   // of the magnitude's bit 0
  logic [39:0]               magnitude17_q;
  logic [31:0]               bits17_q;

  // d1 has 25 bits, d2 17.
  function automatic logic [25:0] Slope(input logic [24:0] d1, input logic [16:0] d2, input logic [16:0] t);
    logic [33:0] product;
    logic        unused_low;
    product    = 34'(d2) * 34'(t);
    Slope      = 26'(d1) + 26'(product[33:17]);
    unused_low = ^product[16:0];
  endfunction
  function automatic logic [39:0] Power(input logic [29:0] d0, input logic [25:0] slope,
                                        input logic [22:0] t);
    logic [48:0] product;
    logic        unused_low;
    product    = 49'(slope) * 49'(t);
    Power      = {10'b1, d0} + 40'(product[48:23]);
    unused_low = ^product[22:0];
  endfunction

  always_ff @(posedge clk_i) begin : power
    logic [71:0] d;
    if (en_i && valid_i[15]) begin
      literal16_q <= literal15_q;
      bits16_q    <= bits15_q;
      if (!literal15_q) begin
        log2_16_q  <= log2_15_q;
        negate16_q <= negate15_q ^ (!log2_15_q && value15_q[39]);
        if (log2_15_q) begin
          d             = exp2_pkg::Segment(value15_q[28:23]);
          magnitude16_q <= {10'b0, d[71:42]};
          slope16_q     <= Slope(d[41:17], d[16:0], value15_q[22:6]);
          t16_q         <= value15_q[22:0];
          exponent16_q  <= 12'(exponent15_q) + 12'($signed(value15_q[39:29])) - 12'sd30;
        end else begin
          magnitude16_q <= value15_q[39] ? 40'(-value15_q) : value15_q;
          exponent16_q  <= 12'(exponent15_q) - 12'sd29;
        end
      end
    end
    if (en_i && valid_i[16]) begin
      literal17_q <= literal16_q;
      bits17_q    <= bits16_q;
      if (!literal16_q) begin
        negate17_q    <= negate16_q;
        exponent17_q  <= exponent16_q;
        magnitude17_q <= log2_16_q ? Power(magnitude16_q[29:0], slope16_q, t16_q) : magnitude16_q;
      end
    end
  end

  // ---- 18, 19: normalise and round ----
  logic        negate18_q, literal18_q, tiny18_q, unit18_q;
  logic [11:0] field18_q;
  logic [24:0] kept18_q;        // significand without its hidden one, guard bit, sticky bit
  logic [31:0] bits18_q;
  logic [31:0] y_q;

  // {field, significand below the hidden one, guard, sticky} of a number whose bit 63 has the biased
  // exponent `exponent`; below 1 the number is less than half of the smallest subnormal.
  function automatic logic [36:0] Shifted(input logic [39:0] magnitude, input logic signed [12:0] exponent);
    logic [5:0]  zeros, shift;
    logic [63:0] norm;
    logic [11:0] field;
    zeros   = magnitude == '0 ? 6'd63 : fp_pkg::Lzc64({24'b0, magnitude});
    shift   = exponent > $signed({7'b0, zeros}) ? zeros : 6'(exponent - 13'sd1);
    norm    = {24'b0, magnitude} << shift;
    field   = norm[63] ? 12'(exponent) - 12'(shift) : '0;
    Shifted = {field, norm[62:39], norm[38:0] != '0};
  endfunction
  function automatic logic [31:0] Round(input logic negative, input logic [11:0] field,
                                        input logic [24:0] kept, input logic tiny, input logic nonzero,
                                        input logic odd);
    logic        up, inexact;
    logic [34:0] rounded;
    inexact = kept[1:0] != '0;
    up      = kept[1] && (kept[0] || kept[2]);
    rounded = {field, kept[24:2]} + (odd ? '0 : 35'(up));
    if (tiny) Round = {negative, 30'b0, odd && nonzero};
    else if (rounded[34:23] >= 12'd255) Round = {negative, odd ? fp_pkg::Inf - 31'd1 : fp_pkg::Inf};
    else Round = {negative, rounded[30:1], rounded[0] || (odd && inexact)};
  endfunction

  always_ff @(posedge clk_i) begin : round
    logic signed [12:0] top;
    if (en_i && valid_i[17]) begin
      literal18_q <= literal17_q;
      bits18_q    <= bits17_q;
      if (!literal17_q) begin
        top        = 13'(exponent17_q) + 13'sd190;
        negate18_q <= negate17_q;
        tiny18_q   <= top < 13'sd1;
        unit18_q   <= magnitude17_q != '0;
        {field18_q, kept18_q} <= Shifted(magnitude17_q, top < 13'sd1 ? 13'sd1 : top);
      end
    end
    if (en_i && valid_i[18]) begin
      y_q <= literal18_q ? bits18_q
           : Round(negate18_q, field18_q, kept18_q, tiny18_q, unit18_q, odd_i);
    end
  end
  assign y_o = y_q;
endmodule
