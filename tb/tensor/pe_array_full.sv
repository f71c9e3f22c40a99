// The PE array at full size, 128 x 128, as a top of its own: hierarchical verilation hands command-line parameters
// to every block, so the size is fixed here instead.
`default_nettype none
module pe_array_full #(
  localparam int unsigned Rows    = 128,
  // As tb/tensor/array_public.vlt shows them to the benches.
  localparam int unsigned Cols    = Rows,
  localparam int unsigned D       = array_pkg::DotWidth(Rows),
  localparam bit          Pairs   = 1'b0,
  localparam int unsigned Latency = array_pkg::Latency(Rows, Cols, D, array_pkg::GroupCols(Cols), array_pkg::Cuts)
) (
  input  logic               clk_i,
  input  logic               rst_ni,
  input  logic               w_valid_i,
  input  logic [Rows*17-1:0] w_i,
  input  logic               w_nan_i,
  input  logic               swap_i,
  input  logic               x_valid_i,
  input  logic [Rows*17-1:0] x_i,
  input  logic               x_nan_i,
  input  logic [1:0]         mode_i,
  input  logic               int_i,
  input  logic [1:0]         shift_i,
  input  logic               acc_i,
  input  logic [Rows*32-1:0] psum_i,
  output logic [Rows*32-1:0] res_o
);
  pe_array #(.Rows(Rows), .Pairs(Pairs)) u_array (
    .clk_i, .rst_ni, .w_valid_i, .w_i, .w_nan_i, .swap_i, .x_valid_i, .x_i, .x_nan_i, .mode_i, .int_i, .shift_i, .acc_i,
    .psum_i, .res_o
  );
endmodule
