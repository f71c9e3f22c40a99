// The random words of an engine's lanes: an LFSR per lane, on disjoint sequences, and CSR access.
//
// Timing  word_o are functions of registers. A lane moves on after a cycle with its advance_i.
// Model   sim/model/lfsr.hpp, LaneSeed, Leap, RandomWord    Test  tb/vector/vector_engine_test.cpp
`default_nettype none
module lane_rng #(
  parameter int unsigned Rows      = 16,  // lanes of this engine
  parameter int unsigned FirstLane = 0,   // number of its first lane among all
  parameter int unsigned Lanes     = 32,  // lanes of all engines
  parameter bit          Whiten    = 1'b1,
  parameter bit          Pairs     = 1'b0 // two words a lane and cycle
) (
  input  logic               clk_i,
  input  logic               rst_ni,
  input  logic [Rows-1:0]    advance_i,
  input  logic               two_i,     // who moves on has used both words (Pairs)
  output logic [Rows*24-1:0] word_o,
  output logic [Rows*24-1:0] word_2_o,  // the ones behind (Pairs)
  input  logic               we_i,
  input  logic [7:0]         lane_i,
  input  logic [31:0]        wdata_i,
  output logic [31:0]        rdata_o
);
  localparam int unsigned LaneW = $clog2(Rows);

  logic [Rows*32-1:0] state;
  logic [31:0]        wdata;  // zero, which no LFSR leaves, is stored as one
  assign wdata = {wdata_i[31:1], wdata_i[0] || wdata_i == '0};

  // Outside the lanes, which modules with a constant of their own would make all different.
  for (genvar l = 0; l < Rows; l++) begin : gen_lane
    lfsr #(
      .ResetState(lane_seed_pkg::LaneSeed(FirstLane + l, Lanes)), .Whiten(Whiten), .Pairs(Pairs)
    ) u_lfsr (
      .clk_i,
      .rst_ni,
      .advance_i   (advance_i[l]),
      .two_i,
      .load_i      (we_i && lane_i == 8'(l)),
      .load_value_i(wdata),
      .state_o     (state[32*l +: 32]),
      .word_o      (word_o[24*l +: 24]),
      .word_2_o    (word_2_o[24*l +: 24])
    );
  end
  assign rdata_o = lane_i < 8'(Rows) ? state[{lane_i[LaneW-1:0], 5'd0} +: 32] : '0;
endmodule
