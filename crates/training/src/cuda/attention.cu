// Attention and its gradients; follows kernels.cu.
//
// One warp a query, or a key; blocks of WARPS neighbours share rows of 32 keys, or queries, in shared memory: as many
// rows as lanes, so that a lane has a score. Scores are never stored.

#define WARPS 4
// Numbers of a head in a lane: heads are at most 256 wide.
#define NUMBERS 8

// Where queries, keys and values lie: rows are tokens.
struct Heads {
  unsigned width, query_stride, key_stride, output_stride, heads, shared;
  float scale;
};

// Neighbouring queries of a segment. Their keys are those of the prefix and then the segment's own.
struct QueryTile {
  unsigned first, count, segment, own_keys, prefix_keys, prefix;
};
DEVICE usize key_row(QueryTile t, unsigned key) { return key < t.prefix ? t.prefix_keys + key : t.own_keys + (key - t.prefix); }

// Neighbouring keys of a segment, and which spans of queries see them.
struct KeyTile {
  unsigned first, count, first_span, spans;
};
// Queries first to end see keys from first_key to end_key, causal ones none after themselves.
struct Span {
  unsigned first, end, first_key, end_key, is_causal;
};

DEVICE void load_row(float *to, const storage *from, usize start, unsigned width) {
  for (unsigned c = threadIdx.x % LANES; c < width; c += LANES) to[c] = load(from, start + c);
}
DEVICE float dot(const float *a, const float *b, unsigned width) {
  float sum = 0.f;
  for (unsigned c = 0; c < width; c++) sum += a[c] * b[c];
  return sum;
}
// sums[j] += the lane's numbers of each row by its factor.
DEVICE void add_rows(float *sums, const float *factors, const float *rows, unsigned width) {
  for (unsigned k = 0; k < LANES; k++)
#pragma unroll
    for (unsigned j = 0; j < NUMBERS; j++) {
      unsigned c = j * LANES + threadIdx.x % LANES;
      if (c < width) sums[j] += factors[k] * rows[k * (width + 1) + c];
    }
}
DEVICE void store_row(storage *to, usize start, const float *sums, unsigned width) {
#pragma unroll
  for (unsigned j = 0; j < NUMBERS; j++) {
    unsigned c = j * LANES + threadIdx.x % LANES;
    if (c < width) store(to, start + c, sums[j]);
  }
}
// Rows of one head of 32 keys from `base` on; beyond the last one they are 0. Padded so that lanes read different banks.
DEVICE void load_keys(float *rows, const storage *keys, QueryTile tile, unsigned base, unsigned seen, usize column, Heads h) {
  for (unsigned k = threadIdx.x / LANES; k < LANES; k += WARPS) {
    bool is_there = base + k < seen;
    usize start = is_there ? key_row(tile, base + k) * h.key_stride + column : 0;
    for (unsigned c = threadIdx.x % LANES; c < h.width; c += LANES) rows[k * (h.width + 1) + c] = is_there ? load(keys, start + c) : 0.f;
  }
}

KERNEL void attend(storage *attended, float *log_sums, const storage *queries, const storage *keys, const storage *values,
                   const QueryTile *tiles, Heads h) {
  DYNAMIC_SHARED(shared);
  __shared__ float factors[WARPS][LANES];
  unsigned warp = threadIdx.x / LANES, lane = threadIdx.x % LANES, head = blockIdx.y;
  QueryTile tile = tiles[blockIdx.x];
  float *query = shared + warp * h.width, *rows = shared + WARPS * h.width;
  usize token = tile.first + warp, column = head / h.shared * h.width;
  bool is_active = warp < tile.count;
  unsigned seen = tile.prefix + tile.first + tile.count - tile.segment;
  unsigned visible = is_active ? tile.prefix + (unsigned)token - tile.segment + 1 : 0;
  if (is_active) load_row(query, queries, token * h.query_stride + head * h.width, h.width);
  float max = LOWEST, sum = 0.f, out[NUMBERS] = {};
  for (unsigned base = 0; base < seen; base += LANES) {
    load_keys(rows, keys, tile, base, seen, column, h);
    __syncthreads();
    if (base < visible) {
      bool is_visible = base + lane < visible;
      float score = is_visible ? dot(query, rows + lane * (h.width + 1), h.width) * h.scale : LOWEST;
      float higher = fmaxf(max, warp_max(score)), correction = expf(max - higher);
      float p = is_visible ? expf(score - higher) : 0.f;
      max = higher;
      sum = sum * correction + warp_sum(p);
      factors[warp][lane] = p;
      for (unsigned j = 0; j < NUMBERS; j++) out[j] *= correction;
    }
    __syncthreads();
    load_keys(rows, values, tile, base, seen, column, h);
    __syncthreads();
    if (base < visible) add_rows(out, factors[warp], rows, h.width);
    __syncthreads();
  }
  if (!is_active) return;
  for (unsigned j = 0; j < NUMBERS; j++) out[j] /= sum;
  store_row(attended, token * h.output_stride + head * h.width, out, h.width);
  if (lane == 0) log_sums[token * h.heads + head] = max + logf(sum);
}

