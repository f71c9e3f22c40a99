// Optional register in the maximum tree of dot_exponent: live candidates, own exponents, signs, flags.
//
// Timing  Cut cycles.
`default_nettype none
module exponent_cut #(
  parameter  int unsigned D    = 16,
  parameter  int unsigned Live = 8,     // candidates that are still in the race
  parameter  int unsigned Extra = 1,    // bits of whatever else travels along
  parameter  bit          Cut  = 1'b1,
  localparam int unsigned W    = D * 19 + 3 + Extra
) (
  input  logic         clk_i,
  input  logic [W-1:0] d_i,  // {candidates [9*D], exponents [9*D], signs [D], flags [3], extra}
  output logic [W-1:0] q_o
);
  localparam int unsigned Kept = D * 10 + 3 + Extra + Live * 9;
  if (Cut) begin : gen_cut
    logic [Kept-1:0] d_q;
    always_ff @(posedge clk_i) d_q <= d_i[Kept-1:0];
    assign q_o = W'(d_q);
    logic unused_candidates;
    assign unused_candidates = ^(d_i >> Kept);
  end else begin : gen_through
    assign q_o = d_i;
    logic unused_clock;
    assign unused_clock = clk_i;
  end
endmodule
