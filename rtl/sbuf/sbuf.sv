// State buffer: 8 single-port banks, interleaved by 8-byte word, shared by engines and DMA. A bank's
// partitions are four groups with an address of their own: a word access takes a bank with all its
// groups, a DMA access one group of as many banks as a chunk has words.
//
//   requests -> arbiter (greedy, rotating) -> 8 x 4 sram_1rw -> a bank select per port -> data
//
// Timing  grants are combinational from all requests; read data is valid in the cycle after the
//         grant only. A standing request is granted within 144 cycles, te_x within 2.
// Test    tb/sbuf/sbuf_test.cpp
`default_nettype none
`include "chk.svh"
module sbuf #(
  parameter  int unsigned Rows       = 16,  // partitions, power of two, 2..128
  parameter  int unsigned SbufBytes  = dither_pkg::SbufBytesOf(Rows),  // multiple of 64
  parameter  int unsigned ChunkBytes = dither_pkg::AxiBitsOf(Rows) / 8,  // DMA beat: 16, 32 or 64
  localparam int unsigned WordAddrW  = $clog2(SbufBytes / 8),
  localparam int unsigned ChunkAddrW = $clog2(SbufBytes / ChunkBytes),
  localparam int unsigned PartW      = $clog2(Rows),
  localparam int unsigned RowW       = Rows * 64  // bits of one word of all partitions
) (
  input  logic                    clk_i,
  input  logic                    rst_ni,
  // Word reads: tensor engine (moving, stationary), vector engine, scalar engine.
  input  logic                    te_x_req_i,
  input  logic [WordAddrW-1:0]    te_x_addr_i,
  output logic                    te_x_gnt_o,
  output logic [RowW-1:0]         te_x_data_o,
  input  logic                    te_w_req_i,
  input  logic [WordAddrW-1:0]    te_w_addr_i,
  output logic                    te_w_gnt_o,
  output logic [RowW-1:0]         te_w_data_o,
  input  logic                    ve_0_req_i,
  input  logic [WordAddrW-1:0]    ve_0_addr_i,
  output logic                    ve_0_gnt_o,
  output logic [RowW-1:0]         ve_0_data_o,
  input  logic                    ve_1_req_i,
  input  logic [WordAddrW-1:0]    ve_1_addr_i,
  output logic                    ve_1_gnt_o,
  output logic [RowW-1:0]         ve_1_data_o,
  input  logic                    se_0_req_i,
  input  logic [WordAddrW-1:0]    se_0_addr_i,
  output logic                    se_0_gnt_o,
  output logic [RowW-1:0]         se_0_data_o,
  input  logic                    se_1_req_i,
  input  logic [WordAddrW-1:0]    se_1_addr_i,
  output logic                    se_1_gnt_o,
  output logic [RowW-1:0]         se_1_data_o,
  // Word writes.
  input  logic                    ve_w_req_i,
  input  logic [WordAddrW-1:0]    ve_w_addr_i,
  input  logic [Rows-1:0]         ve_w_lanes_i,
  input  logic [7:0]              ve_w_bytes_i,
  input  logic [RowW-1:0]         ve_w_data_i,
  output logic                    ve_w_gnt_o,
  input  logic                    se_w_req_i,
  input  logic [WordAddrW-1:0]    se_w_addr_i,
  input  logic [Rows-1:0]         se_w_lanes_i,
  input  logic [7:0]              se_w_bytes_i,
  input  logic [RowW-1:0]         se_w_data_i,
  output logic                    se_w_gnt_o,
  // DMA channels: one chunk of one partition.
  input  logic                    d0_req_i,
  input  logic                    d0_we_i,
  input  logic [PartW-1:0]        d0_part_i,
  input  logic [ChunkAddrW-1:0]   d0_addr_i,
  input  logic [8*ChunkBytes-1:0] d0_wdata_i,
  input  logic [ChunkBytes-1:0]   d0_wbe_i,
  output logic                    d0_gnt_o,
  output logic [8*ChunkBytes-1:0] d0_rdata_o,
  input  logic                    d1_req_i,
  input  logic                    d1_we_i,
  input  logic [PartW-1:0]        d1_part_i,
  input  logic [ChunkAddrW-1:0]   d1_addr_i,
  input  logic [8*ChunkBytes-1:0] d1_wdata_i,
  input  logic [ChunkBytes-1:0]   d1_wbe_i,
  output logic                    d1_gnt_o,
  output logic [8*ChunkBytes-1:0] d1_rdata_o,
  output logic [3:0]              conflicts_o  // requests that were not granted this cycle
);
  localparam int unsigned Banks     = dither_pkg::SbufBanks;
  localparam int unsigned Groups    = Rows < 4 ? Rows : 4;  // of partitions, in each bank
  localparam int unsigned Lanes     = Rows / Groups;        // partitions of a group
  localparam int unsigned GroupW    = $clog2(Groups);
  localparam int unsigned BankAddrW = $clog2(SbufBytes / 64);
  localparam int unsigned ChunkWords = ChunkBytes / 8;  // banks that a chunk covers
  localparam int unsigned Ports     = 10;  // te_x te_w ve_0 ve_1 se_0 se_1 | ve_w se_w | d0 d1
  localparam int unsigned WordPorts = 8;
  localparam int unsigned ReadPorts = 6;
  localparam int unsigned Rotating  = Ports - 1;  // all but te_x take turns in being first

  if (ChunkBytes != 16 && ChunkBytes != 32 && ChunkBytes != 64) begin : gen_bad_chunk
    $error("sbuf: ChunkBytes must be 16, 32 or 64");
  end
  if (SbufBytes % 64 != 0 || SbufBytes < 128) begin : gen_bad_bytes
    $error("sbuf: SbufBytes must be a multiple of 64");
  end

  // ---- requests as word addresses, bank masks (mask 0: no request) and group masks ----
  logic [Ports-1:0]           req, gnt;
  logic [WordAddrW*Ports-1:0] addr;   // chunk addresses with the bits below the chunk zero
  logic [Banks*Ports-1:0]     mask;
  logic [Groups*Ports-1:0]    group;
  assign req  = {d1_req_i, d0_req_i, se_w_req_i, ve_w_req_i, se_1_req_i, se_0_req_i, ve_1_req_i,
                 ve_0_req_i, te_w_req_i, te_x_req_i};
  assign addr = {WordAddrW'(d1_addr_i) << $clog2(ChunkWords),
                 WordAddrW'(d0_addr_i) << $clog2(ChunkWords), se_w_addr_i, ve_w_addr_i,
                 se_1_addr_i, se_0_addr_i, ve_1_addr_i, ve_0_addr_i, te_w_addr_i, te_x_addr_i};
  assign group = {Groups'(1) << d1_part_i[PartW-1 -: GroupW],
                  Groups'(1) << d0_part_i[PartW-1 -: GroupW], {WordPorts{{Groups{1'b1}}}}};
  always_comb begin
    for (int unsigned p = 0; p < Ports; p++) begin
      mask[Banks*p +: Banks] = p < WordPorts ? 8'h01 : 8'((1 << ChunkWords) - 1);
      mask[Banks*p +: Banks] = req[p] ? mask[Banks*p +: Banks] << addr[WordAddrW*p +: 3] : 8'h00;
    end
  end

  // ---- arbiter ----
  // Greedy: a port takes all it needs if that is still free, else it leaves it to the next.
  // te_x feeds the array and comes first, except in every 16th cycle, when it comes last. Then come
  // the DMA ports, which need several banks at once and would hardly ever find them free behind
  // the engines; but in every fourth cycle the nine start with one of them, another every time. 16
  // and 9 have no common factor, so each is the very first of all once in 9 * 16 = 144 cycles, and
  // then nothing can stop it: the bound.
  logic [3:0] start_q, tick_q, first;
  logic       te_x_last;
  logic [Banks*Groups-1:0] taken;  // bank b of group g at Banks*g + b
  assign te_x_last = tick_q == 4'd15;
  assign first     = tick_q[1:0] == 2'd3 ? start_q : 4'(8 - 1);  // port 8, d0

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      start_q <= '0;
      tick_q  <= '0;
    end else begin
      start_q <= start_q == 4'(Rotating - 1) ? '0 : start_q + 4'd1;
      tick_q  <= tick_q + 4'd1;
    end
  end

  logic [Banks*Groups-1:0] want;
  logic [4:0]              port;  // start_q + k reaches 16
  logic [Ports-1:0]        hot;
  function automatic logic [Banks*Groups-1:0] Cells(input logic [Banks-1:0]  banks,
                                                    input logic [Groups-1:0] groups);
    for (int unsigned g = 0; g < Groups; g++) Cells[Banks*g +: Banks] = groups[g] ? banks : '0;
  endfunction
  always_comb begin
    gnt   = '0;
    taken = '0;
    port  = '0;
    hot   = '0;
    want  = '0;
    if (|req) begin
      if (!te_x_last) begin
        taken  = Cells(mask[0 +: Banks], '1);
        gnt[0] = req[0];
      end
      for (int unsigned k = 0; k < Rotating; k++) begin
        port = 5'(first) + 5'(k);
        if (port >= 5'(Rotating)) port -= 5'(Rotating);
        port = port + 5'd1;
        want = Cells(mask[{port[3:0], 3'd0} +: Banks], group[Groups*port[3:0] +: Groups]);
        hot  = Ports'(1) << port[3:0];
        if ((want & taken) == '0) begin
          taken |= want;
          gnt   |= hot & req;
        end
      end
      want = Cells(mask[0 +: Banks], '1);
      if (te_x_last && (want & taken) == '0) begin
        taken |= want;
        gnt[0] = req[0];
      end
    end
  end
  assign {d1_gnt_o, d0_gnt_o, se_w_gnt_o, ve_w_gnt_o, se_1_gnt_o, se_0_gnt_o, ve_1_gnt_o,
          ve_0_gnt_o, te_w_gnt_o, te_x_gnt_o} = gnt;
  assign conflicts_o = 4'($countones(req & ~gnt));

  // ---- banks ----
  logic [Lanes-1:0] d0_lanes, d1_lanes;  // of the group that the partition is in
  if (Lanes == 1) begin : gen_lane
    assign d0_lanes = '1;
    assign d1_lanes = '1;
  end else begin : gen_lanes
    assign d0_lanes = Lanes'(1) << d0_part_i[PartW-GroupW-1:0];
    assign d1_lanes = Lanes'(1) << d1_part_i[PartW-GroupW-1:0];
  end
  // owned[Banks*Groups*p + Banks*g + b]: port p owns bank b of group g in this cycle.
  logic [Banks*Groups*Ports-1:0] owned;
  always_comb begin
    for (int unsigned p = 0; p < Ports; p++) begin
      owned[Banks*Groups*p +: Banks*Groups] =
          gnt[p] ? Cells(mask[Banks*p +: Banks], group[Groups*p +: Groups]) : '0;
    end
  end

  for (genvar b = 0; b < Banks; b++) begin : gen_bank
    localparam int unsigned C = b % ChunkWords;  // this bank's word of a chunk
    logic [RowW-1:0] rdata;
    for (genvar g = 0; g < Groups; g++) begin : gen_group
      logic                 we;
      logic [BankAddrW-1:0] row;
      logic [Lanes-1:0]     lanes;
      logic [7:0]           bytes;
      logic [64*Lanes-1:0]  wdata;
      logic [Ports-1:0]     own;
      assign we  = own[6] || own[7] || (own[8] && d0_we_i) || (own[9] && d1_we_i);
      always_comb begin
        own = '0;
        row = '0;
        if (taken[Banks*g + b]) begin
          for (int unsigned p = 0; p < Ports; p++) begin
            own[p] = owned[Banks*Groups*p + Banks*g + b];
            if (own[p]) row |= addr[WordAddrW*p+3 +: BankAddrW];
          end
        end
      end
      // Wide data moves only in cycles that write.
      always_comb begin
        lanes = '0;
        bytes = '0;
        wdata = '0;
        if (we) begin
          if (own[6]) begin
            lanes = ve_w_lanes_i[Lanes*g +: Lanes];
            bytes = ve_w_bytes_i;
            wdata = ve_w_data_i[64*Lanes*g +: 64*Lanes];
          end else if (own[7]) begin
            lanes = se_w_lanes_i[Lanes*g +: Lanes];
            bytes = se_w_bytes_i;
            wdata = se_w_data_i[64*Lanes*g +: 64*Lanes];
          end else if (own[8]) begin
            lanes = d0_lanes;
            bytes = d0_wbe_i[8*C +: 8];
            wdata = {Lanes{d0_wdata_i[64*C +: 64]}};
          end else begin
            lanes = d1_lanes;
            bytes = d1_wbe_i[8*C +: 8];
            wdata = {Lanes{d1_wdata_i[64*C +: 64]}};
          end
        end
      end
      sram_1rw #(.Depth(SbufBytes / 64), .Lanes(Lanes), .Width(64)) u_sram (
        .clk_i,
        .req_i  (taken[Banks*g + b]),
        .we_i   (we),
        .addr_i (row),
        .lanes_i(lanes),
        .bytes_i(bytes),
        .wdata_i(wdata),
        .rdata_o(rdata[64*Lanes*g +: 64*Lanes])
      );
    end
  end

  // ---- read data ----
  logic [ReadPorts-1:0]   read_q;  // granted in the cycle before
  logic [3*ReadPorts-1:0] bank_q;
  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) read_q <= '0;
    else         read_q <= gnt[ReadPorts-1:0];
  end
  always_ff @(posedge clk_i) begin
    for (int unsigned p = 0; p < ReadPorts; p++) begin
      if (gnt[p]) bank_q[3*p +: 3] <= addr[WordAddrW*p +: 3];
    end
  end

  for (genvar p = 0; p < ReadPorts; p++) begin : gen_read
    logic [RowW-1:0] data;
    always_comb begin
      data = '0;
      if (read_q[p]) begin
        case (bank_q[3*p +: 3])
          3'd0:    data = gen_bank[0].rdata;
          3'd1:    data = gen_bank[1].rdata;
          3'd2:    data = gen_bank[2].rdata;
          3'd3:    data = gen_bank[3].rdata;
          3'd4:    data = gen_bank[4].rdata;
          3'd5:    data = gen_bank[5].rdata;
          3'd6:    data = gen_bank[6].rdata;
          default: data = gen_bank[7].rdata;
        endcase
      end
    end
  end
  assign te_x_data_o = gen_read[0].data;
  assign te_w_data_o = gen_read[1].data;
  assign ve_0_data_o = gen_read[2].data;
  assign ve_1_data_o = gen_read[3].data;
  assign se_0_data_o = gen_read[4].data;
  assign se_1_data_o = gen_read[5].data;

  // A chunk gathers the words of its partition from the banks that it was granted.
  logic [1:0]         chunk_read, chunk_q;
  logic [2*Banks-1:0] chunk_mask_q;
  logic [2*PartW-1:0] part_q;
  assign chunk_read = {gnt[9] && !d1_we_i, gnt[8] && !d0_we_i};
  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) chunk_q <= '0;
    else         chunk_q <= chunk_read;
  end
  always_ff @(posedge clk_i) begin
    if (chunk_read[0]) begin
      chunk_mask_q[0 +: Banks] <= mask[Banks*8 +: Banks];
      part_q[0 +: PartW]       <= d0_part_i;
    end
    if (chunk_read[1]) begin
      chunk_mask_q[Banks +: Banks] <= mask[Banks*9 +: Banks];
      part_q[PartW +: PartW]       <= d1_part_i;
    end
  end

  for (genvar d = 0; d < 2; d++) begin : gen_chunk
    logic [8*ChunkBytes-1:0] data;
    logic [64*Banks-1:0]     words;
    always_comb begin
      words = '0;
      if (chunk_q[d]) begin
        words = {gen_bank[7].rdata[{part_q[PartW*d +: PartW], 6'd0} +: 64],
                 gen_bank[6].rdata[{part_q[PartW*d +: PartW], 6'd0} +: 64],
                 gen_bank[5].rdata[{part_q[PartW*d +: PartW], 6'd0} +: 64],
                 gen_bank[4].rdata[{part_q[PartW*d +: PartW], 6'd0} +: 64],
                 gen_bank[3].rdata[{part_q[PartW*d +: PartW], 6'd0} +: 64],
                 gen_bank[2].rdata[{part_q[PartW*d +: PartW], 6'd0} +: 64],
                 gen_bank[1].rdata[{part_q[PartW*d +: PartW], 6'd0} +: 64],
                 gen_bank[0].rdata[{part_q[PartW*d +: PartW], 6'd0} +: 64]};
      end
    end
    always_comb begin
      data = '0;
      if (chunk_q[d]) begin
        for (int unsigned b = 0; b < Banks; b++) begin
          if (chunk_mask_q[Banks*d + b]) data[64*(b % ChunkWords) +: 64] |= words[64*b +: 64];
        end
      end
    end
  end
  assign d0_rdata_o = gen_chunk[0].data;
  assign d1_rdata_o = gen_chunk[1].data;

  // Only requests are granted.
  `CHK(GrantRequested_A, (gnt & ~req) == '0)
  // No two grants share a group of a bank.
  for (genvar b = 0; b < Banks; b++) begin : gen_chk_bank
    for (genvar g = 0; g < Groups; g++) begin : gen_chk_group
      `CHK(BankOnce_A, $onehot0(gen_bank[b].gen_group[g].own))
    end
  end
endmodule
