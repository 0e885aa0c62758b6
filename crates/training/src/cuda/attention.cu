// Attention and its gradients; follows tiles.cu. Scores are never stored.
//
// A block has TILE neighbouring queries, or keys, of a segment, WARP_ROWS in each warp, and meets the others STEP at a time.
// Heads are padded to W.

#define TILE 64
#define LOG2_E 1.44269504f

// Where queries, keys and values lie: rows are tokens.
struct Heads {
  unsigned width, query_stride, key_stride, output_stride, heads, shared;
  float scale;
};

// Neighbouring queries of a segment. Their keys are those of the prefix and then the segment's own.
struct QueryTile {
  unsigned first, count, segment, own_keys, prefix_keys, prefix;
};
DEVICE unsigned least(unsigned a, unsigned b) { return a < b ? a : b; }
DEVICE unsigned seen_by(QueryTile t, unsigned query) { return t.prefix + t.first + query - t.segment + 1; }

// Neighbouring keys of a segment, and which spans of queries see them.
struct KeyTile {
  unsigned first, count, first_span, spans;
};
// Queries first to end see keys from first_key to end_key, causal ones none after themselves.
struct Span {
  unsigned first, end, first_key, end_key, is_causal;
};

// Copies a chunk to shared memory; behind its first n numbers are zeros.
DEVICE void fill_chunk(storage *to, const storage *from, unsigned n) {
  if (n >= CHUNK && (usize)from % 16 == 0)
    *(uint4 *)to = *(const uint4 *)from;
  else
    store_chunk(to, CHUNK, load_chunk(from, n));
}

// Rows of a head in shared memory, W + PAD apart; those from `count` on are 0.
template <unsigned W, unsigned ROWS> DEVICE void load_rows(storage *to, const storage *from, usize stride, unsigned count, unsigned width) {
  for (unsigned i = threadIdx.x; i < ROWS * W / CHUNK; i += blockDim.x) {
    unsigned row = i / (W / CHUNK), c = i % (W / CHUNK) * CHUNK;
    fill_chunk(to + row * (W + PAD) + c, from + row * stride + c, row < count && c < width ? width - c : 0);
  }
}
// The rows of keys, or values, from `base` on.
template <unsigned W, unsigned ROWS>
DEVICE void load_keys(storage *to, const storage *from, QueryTile tile, unsigned base, unsigned seen, Heads h) {
  for (unsigned i = threadIdx.x; i < ROWS * W / CHUNK; i += blockDim.x) {
    unsigned key = base + i / (W / CHUNK), c = i % (W / CHUNK) * CHUNK;
    usize row = key < tile.prefix ? tile.prefix_keys + key : tile.own_keys + (key - tile.prefix);
    fill_chunk(to + i / (W / CHUNK) * (W + PAD) + c, from + row * h.key_stride + c, key < seen && c < h.width ? h.width - c : 0);
  }
}
// Writes the warp's rows; `rows` is shared memory that only the warp uses.
template <unsigned W> DEVICE void store_rows(storage *to, usize stride, storage *rows, const Tile<W> &tile, unsigned count, unsigned width) {
  store_tile(rows, W + PAD, tile);
  for (unsigned i = threadIdx.x % LANES; i < WARP_ROWS * W / CHUNK; i += LANES) {
    unsigned row = i / (W / CHUNK), c = i % (W / CHUNK) * CHUNK;
    if (row < count && c < width) copy_chunk(to + row * stride + c, rows + row * (W + PAD) + c, width - c);
  }
}

