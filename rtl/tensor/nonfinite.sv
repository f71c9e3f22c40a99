// Counts the infinite and NaN words that an instruction writes.
//
//   words --exponent all ones?--[1]-- groups of 16 lanes --[2]-- sum --[3]-- + total --[4]-- count_o
//
// It counts writes: a word written twice counts twice. At the top the count stays.
//
// Timing  valid_o with count_o (not 0) comes four cycles after the instruction's last write, last_i.
// Model   sim/model/functional.cpp (CountedMatmul)        Test  tb/tensor/nonfinite_test.cpp, tensor_engine_test.cpp
`default_nettype none
module nonfinite #(
  parameter  int unsigned Rows   = 16,             // 8..128
  parameter  int unsigned CountW = 32,             // at least 8
  localparam int unsigned Groups = (Rows + 15) / 16
) (
  input  logic               clk_i,
  input  logic               rst_ni,
  input  logic               valid_i,  // words of an instruction that counts
  input  logic               last_i,   // its last ones
  input  logic [Rows-1:0]    lanes_i,
  input  logic [Rows*32-1:0] data_i,
  output logic               valid_o,
  output logic [CountW-1:0]  count_o
);
  logic [Rows-1:0]     bad_q;
  logic [5*Groups-1:0] group_q, group_d;
  logic [7:0]          sum_q, sum_d;
  logic [3:1]          valid_q, last_q;
  logic [CountW-1:0]   total_q, total_d;
  logic [CountW:0]     total;

  // Zero when idle: nothing is counted and nothing toggles.
  always_comb begin
    group_d = '0;
    if (valid_q[1]) begin
      for (int unsigned g = 0; g < Groups; g++) begin
        for (int unsigned r = 16 * g; r < 16 * g + 16 && r < Rows; r++) begin
          group_d[5*g +: 5] = group_d[5*g +: 5] + 5'(bad_q[r]);
        end
      end
    end
  end
  always_comb begin
    sum_d = '0;
    if (valid_q[2]) begin
      for (int unsigned g = 0; g < Groups; g++) sum_d = sum_d + 8'(group_q[5*g +: 5]);
    end
  end
  assign total   = (CountW+1)'(total_q) + (CountW+1)'(sum_q);
  assign total_d = total[CountW] ? '1 : total[CountW-1:0];

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      valid_q <= '0;
      total_q <= '0;
      valid_o <= 1'b0;
    end else begin
      valid_q <= {valid_q[2:1], valid_i};
      valid_o <= valid_q[3] && last_q[3] && total != '0;
      if (valid_q[3]) total_q <= last_q[3] ? '0 : total_d;
    end
  end
  always_ff @(posedge clk_i) begin
    if (valid_i) begin
      for (int unsigned r = 0; r < Rows; r++) bad_q[r] <= lanes_i[r] && data_i[32*r + 23 +: 8] == '1;
    end
    if (valid_q[1]) group_q <= group_d;
    if (valid_q[2]) sum_q   <= sum_d;
    last_q <= {last_q[2:1], last_i};
    if (valid_q[3]) count_o <= total_d;
  end
endmodule
