// The random words of an engine's lanes: an LFSR per lane, on disjoint sequences, and CSR access.
//
// Timing  state_o are registers. A lane's state moves on after a cycle with its advance_i.
// Model   sim/model/lfsr.hpp, LaneSeed and Leap        Test  tb/vector/vector_engine_test.cpp
`default_nettype none
module lane_rng #(
  parameter int unsigned Rows      = 16,  // lanes of this engine
  parameter int unsigned FirstLane = 0,   // number of its first lane among all
  parameter int unsigned Lanes     = 32   // lanes of all engines
) (
  input  logic               clk_i,
  input  logic               rst_ni,
  input  logic [Rows-1:0]    advance_i,
  output logic [Rows*32-1:0] state_o,
  input  logic               we_i,
  input  logic [7:0]         lane_i,
  input  logic [31:0]        wdata_i,
  output logic [31:0]        rdata_o
);
  localparam int unsigned LaneW = $clog2(Rows);

  // Outside the lanes, which modules with a constant of their own would make all different.
  for (genvar l = 0; l < Rows; l++) begin : gen_lane
    lfsr #(.ResetState(lane_seed_pkg::LaneSeed(FirstLane + l, Lanes))) u_lfsr (
      .clk_i,
      .rst_ni,
      .advance_i   (advance_i[l]),
      .load_i      (we_i && lane_i == 8'(l)),
      .load_value_i(wdata_i),
      .state_o     (state_o[32*l +: 32])
    );
  end
  assign rdata_o = lane_i < 8'(Rows) ? state_o[{lane_i[LaneW-1:0], 5'd0} +: 32] : '0;
endmodule
