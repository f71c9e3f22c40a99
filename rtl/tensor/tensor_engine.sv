// Tensor engine: runs matmul and transpose instructions on the PE array, from SBUF into PSUM.
//
//   instr ─► P (prepared) ─► W (stationary tile loads) ─► X (moving columns issue) ─► array ─► PSUM
//
// Three instructions overlap, so that a tile loads while the one before it computes: with N >= M + part_d
// moving columns back-to-back tiles lose no cycle, whatever their dtypes. Issue stalls when SBUF is taken or an
// accumulate would read a PSUM word that is still on its way; behind issue nothing stalls.
// Timing  issue to PSUM write: ArrayLatency + 7 cycles.     Model  sim/model/column_sum.hpp
// Test    tb/tensor/tensor_engine_test.cpp
`default_nettype none
`include "chk.svh"
module tensor_engine #(
  parameter  int unsigned Rows      = 16,
  parameter  int unsigned SbufBytes = dither_pkg::SbufBytesOf(Rows),
  parameter  bit          Pairs     = 1'b0,  // matmuls of 8-bit pairs
  localparam int unsigned ByteW     = $clog2(SbufBytes),
  localparam int unsigned WordW     = $clog2(SbufBytes / 8)
) (
  input  logic               clk_i,
  input  logic               rst_ni,
  // From the sequencer
  input  logic               instr_valid_i,
  input  logic [511:0]       instr_i,
  output logic               instr_ready_o,
  output logic               done_o,
  output logic               busy_o,
  output logic               stall_o,
  output logic [7:0]         work_o,
  output logic               nonfinite_valid_o,  // four cycles after done_o of an instruction that counted some
  output logic [31:0]        nonfinite_count_o,
  // SBUF
  output logic               te_x_req_o,
  output logic [WordW-1:0]   te_x_addr_o,
  input  logic               te_x_gnt_i,
  input  logic [Rows*64-1:0] te_x_data_i,
  output logic               te_w_req_o,
  output logic [WordW-1:0]   te_w_addr_o,
  input  logic               te_w_gnt_i,
  input  logic [Rows*64-1:0] te_w_data_i,
  // PSUM
  output logic               te_r_req_o,
  output logic [11:0]        te_r_addr_o,
  input  logic [Rows*32-1:0] te_r_data_i,
  output logic               te_w_psum_req_o,
  output logic [11:0]        te_w_psum_addr_o,
  output logic [Rows-1:0]    te_w_psum_lanes_o,
  output logic [Rows*32-1:0] te_w_psum_data_o
);
  localparam int unsigned OperandW = array_pkg::OperandBits(Pairs);
  localparam int unsigned ArrayLatency =
      array_pkg::Latency(Rows, Rows, array_pkg::DotWidth(Rows), array_pkg::GroupCols(Rows), array_pkg::Cuts);
  localparam int unsigned ReadAge  = ArrayLatency + 3;  // cycles from issue to PSUM read
  localparam int unsigned WriteAge = ArrayLatency + 7;  // cycles from issue to PSUM write
  localparam int unsigned Hazard   = WriteAge - ReadAge;  // an accumulate waits for the last so many columns
  localparam int unsigned MaxInside = 4;

  // Rows (or columns) first .. first+count-1 of each of the 2^tiles tiles.
  function automatic logic [Rows-1:0] mask(input logic [1:0] tiles, input logic [7:0] first,
                                           input logic [7:0] count);
    logic [8:0] row;  // in its tile
    for (int unsigned r = 0; r < Rows; r++) begin
      row     = tiles == 2'd0 ? 9'(r) : tiles == 2'd1 ? 9'(r % (Rows / 2)) : 9'(r % (Rows / 4));
      mask[r] = row >= 9'(first) && row < 9'(first) + 9'(count);
    end
  endfunction
  // Rows of one tile.
  function automatic logic [Rows-1:0] tile_rows(input logic [1:0] tiles, input logic [1:0] tile);
    for (int unsigned r = 0; r < Rows; r++) begin
      tile_rows[r] = tiles == 2'd0 || (tiles == 2'd1 ? 2'(r / (Rows / 2)) : 2'(r / (Rows / 4))) == tile;
    end
  endfunction
  // log2 of the element size; a pair has two bytes
  function automatic logic [1:0] esize(input logic [3:0] dtype, input logic pair);
    esize = Pairs && pair ? 2'd1 : 2'(dither_pkg::DtypeBytes(dtype) >> 1);  // 1, 2, 4 -> 0, 1, 2
  endfunction

  // ------------------------------------------------------------------ P: start of the last stationary column
  dither_pkg::instr_t p_q, w_q, instr;
  logic               p_valid_q, p_ready_q, p_take, w_take, x_take;
  logic [ByteW-1:0]   p_start_q;
  logic [7:0]         p_tail;  // columns behind the first
  logic               unused_instr;
  assign unused_instr  = ^w_q;  // the engine needs only some fields
  assign instr         = instr_i;
  logic p_transpose, p_reuse;
  assign p_transpose   = p_q.opcode == dither_pkg::OpTranspose;
  assign p_reuse       = p_q.reuse && !p_transpose;
  assign p_tail        = p_q.parts_d - 8'd1;
  assign instr_ready_o = !p_valid_q || p_take;

  // ------------------------------------------------------------------ W: load the stationary tile
  logic             w_valid_q, w_loaded_q, w_fire, w_last, w_elem_ready, w_ready, w_zero;
  logic [ByteW-1:0] w_addr_q, w_step;
  logic [7:0]       w_left_q;   // columns of the tile still to send, then the zero columns west of it
  logic [7:0]       w_zeros_q;
  logic [1:0]       w_tiles_q;  // tiles behind this one: its own number
  logic [7:0]       w_gap, w_gap_q;  // zero columns between tiles
  logic [ByteW-1:0] w_start_q;
  logic             w_reuse_q, w_transpose_q, w_tile_end;
  logic             w_fire1_q, w_valid2_q;

  // ------------------------------------------------------------------ X: issue moving columns
  logic             x_valid_q, x_swap_q, x_acc_q, x_first_q;
  logic             x_one_q;            // transpose: one-hot columns, nothing is read
  logic             x_int_q;            // the foot's mode
  logic [1:0]       x_shift_q;
  logic             x_fire, x_go, x_elem_ready, x_ready, x_last, hazard;
  logic [1:0]       x_dim;
  logic [ByteW-1:0] x_addr;
  logic [13:0]      d_addr;
  logic [1:0]       unused_d_byte;
  assign unused_d_byte = d_addr[1:0];  // words only

  // Hand-over. W keeps its instruction until X takes it.
  assign x_take = w_valid_q && (w_loaded_q || w_last) && (!x_valid_q || (x_fire && x_last));
  assign w_take = p_valid_q && p_ready_q && (!w_valid_q || x_take);
  assign p_take = w_take;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      p_valid_q <= 1'b0;
      p_ready_q <= 1'b0;
    end else begin
      if (instr_valid_i && instr_ready_o) begin
        p_valid_q <= 1'b1;
        p_ready_q <= 1'b0;
      end else if (p_take) begin
        p_valid_q <= 1'b0;
      end else begin
        p_ready_q <= p_valid_q;
      end
    end
  end
  always_ff @(posedge clk_i) begin
    if (instr_valid_i && instr_ready_o) p_q <= instr;
    if (p_valid_q && !p_ready_q) begin
      p_start_q <= ByteW'(p_q.off_1)
                 + ByteW'((24'($signed(p_q.str_1[0])) * 24'(p_tail)) << esize(p_q.dtype_1, p_q.pair));
    end
  end

  // The tile enters from the west, its last column first; part_d zero columns push it to its place. Of tiles side
  // by side the easternmost enters first, with zero columns between them. The shadow weights are free once X has
  // issued the first column of the instruction before (its swap).
  assign w_zero = w_left_q == '0;
  logic w_go;
  assign w_go    = w_valid_q && !w_loaded_q && (!x_swap_q || x_go);
  assign w_ready = w_zero || w_elem_ready;
  assign w_fire  = w_go && w_ready && (!x_swap_q || x_fire);
  assign w_tile_end = w_left_q + w_zeros_q == 8'd1;
  assign w_last  = w_fire && w_tile_end && w_tiles_q == '0;
  assign w_gap   = 8'(Rows >> p_q.tiles) - p_q.parts_d;
  assign w_step  = ByteW'(24'($signed(w_q.str_1[0])) << esize(w_q.dtype_1, w_q.pair));

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      w_valid_q  <= 1'b0;
      w_loaded_q <= 1'b0;
      w_fire1_q  <= 1'b0;
      w_valid2_q <= 1'b0;
    end else begin
      if (w_take) begin
        w_valid_q  <= 1'b1;
        w_loaded_q <= p_reuse;
      end else if (x_take) begin
        w_valid_q  <= 1'b0;
      end else if (w_last) begin
        w_loaded_q <= 1'b1;
      end
      w_fire1_q  <= w_fire;
      w_valid2_q <= w_fire1_q;
    end
  end
  always_ff @(posedge clk_i) begin
    if (w_take) begin
      w_q       <= p_q;
      w_addr_q  <= p_start_q;
      w_start_q <= p_start_q;
      w_left_q  <= p_q.parts_d;
      w_zeros_q <= p_q.tiles == 2'd0 ? p_q.part_d : w_gap;
      w_gap_q   <= w_gap;
      w_tiles_q <= p_q.tiles == 2'd0 ? 2'd0 : p_q.tiles == 2'd1 ? 2'd1 : 2'd3;
      w_reuse_q     <= p_reuse;
      w_transpose_q <= p_transpose;
    end else if (w_fire) begin
      w_addr_q <= w_addr_q - w_step;
      if (w_zero) w_zeros_q <= w_zeros_q - 8'd1;
      else        w_left_q  <= w_left_q - 8'd1;
      if (w_tile_end && w_tiles_q != '0) begin
        w_addr_q  <= w_start_q;
        w_left_q  <= w_q.parts_d;
        w_zeros_q <= w_tiles_q == 2'd1 ? w_q.part_d : w_gap_q;
        w_tiles_q <= w_tiles_q - 2'd1;
      end
    end
  end

  logic [Rows*32-1:0] w_elem, x_elem;
  logic               unused_w_psum, unused_x_psum;
  logic [11:0]        unused_w_psum_addr, unused_x_psum_addr;
  stream_reader #(.Rows(Rows), .AddrW(ByteW)) u_w_reader (
    .clk_i,
    .rst_ni,
    .load_i      (w_take),
    .en_i        (1'b1),
    .space_i     (dither_pkg::SpaceSbuf),
    .valid_i     (w_go && !w_zero),
    .addr_i      (w_addr_q),
    .next_i      ('0),
    .last_i      (1'b1),
    .ready_o     (w_elem_ready),
    .fire_i      (w_fire && !w_zero),
    .valid_1_i   (w_fire1_q),
    .elem_o      (w_elem),
    .sbuf_req_o  (te_w_req_o),
    .sbuf_addr_o (te_w_addr_o),
    .sbuf_gnt_i  (te_w_gnt_i),
    .sbuf_data_i (te_w_data_i),
    .psum_req_o  (unused_w_psum),
    .psum_addr_o (unused_w_psum_addr),
    .psum_gnt_i  (1'b0),
    .psum_data_i ('0)
  );

  // Moving columns
  logic hit;
  assign hazard = x_acc_q && hit;
  assign x_go   = x_valid_q && !hazard;
  assign x_ready = x_one_q || x_elem_ready;
  assign x_fire  = x_go && x_ready;

  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      x_valid_q <= 1'b0;
      x_swap_q  <= 1'b0;
    end else begin
      if (x_take) begin
        x_valid_q <= 1'b1;
        x_swap_q  <= !w_reuse_q;
      end else if (x_fire) begin
        x_swap_q <= 1'b0;
        if (x_last) x_valid_q <= 1'b0;
      end
    end
  end
  always_ff @(posedge clk_i) begin
    if (x_take) begin
      x_acc_q   <= w_q.acc;
      x_first_q <= 1'b1;
      x_one_q   <= w_transpose_q;
      x_int_q   <= w_transpose_q || w_q.dtype_d == dither_pkg::DtypeInt32;
      // A byte goes to its place in the word; bf16 into the upper half.
      x_shift_q <= !w_transpose_q || w_q.func == dither_pkg::TransposeFuncByte ? 2'd0
                 : w_q.piece_1 + {w_q.dtype_1 == dither_pkg::DtypeBf16, 1'b0};
    end else if (x_fire) begin
      x_first_q <= 1'b0;
    end
  end

  logic             unused_group_first, unused_group_last, unused_again, unused_second;
  logic [ByteW-1:0] x_next;
  logic [1:0]       unused_x_next;
  assign unused_x_next = x_next[1:0];
  logic [13:0]      unused_d_next;
  ap_loop u_loop (
    .clk_i,
    .rst_ni,
    .load_i        (x_take),
    .size_i        (w_q.size),
    .group_i       (3'd0),
    .twice_i       (1'b0),
    .step_i        (x_fire),
    .dim_o         (x_dim),
    .again_o       (unused_again),
    .second_o      (unused_second),
    .last_o        (x_last),
    .group_first_o (unused_group_first),
    .group_last_o  (unused_group_last)
  );
  ap_walker #(.AddrW(ByteW)) u_x_walker (
    .clk_i,
    .load_i  (x_take),
    .off_i   (w_q.off_0[ByteW-1:0]),
    .str_i   (w_q.str_0),
    .esize_i (esize(w_q.dtype_0, w_q.pair)),
    .step_i  (x_fire),
    .dim_i   (x_dim),
    .again_i (1'b0),
    .addr_o  (x_addr),
    .next_o  (x_next)
  );
  ap_walker #(.AddrW(14)) u_d_walker (
    .clk_i,
    .load_i  (x_take),
    .off_i   (w_q.off_d[13:0]),
    .str_i   (w_q.str_d),
    .esize_i (2'd2),
    .step_i  (x_fire),
    .dim_i   (x_dim),
    .again_i (1'b0),
    .addr_o  (d_addr),
    .next_o  (unused_d_next)
  );
  stream_reader #(.Rows(Rows), .AddrW(ByteW), .Prefetch(1'b1)) u_x_reader (
    .clk_i,
    .rst_ni,
    .load_i      (x_take),
    .en_i        (1'b1),
    .space_i     (dither_pkg::SpaceSbuf),
    .valid_i     (x_go && !x_one_q),
    .addr_i      (x_addr),
    .next_i      (x_next[ByteW-1:2]),
    .last_i      (x_last),
    .ready_o     (x_elem_ready),
    .fire_i      (x_fire && !x_one_q),
    .valid_1_i   (v_q[1]),
    .elem_o      (x_elem),
    .sbuf_req_o  (te_x_req_o),
    .sbuf_addr_o (te_x_addr_o),
    .sbuf_gnt_i  (te_x_gnt_i),
    .sbuf_data_i (te_x_data_i),
    .psum_req_o  (unused_x_psum),
    .psum_addr_o (unused_x_psum_addr),
    .psum_gnt_i  (1'b0),
    .psum_data_i ('0)
  );

  // ------------------------------------------------------------------ columns on their way
  // Entry k of each vector belongs to the column issued k cycles ago.
  logic [WriteAge:1]    v_q, last_q, acc_q;
  logic [12*WriteAge-1:0] addr_q;  // entry k at 12*(k-1)
  logic [ArrayLatency+2:1]       int_q;
  logic [2*(ArrayLatency+2)-1:0] shift_q;
  logic                 swap1_q;
  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      v_q     <= '0;
      swap1_q <= 1'b0;
    end else begin
      v_q     <= {v_q[WriteAge-1:1], x_fire};
      swap1_q <= x_fire && x_swap_q;
    end
  end
  always_ff @(posedge clk_i) begin
    if (x_fire || v_q != '0) begin
      last_q <= {last_q[WriteAge-1:1], x_last};
      acc_q  <= {acc_q[WriteAge-1:1], x_acc_q};
      addr_q <= {addr_q[12*(WriteAge-1)-1:0], d_addr[13:2]};
      int_q   <= {int_q[ArrayLatency+1:1], x_int_q};
      shift_q <= {shift_q[2*(ArrayLatency+1)-1:0], x_shift_q};
    end
  end
  always_comb begin
    hit = 1'b0;
    for (int unsigned k = 1; k <= Hazard; k++) begin
      if (v_q[k] && addr_q[12*(k-1) +: 12] == d_addr[13:2]) hit = 1'b1;
    end
  end

  // Row masks and modes travel with the first column (x) and the first weights (w) of an instruction; of a
  // transpose with every column, as its row moves.
  // Mode: {pair, dtype, piece, finite} and {one} or {byte, signed}.
  logic [Rows-1:0] x_rows_q, x_rows1_q, x_rows2_q, w_rows_q, w_rows1_q, w_rows2_q;
  logic [8:0]      x_mode_q, x_mode1_q, x_mode2_q;
  logic [9:0]      w_mode_q, w_mode1_q, w_mode2_q;
  logic            x_load1_q, p_finite, w_finite_q;
  assign p_finite = (p_q.piece_0 | p_q.piece_1) != '0 && !p_transpose;
  always_ff @(posedge clk_i) begin
    if (w_take) begin
      w_rows_q   <= mask(p_q.tiles, p_q.part_1, p_q.parts);
      w_finite_q <= p_finite;
      w_mode_q   <= {Pairs && p_q.pair, p_q.dtype_1, p_q.piece_1, p_finite, p_transpose,
                     p_q.func == dither_pkg::TransposeFuncByte || esize(p_q.dtype_1, 1'b0) == 2'd0};
    end
    if (x_take) begin
      x_rows_q <= w_transpose_q ? mask(2'd0, w_q.part_1, 8'd1) : w_rows_q;
      x_mode_q <= {Pairs && w_q.pair, w_q.dtype_0, w_q.piece_0, w_finite_q, w_transpose_q};
    end else if (x_fire && x_one_q) begin
      x_rows_q <= x_rows_q << 1;
    end
    if (x_fire && (x_first_q || x_one_q)) begin
      x_rows1_q <= x_rows_q;
      x_mode1_q <= x_mode_q;
    end
    x_load1_q <= x_fire && (x_first_q || x_one_q);
    if (x_load1_q) begin
      x_rows2_q <= x_rows1_q;
      x_mode2_q <= x_mode1_q;
    end
    if (w_fire) begin
      w_rows1_q <= w_zero ? '0 : w_rows_q & tile_rows(w_q.tiles, w_tiles_q);
      w_mode1_q <= w_mode_q;
    end
    if (w_fire1_q) begin
      w_rows2_q <= w_rows1_q;
      w_mode2_q <= w_mode1_q;
    end
  end

  logic [Rows*17-1:0]       x_single, w_single;
  logic                     x_single_nan, w_single_nan, x_nan, w_nan;
  logic [Rows*OperandW-1:0] x_operand, w_operand;
  logic [1:0]               array_mode;
  operand_decode #(.Rows(Rows)) u_x_decode (
    .dtype_i   (x_mode2_q[7:4]),
    .piece_i   (x_mode2_q[3:2]),
    .finite_i  (x_mode2_q[1]),
    .byte_i    (1'b0),
    .signed_i  (1'b0),
    .one_i     (x_mode2_q[0]),
    .rows_i    (x_rows2_q),
    .elem_i    (x_elem),
    .operand_o (x_single),
    .nan_o     (x_single_nan)
  );
  operand_decode #(.Rows(Rows)) u_w_decode (
    .dtype_i   (w_mode2_q[8:5]),
    .piece_i   (w_mode2_q[4:3]),
    .finite_i  (w_mode2_q[2]),
    .byte_i    (w_mode2_q[1]),
    .signed_i  (w_mode2_q[0]),
    .one_i     (1'b0),
    .rows_i    (w_rows2_q),
    .elem_i    (w_elem),
    .operand_o (w_single),
    .nan_o     (w_single_nan)
  );
  if (Pairs) begin : gen_pairs
    logic [Rows*20-1:0] x_pair, w_pair;
    logic               x_pair_nan, w_pair_nan;
    pair_decode #(.Rows(Rows)) u_x_pair (
      .dtype_i (x_mode2_q[7:4]), .rows_i (x_rows2_q), .elem_i (x_elem), .operand_o (x_pair), .nan_o (x_pair_nan)
    );
    pair_decode #(.Rows(Rows)) u_w_pair (
      .dtype_i (w_mode2_q[8:5]), .rows_i (w_rows2_q), .elem_i (w_elem), .operand_o (w_pair), .nan_o (w_pair_nan)
    );
    for (genvar r = 0; r < Rows; r++) begin : gen_row
      // The sign of a single operand counts for both bytes of its products.
      assign x_operand[20*r +: 20] = x_mode2_q[8] ? x_pair[20*r +: 20]
                                   : {x_single[17*r+16], 2'b0, x_single[17*r +: 17]};
      assign w_operand[20*r +: 20] = w_mode2_q[9] ? w_pair[20*r +: 20]
                                   : {w_single[17*r+16], 2'b0, w_single[17*r +: 17]};
    end
    assign x_nan = x_mode2_q[8] ? x_pair_nan : x_single_nan;
    assign w_nan = w_mode2_q[9] ? w_pair_nan : w_single_nan;
    assign array_mode = !x_mode2_q[8] ? array_pkg::ModeSingle
                      : x_mode2_q[7:4] == dither_pkg::DtypeInt8 ? array_pkg::ModeInt8 : array_pkg::ModeFp8;
  end else begin : gen_single
    assign x_operand  = x_single;
    assign w_operand  = w_single;
    assign x_nan      = x_single_nan;
    assign w_nan      = w_single_nan;
    assign array_mode = array_pkg::ModeSingle;
    logic unused_pair;
    assign unused_pair = x_mode2_q[8] ^ w_mode2_q[9];
  end

  pe_array #(.Rows(Rows), .Pairs(Pairs)) u_array (
    .clk_i,
    .rst_ni,
    .w_valid_i (w_valid2_q),
    .w_i       (w_operand),
    .w_nan_i   (w_nan),
    .swap_i    (swap1_q),
    .x_valid_i (v_q[2]),
    .x_i       (x_operand),
    .x_nan_i   (x_nan),
    .mode_i    (array_mode),
    .int_i     (int_q[ArrayLatency+2]),
    .shift_i   (shift_q[2*(ArrayLatency+1) +: 2]),
    .acc_i     (acc_q[ReadAge+1]),
    .psum_i    (te_r_data_i),
    .res_o     (te_w_psum_data_o)
  );

  assign te_r_req_o       = v_q[ReadAge] && acc_q[ReadAge];
  assign te_r_addr_o      = addr_q[12*(ReadAge-1) +: 12];
  assign te_w_psum_req_o  = v_q[WriteAge];
  assign te_w_psum_addr_o = addr_q[12*(WriteAge-1) +: 12];

  // ------------------------------------------------------------------ instructions inside, destination columns
  logic [18*MaxInside-1:0] cols_q;  // {tiles, part_d, parts_d}, oldest at 0
  logic [2:0]              inside_q, issued_q;  // accepted; those taken by X and not done
  assign te_w_psum_lanes_o = mask(cols_q[17:16], cols_q[15:8], cols_q[7:0]);
  assign done_o = v_q[WriteAge] && last_q[WriteAge];
  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      inside_q <= '0;
      issued_q <= '0;
    end else begin
      inside_q <= inside_q + 3'(instr_valid_i && instr_ready_o) - 3'(done_o);
      issued_q <= issued_q + 3'(x_take) - 3'(done_o);
    end
  end
  always_ff @(posedge clk_i) begin
    if (done_o) cols_q <= {18'b0, cols_q[18*MaxInside-1:18]};
    if (x_take) cols_q[18*2'(issued_q - 3'(done_o)) +: 18] <= {w_q.tiles, w_q.part_d, w_q.parts_d};
  end

  // Which of them count infinite and NaN words; integers and bits have none.
  logic [MaxInside-1:0] count_nf_q;
  always_ff @(posedge clk_i) begin
    if (done_o) count_nf_q <= {1'b0, count_nf_q[MaxInside-1:1]};
    if (x_take) count_nf_q[2'(issued_q - 3'(done_o))] <= w_q.count_nf && w_q.dtype_d == dither_pkg::DtypeFp32
                                                   && !w_transpose_q;
  end
  nonfinite #(.Rows(Rows)) u_nonfinite (
    .clk_i,
    .rst_ni,
    .valid_i (te_w_psum_req_o && count_nf_q[0]),
    .last_i  (done_o),
    .lanes_i (te_w_psum_lanes_o),
    .data_i  (te_w_psum_data_o),
    .valid_o (nonfinite_valid_o),
    .count_o (nonfinite_count_o)
  );

  assign busy_o  = inside_q != '0;
  assign stall_o = x_go && !x_ready;
  assign work_o  = {7'b0, x_fire};

  // The sequencer keeps at most four instructions inside.
  `CHK(NotTooMany_A, inside_q <= 3'(MaxInside))
  // A stationary tile never enters while the one before it waits for its swap.
  `CHK(LoadAfterSwap_A, !(w_fire && x_swap_q && !x_fire))
endmodule