template <unsigned W, unsigned STEP>
DEVICE void attend(storage *attended, float *log_sums, const storage *queries, const storage *keys, const storage *values,
                   const QueryTile *tiles, Heads h) {
  DYNAMIC_SHARED(shared);
  unsigned warp = threadIdx.x / LANES, head = blockIdx.y, first_row = warp * WARP_ROWS;
  storage *query = (storage *)shared, *key = query + TILE * (W + PAD), *value = key + STEP * (W + PAD);
  storage *factors = value + STEP * (W + PAD) + first_row * (STEP + PAD), *own = query + first_row * (W + PAD);
  QueryTile tile = tiles[blockIdx.x];
  unsigned rows = first_row < tile.count ? least(tile.count - first_row, WARP_ROWS) : 0;
  unsigned seen = seen_by(tile, tile.count - 1), seen_by_warp = rows ? seen_by(tile, first_row + rows - 1) : 0;
  usize column = head / h.shared * h.width;
  keys += column, values += column;
  queries += (usize)tile.first * h.query_stride + head * h.width;
  load_rows<W, TILE>(query, queries, h.query_stride, tile.count, h.width);

  float max[2] = {LOWEST, LOWEST}, sum[2] = {};
  Tile<W> out = {};
  for (unsigned base = 0; base < seen; base += STEP) {
    __syncthreads();
    load_keys<W, STEP>(key, keys, tile, base, seen, h);
    load_keys<W, STEP>(value, values, tile, base, seen, h);
    __syncthreads();
    if (base >= seen_by_warp) continue;
    Tile<STEP> scores = {};
    multiply_by_rows<STEP, W, W + PAD, W + PAD>(scores, own, key, h.width);
#pragma unroll
    for (unsigned half = 0; half < 2; half++) {
      // Every query sees its segment's first key, so that none is without a score. Rows without a query see none.
      unsigned row = tile_row(2 * half), visible = row < rows ? seen_by(tile, first_row + row) : 0;
      float highest = max[half], part = 0.f;
#pragma unroll
      for (unsigned j = 0; j < STEP / 8; j++)
#pragma unroll
        for (unsigned i = 2 * half; i < 2 * half + 2; i++) {
          float &score = scores.numbers[j][i];
          score = base + tile_column(j, i) < visible ? score * (h.scale * LOG2_E) : LOWEST;
          highest = fmaxf(highest, score);
        }
      highest = row_max(highest);
      float correction = exp2f(max[half] - highest);
      max[half] = highest;
#pragma unroll
      for (unsigned j = 0; j < STEP / 8; j++)
#pragma unroll
        for (unsigned i = 2 * half; i < 2 * half + 2; i++)
          part += scores.numbers[j][i] = exp2f(scores.numbers[j][i] - highest);
      sum[half] = sum[half] * correction + part;
#pragma unroll
      for (unsigned j = 0; j < W / 8; j++)
#pragma unroll
        for (unsigned i = 2 * half; i < 2 * half + 2; i++) out.numbers[j][i] *= correction;
    }
    store_tile(factors, STEP + PAD, scores);
    multiply<W, STEP, STEP + PAD, W + PAD>(out, factors, value, h.width);
    __syncwarp();
  }
  usize token = tile.first + first_row;
#pragma unroll
  for (unsigned half = 0; half < 2; half++) {
    float all = row_sum(sum[half]);
    unsigned row = tile_row(2 * half);
    if (row < rows && threadIdx.x % 4 == 0) log_sums[(token + row) * h.heads + head] = (max[half] + log2f(all)) / LOG2_E;
#pragma unroll
    for (unsigned j = 0; j < W / 8; j++)
#pragma unroll
      for (unsigned i = 2 * half; i < 2 * half + 2; i++) out.numbers[j][i] /= all;
  }
  store_rows<W>(attended + token * h.output_stride + head * h.width, h.output_stride, own, out, rows, h.width);
}

