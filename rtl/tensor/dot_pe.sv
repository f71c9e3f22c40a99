// Processing element: dot product of D bf16 pairs, added to the partial sum from the north.
//
//   x ─┬─ multiply, exponents ─[reg]─ align to the largest exponent, add ─[reg]─ south
//   w ─┘ (shadow and active weights)                north ─┘
//
// Timing  x_i with mul_en_i; the sum from the north meets its product one cycle later, with add_en_i; the
//         result stands at the outputs the cycle after. No normalisation: the foot of the column rounds.
// Model   sim/model/column_sum.hpp (AddGroup)      Test  tb/tensor/pe_array_test.cpp
`default_nettype none
module dot_pe #(
  parameter int unsigned D    = 4,   // pairs per PE, 1..8
  parameter int unsigned Frac = 14,  // bits kept below a product's last bit
  parameter int unsigned SumW = 35   // bits of the partial sum: 17 + Frac + log2(rows of the column)
) (
  input  logic            clk_i,
  input  logic            w_shift_i,  // take w_i into the shadow weights
  input  logic [D*16-1:0] w_i,
  output logic [D*16-1:0] w_o,        // shadow weights, to the east
  input  logic            swap_i,     // shadow weights (as after this cycle) become active
  input  logic            mul_en_i,
  input  logic [D*16-1:0] x_i,
  input  logic            add_en_i,
  input  logic [8:0]      n_exp_i,    // 0: nothing added yet
  input  logic [SumW-1:0] n_sum_i,    // value = sum * 2^(exp - 268 - Frac)
  input  logic [2:0]      n_flags_i,  // NaN, +infinity, -infinity seen
  output logic [8:0]      s_exp_o,
  output logic [SumW-1:0] s_sum_o,
  output logic [2:0]      s_flags_o
);
  localparam int unsigned MagW = 16 + Frac;

  // Exact product of two bf16 significands.
  function automatic logic [15:0] product(input logic [14:0] x, input logic [14:0] w);
    product = 16'({|x[14:7], x[6:0]}) * 16'({|w[14:7], w[6:0]});
  endfunction

  // Its biased exponent (both biases in it); 0 for a zero product, which must not lift the sum's.
  function automatic logic [8:0] exponent(input logic [14:0] x, input logic [14:0] w);
    exponent = 9'(x[14:7]) + 9'(w[14:7]) + 9'(~|x[14:7]) + 9'(~|w[14:7]);
    if (x == '0 || w == '0) exponent = '0;
  endfunction

  // {NaN, +infinity, -infinity} of a product.
  function automatic logic [2:0] special(input logic [15:0] x, input logic [15:0] w);
    logic x_max, w_max, nan;
    x_max = &x[14:7];
    w_max = &w[14:7];
    nan = (x_max && x[6:0] != '0) || (w_max && w[6:0] != '0)
       || (x_max && w[14:0] == '0) || (w_max && x[14:0] == '0);
    special = {nan, (x_max || w_max) && !nan && !(x[15] ^ w[15]),
                    (x_max || w_max) && !nan && (x[15] ^ w[15])};
  endfunction

  function automatic logic [16*D-1:0] products(input logic [D*16-1:0] x, input logic [D*16-1:0] w);
    for (int unsigned i = 0; i < D; i++) products[16*i +: 16] = product(x[16*i +: 15], w[16*i +: 15]);
  endfunction
  function automatic logic [9*D-1:0] exponents(input logic [D*16-1:0] x, input logic [D*16-1:0] w);
    for (int unsigned i = 0; i < D; i++) exponents[9*i +: 9] = exponent(x[16*i +: 15], w[16*i +: 15]);
  endfunction
  function automatic logic [D-1:0] signs(input logic [D*16-1:0] x, input logic [D*16-1:0] w);
    for (int unsigned i = 0; i < D; i++) signs[i] = x[16*i+15] ^ w[16*i+15];
  endfunction
  function automatic logic [2:0] specials(input logic [D*16-1:0] x, input logic [D*16-1:0] w);
    specials = '0;
    for (int unsigned i = 0; i < D; i++) specials = specials | special(x[16*i +: 16], w[16*i +: 16]);
  endfunction
  function automatic logic [8:0] largest(input logic [9*D-1:0] e);
    largest = e[8:0];
    for (int unsigned i = 1; i < D; i++) if (e[9*i +: 9] > largest) largest = e[9*i +: 9];
  endfunction

  // The north's sum and the products, aligned to exponent `top`. Magnitudes lose bits toward zero, the sum
  // toward minus infinity.
  function automatic logic [SumW-1:0] add(input logic [8:0] top, input logic [8:0] n_exp,
                                          input logic [SumW-1:0] n_sum, input logic [D*16-1:0] p,
                                          input logic [D*9-1:0] e, input logic [D-1:0] s);
    logic [8:0]      d;
    logic [MagW-1:0] mag;
    d = top - n_exp;
    add = $signed(n_sum) >>> (d > 9'd63 ? 6'd63 : d[5:0]);
    for (int unsigned i = 0; i < D; i++) begin
      d = top - e[9*i +: 9];
      mag = d > 9'd31 ? '0 : {p[16*i +: 16], {Frac{1'b0}}} >> d[4:0];
      add = add + (SumW'(mag) ^ {SumW{s[i]}}) + SumW'(s[i]);
    end
  endfunction

  logic [D*16-1:0] w_shadow_q, w_q, p_q;
  logic [D*9-1:0]  e_q;
  logic [D-1:0]    s_q;
  logic [8:0]      top_q, exp_q, top;
  logic [2:0]      special_q, flags_q;
  logic [SumW-1:0] sum_q;

  // No reset: weights are loaded before they are used, and the engine's valid bits say when sums count.
  always_ff @(posedge clk_i) begin
    if (w_shift_i) w_shadow_q <= w_i;
    if (swap_i) w_q <= w_shift_i ? w_i : w_shadow_q;
  end
  always_ff @(posedge clk_i) begin
    if (mul_en_i) begin
      p_q       <= products(x_i, w_q);
      e_q       <= exponents(x_i, w_q);
      s_q       <= signs(x_i, w_q);
      special_q <= specials(x_i, w_q);
      top_q     <= largest(exponents(x_i, w_q));
    end
  end
  assign top = top_q > n_exp_i ? top_q : n_exp_i;
  always_ff @(posedge clk_i) begin
    if (add_en_i) begin
      exp_q   <= top;
      sum_q   <= add(top, n_exp_i, n_sum_i, p_q, e_q, s_q);
      flags_q <= n_flags_i | special_q;
    end
  end
  assign w_o       = w_shadow_q;
  assign s_exp_o   = exp_q;
  assign s_sum_o   = sum_q;
  assign s_flags_o = flags_q;
endmodule
