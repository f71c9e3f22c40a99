// Foot of an array column: adds the column's sum to the PSUM word (or to zero) and rounds to fp32 once.
// In integer mode it takes the sum's integer part, shifts it by bytes and adds it to the word modulo 2^32.
//
//   sum -- magnitude --[1]-- normalise --[2]-- align with psum --[3]-- add --[4]-- normalise, round --[5]-- fp32
//
// Timing  five cycles; en_i[k] moves data into register k+1; psum_i is read with en_i[2], int_i[k] with en_i[k+1].
// Model   sim/model/column_sum.hpp (Finish)      Test  tb/tensor/pe_array_test.cpp
`default_nettype none
module column_foot #(
  parameter int unsigned Frac = array_pkg::Frac,
  parameter int unsigned SumW = 33
) (
  input  logic            clk_i,
  input  logic [4:0]      en_i,
  input  logic [3:0]      int_i,    // integer mode
  input  logic [1:0]      shift_i,  // with en_i[1]: bytes, integer mode
  input  logic [8:0]      exp_i,
  input  logic [SumW-1:0] sum_i,
  input  logic [2:0]      flags_i,
  input  logic            acc_i,   // with en_i[2]: add psum_i
  input  logic [31:0]     psum_i,
  output logic [31:0]     res_o
);
  if (SumW < 32 || SumW > 40) begin : gen_bad_size
    $error("column_foot: SumW must be 32 to 40");
  end

  // Right shift of a 62-bit window by up to 2047, lost bits jammed into the last one.
  function automatic logic [61:0] jam(input logic [31:0] sig, input logic [10:0] d);
    logic [61:0] v, kept;
    v = {sig, 30'b0};
    kept = v >> d[5:0];
    if (d > 11'd61) jam = {61'b0, sig != '0};
    else            jam = {kept[61:1], kept[0] | ((kept << d[5:0]) != v)};
  endfunction

  // 1: magnitude
  logic            sign1_q;
  logic [SumW-1:0] mag1_q;
  logic [8:0]      exp1_q;
  logic [2:0]      flags1_q;
  always_ff @(posedge clk_i) begin
    if (en_i[0]) begin
      sign1_q  <= sum_i[SumW-1];
      mag1_q   <= sum_i[SumW-1] ? -sum_i : sum_i;
      exp1_q   <= exp_i;
      flags1_q <= flags_i;
    end
  end

  // 2: leading one to bit 31, the rest jammed
  logic              sign2_q;
  logic [31:0]       sig2_q;
  logic signed [10:0] exp2_q;
  logic [2:0]        flags2_q;
  function automatic logic [31:0] top32(input logic [SumW-1:0] mag, input logic [5:0] lead);
    logic [SumW-1:0] v;
    v = mag << lead;
    top32 = {v[SumW-1 -: 31], v[SumW-32:0] != '0};
  endfunction
  logic [5:0] lead1;
  assign lead1 = fp_pkg::Lzc64({mag1_q, {64-SumW{1'b0}}});
  always_ff @(posedge clk_i) begin
    if (en_i[1]) begin
      sign2_q  <= sign1_q;
      sig2_q   <= int_i[0] ? 32'(mag1_q >> Frac) << {shift_i, 3'b0} : top32(mag1_q, lead1);
      exp2_q   <= 11'(exp1_q) + 11'(SumW - 1) - 11'(lead1) - 11'(141 + Frac);
      flags2_q <= flags1_q;
    end
  end

  // 3: align with the PSUM word
  logic [31:0]        psum;
  logic [10:0]        p_exp;
  logic [31:0]        p_sig;
  logic               c_big;
  logic               c_sign3_q, p_sign3_q;
  logic [61:0]        c_win3_q, p_win3_q;
  logic [10:0]        exp3_q;
  logic [2:0]         flags3_q;
  assign psum  = acc_i ? psum_i : '0;
  assign p_exp = 11'(psum[30:23]) + 11'(psum[30:23] == '0);
  assign p_sig = {psum[30:23] != '0, psum[22:0], 8'b0};
  assign c_big = sig2_q[31] && exp2_q > $signed(p_exp);
  always_ff @(posedge clk_i) begin
    if (en_i[2]) begin
      c_sign3_q <= sign2_q;
      p_sign3_q <= psum[31] && !int_i[1];
      if (int_i[1]) begin
        c_win3_q <= 62'(sig2_q);
        p_win3_q <= 62'(psum);
      end else begin
        c_win3_q <= c_big ? {sig2_q, 30'b0} : jam(sig2_q, p_exp - 11'(exp2_q));
        p_win3_q <= c_big ? jam(p_sig, 11'(exp2_q) - p_exp) : {p_sig, 30'b0};
      end
      exp3_q    <= c_big ? 11'(exp2_q) : p_exp;
      flags3_q  <= flags2_q | {psum[30:23] == '1 && psum[22:0] != '0,
                               psum[30:0] == 31'h7f800000 && !psum[31],
                               psum[30:0] == 31'h7f800000 && psum[31]};
    end
  end

  // 4: add
  logic        sign4_q;
  logic [62:0] mag4_q;
  logic [9:0]  exp4_q;
  logic [2:0]  flags4_q;
  logic [63:0] total;
  assign total = ((64'(c_win3_q) ^ {64{c_sign3_q}}) + 64'(c_sign3_q))
               + ((64'(p_win3_q) ^ {64{p_sign3_q}}) + 64'(p_sign3_q));
  always_ff @(posedge clk_i) begin
    if (en_i[3]) begin
      sign4_q  <= total[63];
      mag4_q   <= 63'(total[63] && !int_i[2] ? -total : total);
      exp4_q   <= 10'(exp3_q + 11'd2);  // of bit 63
      flags4_q <= flags3_q;
    end
  end

  // 5: round
  logic [31:0] res_q;
  always_ff @(posedge clk_i) begin
    if (en_i[4]) begin
      if (int_i[3]) res_q <= mag4_q[31:0];
      else if (flags4_q[2] || (flags4_q[1] && flags4_q[0])) res_q <= fp_pkg::Nan;
      else if (flags4_q != '0) res_q <= {flags4_q[0], fp_pkg::Inf};
      else res_q <= fp_pkg::NormRound(sign4_q, {1'b0, mag4_q}, exp4_q);  // bit 61 is the unit
    end
  end
  assign res_o = res_q;
endmodule
