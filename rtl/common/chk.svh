// The only assertion vocabulary of the project: CHK(name, condition) checks on every clock edge out
// of reset. Empty for synthesis; an immediate assertion for Verilator and for yosys -formal.
`ifndef DITHER_CHK_SVH
`define DITHER_CHK_SVH
`ifdef SYNTHESIS
`define CHK(__name, __cond)
`else
`define CHK(__name, __cond) \
  always_ff @(posedge clk_i) begin \
    if (rst_ni) begin \
      __name: assert (__cond); \
    end \
  end
`endif
`endif