// The queries' gradient. `dots` gets each row's product of `attended` with its gradient.
template <unsigned W, unsigned STEP>
DEVICE void attend_backward_queries(storage *d_queries, float *dots, const storage *d_attended, const storage *attended,
                                    const float *log_sums, const storage *queries, const storage *keys, const storage *values,
                                    const QueryTile *tiles, Heads h) {
  DYNAMIC_SHARED(shared);
  unsigned warp = threadIdx.x / LANES, head = blockIdx.y, first_row = warp * WARP_ROWS;
  storage *query = (storage *)shared, *d_out = query + TILE * (W + PAD), *key = d_out + TILE * (W + PAD);
  storage *value = key + STEP * (W + PAD), *factors = value + STEP * (W + PAD) + first_row * (STEP + PAD);
  storage *own = query + first_row * (W + PAD);
  QueryTile tile = tiles[blockIdx.x];
  unsigned rows = first_row < tile.count ? least(tile.count - first_row, WARP_ROWS) : 0;
  unsigned seen = seen_by(tile, tile.count - 1), seen_by_warp = rows ? seen_by(tile, first_row + rows - 1) : 0;
  usize column = head / h.shared * h.width, output = (usize)tile.first * h.output_stride + head * h.width;
  keys += column, values += column;
  queries += (usize)tile.first * h.query_stride + head * h.width;
  load_rows<W, TILE>(query, queries, h.query_stride, tile.count, h.width);
  load_rows<W, TILE>(d_out, d_attended + output, h.output_stride, tile.count, h.width);
  __syncthreads();

  float log_sum[2], dot[2];
#pragma unroll
  for (unsigned half = 0; half < 2; half++) {
    unsigned row = tile_row(2 * half);
    usize place = (usize)(tile.first + first_row + row) * h.heads + head;
    float part = 0.f;
    if (row < rows)
      for (unsigned c = threadIdx.x % 4; c < h.width; c += 4)
        part += load(d_out, (first_row + row) * (W + PAD) + c) * load(attended, output + (first_row + row) * h.output_stride + c);
    dot[half] = row_sum(part);
    log_sum[half] = row < rows ? log_sums[place] * LOG2_E : 0.f;
    if (row < rows && threadIdx.x % 4 == 0) dots[place] = dot[half];
  }
  Tile<W> d_query = {};
  for (unsigned base = 0; base < seen; base += STEP) {
    __syncthreads();
    load_keys<W, STEP>(key, keys, tile, base, seen, h);
    load_keys<W, STEP>(value, values, tile, base, seen, h);
    __syncthreads();
    if (base >= seen_by_warp) continue;
    Tile<STEP> scores = {}, d_factors = {};
    multiply_by_rows<STEP, W, W + PAD, W + PAD>(scores, own, key, h.width);
    multiply_by_rows<STEP, W, W + PAD, W + PAD>(d_factors, d_out + first_row * (W + PAD), value, h.width);
#pragma unroll
    for (unsigned j = 0; j < STEP / 8; j++)
#pragma unroll
      for (unsigned i = 0; i < 4; i++) {
        unsigned row = tile_row(i);
        bool is_visible = row < rows && base + tile_column(j, i) < seen_by(tile, first_row + row);
        float p = exp2f(scores.numbers[j][i] * (h.scale * LOG2_E) - log_sum[i / 2]);
        scores.numbers[j][i] = is_visible ? p * (d_factors.numbers[j][i] - dot[i / 2]) * h.scale : 0.f;
      }
    store_tile(factors, STEP + PAD, scores);
    multiply<W, STEP, STEP + PAD, W + PAD>(d_query, factors, key, h.width);
    __syncwarp();
  }
  d_queries += (usize)(tile.first + first_row) * h.query_stride + head * h.width;
  store_rows<W>(d_queries, h.query_stride, own, d_query, rows, h.width);
}

