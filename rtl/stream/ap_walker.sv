// Byte address of one operand's current element, walked along with ap_loop.
//
//   base[dim] + stride[dim] --> next_o --(step)--> base[dim .. 0]      addr_o = base[0]
//
// base[k] is the address of the current element with the indices below k at 0, where the next row
// of dimension k starts from: a step is one addition whatever wraps, without rewind amounts. It is
// modulo 2^AddrW: the checker has proved that every element lies inside the memory.
// Test    tb/vector/vector_engine_test.cpp
`default_nettype none
module ap_walker #(
  parameter int unsigned AddrW = 16  // bits of a byte address, 14..24
) (
  input  logic             clk_i,
  input  logic             load_i,
  input  logic [AddrW-1:0] off_i,
  input  logic [63:0]      str_i,   // four signed strides of 16 bits, in elements
  input  logic [1:0]       esize_i, // log2 of the element's bytes, 0..2
  input  logic             step_i,
  input  logic [1:0]       dim_i,   // ap_loop's dim_o
  input  logic             again_i, // ap_loop's again_o: back to where dimension 0 started
  output logic [AddrW-1:0] addr_o,
  output logic [AddrW-1:0] next_o   // address after the next step
);
  if (AddrW < 14 || AddrW > 24) begin : gen_bad_addrw
    $error("ap_walker: AddrW must be in 14..24");
  end

  logic [4*AddrW-1:0] base_q;
  logic [4*AddrW-1:0] str_q;   // in bytes
  logic [AddrW-1:0]   base, stride;

  always_comb begin
    case (dim_i)
      2'd0:    {base, stride} = {base_q[0       +: AddrW], str_q[0       +: AddrW]};
      2'd1:    {base, stride} = {base_q[AddrW   +: AddrW], str_q[AddrW   +: AddrW]};
      2'd2:    {base, stride} = {base_q[2*AddrW +: AddrW], str_q[2*AddrW +: AddrW]};
      default: {base, stride} = {base_q[3*AddrW +: AddrW], str_q[3*AddrW +: AddrW]};
    endcase
  end
  assign addr_o = base_q[0 +: AddrW];
  assign next_o = again_i ? base_q[AddrW +: AddrW] : base + stride;

  always_ff @(posedge clk_i) begin
    if (load_i) begin
      for (int unsigned k = 0; k < 4; k++) begin
        base_q[AddrW*k +: AddrW] <= off_i;
        str_q[AddrW*k +: AddrW]  <= AddrW'(24'($signed(str_i[16*k +: 16])) << esize_i);
      end
    end else if (step_i) begin
      for (int unsigned k = 0; k < 4; k++) begin
        if (again_i ? k == 0 : 2'(k) <= dim_i) base_q[AddrW*k +: AddrW] <= next_o;
      end
    end
  end
endmodule