// The queries' gradient. `dots` gets each row's product of `attended` with its gradient.
KERNEL void attend_backward_queries(storage *d_queries, float *dots, const storage *d_attended, const storage *attended,
                                    const float *log_sums, const storage *queries, const storage *keys, const storage *values,
                                    const QueryTile *tiles, Heads h) {
  DYNAMIC_SHARED(shared);
  __shared__ float factors[WARPS][LANES];
  unsigned warp = threadIdx.x / LANES, lane = threadIdx.x % LANES, head = blockIdx.y;
  QueryTile tile = tiles[blockIdx.x];
  float *query = shared + warp * h.width, *d_out = shared + (WARPS + warp) * h.width, *rows = shared + 2 * WARPS * h.width;
  usize token = tile.first + warp, column = head / h.shared * h.width;
  bool is_active = warp < tile.count;
  unsigned seen = tile.prefix + tile.first + tile.count - tile.segment;
  unsigned visible = is_active ? tile.prefix + (unsigned)token - tile.segment + 1 : 0;
  float log_sum = 0.f, d_dot = 0.f, d_query[NUMBERS] = {};
  if (is_active) {
    usize output = token * h.output_stride + head * h.width;
    load_row(query, queries, token * h.query_stride + head * h.width, h.width);
    load_row(d_out, d_attended, output, h.width);
    for (unsigned c = lane; c < h.width; c += LANES) d_dot += load(d_attended, output + c) * load(attended, output + c);
    d_dot = warp_sum(d_dot);
    log_sum = log_sums[token * h.heads + head];
    if (lane == 0) dots[token * h.heads + head] = d_dot;
  }
  for (unsigned base = 0; base < seen; base += LANES) {
    const float *row = rows + lane * (h.width + 1);
    float p = 0.f;
    load_keys(rows, keys, tile, base, seen, column, h);
    __syncthreads();
    if (base + lane < visible) p = expf(dot(query, row, h.width) * h.scale - log_sum);
    __syncthreads();
    load_keys(rows, values, tile, base, seen, column, h);
    __syncthreads();
    factors[warp][lane] = base + lane < visible ? p * (dot(d_out, row, h.width) - d_dot) * h.scale : 0.f;
    __syncthreads();
    load_keys(rows, keys, tile, base, seen, column, h);
    __syncthreads();
    if (base < visible) add_rows(d_query, factors[warp], rows, h.width);
    __syncthreads();
  }
  if (is_active) store_row(d_queries, token * h.query_stride + head * h.width, d_query, h.width);
}

// Rows of one head of 32 queries, or of what belongs to them, from `base` on.
DEVICE void load_queries(float *rows, const storage *from, unsigned base, unsigned end, usize column, unsigned stride, unsigned width) {
  for (unsigned k = threadIdx.x / LANES; k < LANES; k += WARPS) {
    bool is_there = base + k < end;
    usize start = is_there ? (usize)(base + k) * stride + column : 0;
    for (unsigned c = threadIdx.x % LANES; c < width; c += LANES) rows[k * (width + 1) + c] = is_there ? load(from, start + c) : 0.f;
  }
}

// The gradients of keys and values; a block has one head of keys and all heads of queries that share it.
KERNEL void attend_backward_keys(storage *d_keys, storage *d_values, const float *dots, const storage *d_attended,
                                 const float *log_sums, const storage *queries, const storage *keys, const storage *values,
                                 const KeyTile *tiles, const Span *spans, Heads h) {
  DYNAMIC_SHARED(shared);
  __shared__ float probabilities[WARPS][LANES], d_scores[WARPS][LANES];
  unsigned warp = threadIdx.x / LANES, lane = threadIdx.x % LANES, width = h.width;
  KeyTile tile = tiles[blockIdx.x];
  float *key = shared + warp * width, *value = shared + (WARPS + warp) * width, *rows = shared + 2 * WARPS * width;
  usize token = tile.first + warp, place = token * h.key_stride + blockIdx.y * width;
  bool is_active = warp < tile.count;
  float d_key[NUMBERS] = {}, d_value[NUMBERS] = {};
  if (is_active) {
    load_row(key, keys, place, width);
    load_row(value, values, place, width);
  }
  for (unsigned s = tile.first_span; s < tile.first_span + tile.spans; s++) {
    Span span = spans[s];
    bool sees = is_active && span.first_key <= token && token < span.end_key;
    // Causal queries before the tile's first key see none of its keys.
    unsigned first = span.is_causal ? tile.first : span.first;
    for (unsigned head = blockIdx.y * h.shared; head < (blockIdx.y + 1) * h.shared; head++)
      for (unsigned base = first; base < span.end; base += LANES) {
        const float *row = rows + lane * (width + 1);
        unsigned query = base + lane;
        bool is_visible = sees && query < span.end && !(span.is_causal && query < token);
        usize statistic = (usize)query * h.heads + head;
        float p = 0.f;
        load_queries(rows, queries, base, span.end, head * width, h.query_stride, width);
        __syncthreads();
        if (is_visible) p = expf(dot(key, row, width) * h.scale - log_sums[statistic]);
        probabilities[warp][lane] = p;
        __syncthreads();
        load_queries(rows, d_attended, base, span.end, head * width, h.output_stride, width);
        __syncthreads();
        d_scores[warp][lane] = is_visible ? p * (dot(value, row, width) - dots[statistic]) * h.scale : 0.f;
        add_rows(d_value, probabilities[warp], rows, width);
        __syncthreads();
        load_queries(rows, queries, base, span.end, head * width, h.query_stride, width);
        __syncthreads();
        add_rows(d_key, d_scores[warp], rows, width);
        __syncthreads();
      }
  }
  if (!is_active) return;
  store_row(d_keys, place, d_key, width);
  store_row(d_values, place, d_value, width);
}
