// One lane's element for all lanes: broadcasts a partition, or passes every partition by in turn.
//
//   raw elements of stage 2 --(pick lane)--> [bus] --> all lanes, stage 3
//
// With index_i the pipe is held while the lanes' elements follow each other on the bus, Rows + 1
// cycles for an element; each lane takes the one it waits for. One multiplexer, linear in the lanes.
// Timing  bus_o in the cycle after; hold_o from registers.
// Model   functional.cpp, Shuffle        Test  tb/vector/vector_engine_test.cpp
`default_nettype none
module lane_bus #(
  parameter  int unsigned Rows  = 16,
  localparam int unsigned LaneW = $clog2(Rows)  // derived
) (
  input  logic               clk_i,
  input  logic               rst_ni,
  input  logic               en_i,      // the pipe advances
  input  logic               on_i,      // the instruction needs the bus
  input  logic               index_i,
  input  logic [LaneW-1:0]   lane_i,    // of a broadcast
  input  logic               valid_2_i,
  input  logic [Rows*32-1:0] raw_i,     // stage 2
  output logic               hold_o,    // freeze the pipe
  output logic               valid_o,   // bus_o is lane lane_o's
  output logic [6:0]         lane_o,
  output logic [31:0]        bus_o
);
  logic [LaneW:0]   count_q;  // lanes that have been on the bus; Rows: and the last has been taken
  logic             valid_q;
  logic [LaneW-1:0] lane_q, lane;
  logic [31:0]      bus_q;
  logic             pass;

  assign pass   = on_i && index_i && valid_2_i;
  assign hold_o = pass && !(count_q[LaneW] && !valid_q);
  assign lane   = index_i ? count_q[LaneW-1:0] : lane_i;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      count_q <= '0;
      valid_q <= 1'b0;
    end else begin
      valid_q <= pass && !count_q[LaneW];
      if (pass && !count_q[LaneW]) count_q <= count_q + 1'b1;
      else if (en_i) count_q <= '0;
    end
  end
  always_ff @(posedge clk_i) begin
    if (on_i && valid_2_i) begin
      lane_q <= lane;
      if (index_i ? !count_q[LaneW] : en_i) bus_q <= raw_i[{lane, 5'd0} +: 32];
    end
  end
  assign valid_o = valid_q;
  assign lane_o  = 7'(lane_q);
  assign bus_o   = bus_q;
endmodule
