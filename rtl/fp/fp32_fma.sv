// fp32 fused multiply-add, one rounding to nearest even, subnormals at full value.
//
//   a,b,c --(multiply | compare exponents)--[s1]--(align | add)--[s2]--(normalise | round)--[res]
//
// Timing  res_o holds the result after three enabled cycles, one operation per enabled cycle;
//         en_i low freezes the whole pipe. No valid bits: the caller keeps them.
// Model   sim/model/fp32.hpp, Fp32Fma, Mul, Add, Sub        Test  tb/fp/fp32_fma_test.cpp
`default_nettype none
module fp32_fma (
  input  logic        clk_i,
  input  logic        en_i,
  input  logic [1:0]  op_i,  // 0: a*b+c  1: a*b  2: a+c  3: a-c
  input  logic [31:0] a_i,
  input  logic [31:0] b_i,
  input  logic [31:0] c_i,
  output logic [31:0] res_o
);
  localparam logic [1:0] OpMul = 2'd1;
  localparam logic [1:0] OpAdd = 2'd2;
  localparam logic [1:0] OpSub = 2'd3;

  // The exponent is that of the larger operand's unit, which stands at bit 60 of the window.
  typedef struct packed {
    logic        nan;
    logic        inf;
    logic        inf_sign;
    logic        prod_sign;
    logic        add_sign;
    logic        add_larger;  // the addend has the larger exponent, so the product shifts
    logic [5:0]  shift;
    logic [8:0]  exponent;    // biased, 1..381
    logic [23:0] add;
    logic [47:0] prod;
  } aligned_t;

  typedef struct packed {
    logic        nan;
    logic        inf;
    logic        inf_sign;
    logic        sign;        // of the operand that total counts as positive
    logic        sub;         // signs differed, so a zero total is +0
    logic [8:0]  exponent;
    logic [63:0] total;       // two's complement, negative only after a subtraction
  } summed_t;

  // Functions and not nets, so that a simulator computes nothing while en_i is low.
  function automatic logic [92:0] Multiply(input logic [1:0] op, input logic [31:0] a,
                                           input logic [31:0] b_in, input logic [31:0] c_in);
    logic [31:0]        b, c;
    logic               a_zero, b_zero, a_inf, b_inf, c_inf, nan, inf, sign, prod_larger;
    logic [8:0]         a_exp, b_exp, c_exp, exponent;
    logic signed [10:0] prod_exp, gap;  // prod_exp is -125..381
    logic [9:0]         distance;
    logic [5:0]         shift;
    logic [47:0]        prod;
    b      = op == OpAdd || op == OpSub ? 32'h3f80_0000 : b_in;
    sign   = a[31] ^ b[31];
    // A product alone takes a zero of its own sign as addend, which keeps -0.
    c      = op == OpMul ? {sign, 31'b0} : {c_in[31] ^ (op == OpSub), c_in[30:0]};
    a_zero = a[30:0] == '0;
    b_zero = b[30:0] == '0;
    a_inf  = a[30:0] == fp_pkg::Inf;
    b_inf  = b[30:0] == fp_pkg::Inf;
    c_inf  = c[30:0] == fp_pkg::Inf;
    inf    = a_inf || b_inf || c_inf;
    nan    = fp_pkg::IsNan(a[30:0]) || fp_pkg::IsNan(b[30:0]) || fp_pkg::IsNan(c[30:0])
          || (a_inf && b_zero) || (a_zero && b_inf)
          || ((a_inf || b_inf) && c_inf && sign != c[31]);

    a_exp    = 9'(a[30:23]) | 9'(a[30:23] == '0);
    b_exp    = 9'(b[30:23]) | 9'(b[30:23] == '0);
    c_exp    = 9'(c[30:23]) | 9'(c[30:23] == '0);
    prod     = 48'({a[30:23] != '0, a[22:0]}) * 48'({b[30:23] != '0, b[22:0]});
    prod_exp = $signed({2'b0, a_exp}) + $signed({2'b0, b_exp}) - 11'sd127;
    gap      = prod_exp - $signed({2'b0, c_exp});
    // A zero product has no exponent of its own and must not push the addend out.
    prod_larger = gap > 11'sd0 && !a_zero && !b_zero;
    distance    = gap[10] ? 10'(-gap) : gap[9:0];
    // With a zero product and a positive gap any shift will do: there is nothing to shift.
    shift       = distance > 10'd63 ? 6'd63 : distance[5:0];
    exponent    = prod_larger ? prod_exp[8:0] : c_exp;
    Multiply    = {nan, inf, c_inf ? c[31] : sign, sign, c[31], !prod_larger, shift, exponent,
                   c[30:23] != '0, c[22:0], prod};
  endfunction

  // Window of 64 bits: product at 61..14, addend at 60..37, units of both at 60. The smaller
  // exponent's operand shifts right and its lost bits jam into bit 0; fp32.hpp has the proof that
  // rounding never sees the difference. The difference may turn out negative, for an unnormalised
  // product can have the larger exponent; the last stage takes two's complement.
  function automatic logic [63:0] Align(input logic [47:0] prod, input logic [23:0] add,
                                        input logic add_larger, input logic [5:0] shift,
                                        input logic sub);
    logic [63:0] still, moving, moved;
    logic        lost;
    still  = add_larger ? {3'b0, add, 37'b0} : {2'b0, prod, 14'b0};
    moving = add_larger ? {2'b0, prod, 14'b0} : {3'b0, add, 37'b0};
    lost   = (moving & ~({64{1'b1}} << shift)) != '0;
    moved  = (moving >> shift) | 64'(lost);
    Align  = still + (moved ^ {64{sub}}) + 64'(sub);
  endfunction

  aligned_t    s1_q;
  summed_t     s2_q;
  logic [31:0] res_q;

  always_ff @(posedge clk_i) begin
    if (en_i) begin
      s1_q <= Multiply(op_i, a_i, b_i, c_i);

      s2_q.nan      <= s1_q.nan;
      s2_q.inf      <= s1_q.inf;
      s2_q.inf_sign <= s1_q.inf_sign;
      s2_q.sign     <= s1_q.add_larger ? s1_q.add_sign : s1_q.prod_sign;
      s2_q.sub      <= s1_q.prod_sign ^ s1_q.add_sign;
      s2_q.exponent <= s1_q.exponent;
      s2_q.total    <= Align(s1_q.prod, s1_q.add, s1_q.add_larger, s1_q.shift,
                             s1_q.prod_sign ^ s1_q.add_sign);

      if (s2_q.nan) res_q <= fp_pkg::Nan;
      else if (s2_q.inf) res_q <= {s2_q.inf_sign, fp_pkg::Inf};
      else res_q <= fp_pkg::NormRound(s2_q.sign && !(s2_q.sub && s2_q.total == '0), s2_q.total,
                                      10'(s2_q.exponent) + 10'd3);
    end
  end

  assign res_o = res_q;
endmodule