// The gradients of keys and values; a block has one head of keys and all heads of queries that share it.
template <unsigned W, unsigned STEP>
DEVICE void attend_backward_keys(storage *d_keys, storage *d_values, const float *dots, const storage *d_attended,
                                 const float *log_sums, const storage *queries, const storage *keys, const storage *values,
                                 const KeyTile *tiles, const Span *spans, Heads h) {
  DYNAMIC_SHARED(shared);
  unsigned warp = threadIdx.x / LANES, first_row = warp * WARP_ROWS;
  storage *key = (storage *)shared, *value = key + TILE * (W + PAD), *query = value + TILE * (W + PAD);
  storage *d_out = query + STEP * (W + PAD), *factors = d_out + STEP * (W + PAD) + first_row * (STEP + PAD);
  storage *own_key = key + first_row * (W + PAD), *own_value = value + first_row * (W + PAD);
  float *step_log_sums = (float *)(d_out + STEP * (W + PAD) + TILE * (STEP + PAD)), *step_dots = step_log_sums + STEP;
  KeyTile tile = tiles[blockIdx.x];
  unsigned rows = first_row < tile.count ? least(tile.count - first_row, WARP_ROWS) : 0, first_token = tile.first + first_row;
  usize place = (usize)tile.first * h.key_stride + blockIdx.y * h.width;
  load_rows<W, TILE>(key, keys + place, h.key_stride, tile.count, h.width);
  load_rows<W, TILE>(value, values + place, h.key_stride, tile.count, h.width);

  Tile<W> d_key = {}, d_value = {};
  for (unsigned s = tile.first_span; s < tile.first_span + tile.spans; s++) {
    Span span = spans[s];
    // Causal queries before the tile's first key see none of its keys.
    unsigned first = span.is_causal ? tile.first : span.first;
    for (unsigned head = blockIdx.y * h.shared; head < (blockIdx.y + 1) * h.shared; head++)
      for (unsigned base = first; base < span.end; base += STEP) {
        unsigned count = least(span.end - base, STEP);
        __syncthreads();
        load_rows<W, STEP>(query, queries + (usize)base * h.query_stride + head * h.width, h.query_stride, count, h.width);
        load_rows<W, STEP>(d_out, d_attended + (usize)base * h.output_stride + head * h.width, h.output_stride, count, h.width);
        for (unsigned i = threadIdx.x; i < STEP; i += blockDim.x) {
          usize statistic = (usize)(base + i) * h.heads + head;
          step_log_sums[i] = i < count ? log_sums[statistic] * LOG2_E : 0.f;
          step_dots[i] = i < count ? dots[statistic] : 0.f;
        }
        __syncthreads();
        if (!rows || (span.is_causal && base + count <= first_token)) continue;
        Tile<STEP> scores = {};
        multiply_by_rows<STEP, W, W + PAD, W + PAD>(scores, own_key, query, h.width);
#pragma unroll
        for (unsigned j = 0; j < STEP / 8; j++)
#pragma unroll
          for (unsigned i = 0; i < 4; i++) {
            unsigned token = first_token + tile_row(i), q = tile_column(j, i);
            bool is_visible = tile_row(i) < rows && span.first_key <= token && token < span.end_key && q < count &&
                              !(span.is_causal && base + q < token);
            float &p = scores.numbers[j][i];
            p = is_visible ? exp2f(p * (h.scale * LOG2_E) - step_log_sums[q]) : 0.f;
          }
        store_tile(factors, STEP + PAD, scores);
        multiply<W, STEP, STEP + PAD, W + PAD>(d_value, factors, d_out, h.width);
        Tile<STEP> d_factors = {};
        multiply_by_rows<STEP, W, W + PAD, W + PAD>(d_factors, own_value, d_out, h.width);
#pragma unroll
        for (unsigned j = 0; j < STEP / 8; j++)
#pragma unroll
          for (unsigned i = 0; i < 4; i++)
            scores.numbers[j][i] *= (d_factors.numbers[j][i] - step_dots[tile_column(j, i)]) * h.scale;
        __syncwarp();
        store_tile(factors, STEP + PAD, scores);
        multiply<W, STEP, STEP + PAD, W + PAD>(d_key, factors, query, h.width);
        __syncwarp();
      }
  }
  place += (usize)first_row * h.key_stride;
  store_rows<W>(d_keys + place, h.key_stride, own_key, d_key, rows, h.width);
  store_rows<W>(d_values + place, h.key_stride, own_value, d_value, rows, h.width);
}

#define FORWARD storage *attended, float *log_sums, const storage *queries, const storage *keys, const storage *values, const QueryTile *tiles, Heads h
#define BACKWARD_QUERIES \
  storage *d_queries, float *dots, const storage *d_attended, const storage *attended, const float *log_sums, const storage *queries, \
      const storage *keys, const storage *values, const QueryTile *tiles, Heads h
#define BACKWARD_KEYS \
  storage *d_keys, storage *d_values, const float *dots, const storage *d_attended, const float *log_sums, const storage *queries, \
      const storage *keys, const storage *values, const KeyTile *tiles, const Span *spans, Heads h

// How many are met at a time, so that f32 fits the 99 KB of shared memory that every GPU since 2018 but one family has.
#ifdef BF16
#define STEP_128 32
#else
#define STEP_128 16
#endif
KERNEL void attend_64(FORWARD) { attend<64, 32>(attended, log_sums, queries, keys, values, tiles, h); }
KERNEL void attend_128(FORWARD) { attend<128, STEP_128>(attended, log_sums, queries, keys, values, tiles, h); }
KERNEL void attend_backward_queries_64(BACKWARD_QUERIES) {
  attend_backward_queries<64, 32>(d_queries, dots, d_attended, attended, log_sums, queries, keys, values, tiles, h);
}
KERNEL void attend_backward_queries_128(BACKWARD_QUERIES) {
  attend_backward_queries<128, STEP_128>(d_queries, dots, d_attended, attended, log_sums, queries, keys, values, tiles, h);
}
KERNEL void attend_backward_keys_64(BACKWARD_KEYS) {
  attend_backward_keys<64, 32>(d_keys, d_values, dots, d_attended, log_sums, queries, keys, values, tiles, spans, h);
}
KERNEL void attend_backward_keys_128(BACKWARD_KEYS) {
  attend_backward_keys<128, STEP_128>(d_keys, d_values, dots, d_attended, log_sums, queries, keys, values, tiles, spans, h);
}
