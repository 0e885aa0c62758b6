// The operations of a pass but for products and attention; follows numbers.cu.
//
// "Of rows" means a block for each row, whose threads take chunks of it.

#define EACH_CHUNK(c, width) for (unsigned c = threadIdx.x * CHUNK; c < width; c += blockDim.x * CHUNK)

DEVICE float sigmoid(float x) { return 1.f / (1.f + expf(-x)); }

KERNEL void add(storage *sum, const storage *x, usize n) {
  for (usize i = thread_index() * CHUNK; i < n; i += thread_count() * CHUNK) {
    unsigned count = n - i < CHUNK ? n - i : CHUNK;
    Chunk s = load_chunk(sum + i, count), a = load_chunk(x + i, count);
    for (unsigned j = 0; j < CHUNK; j++) s.x[j] += a.x[j];
    store_chunk(sum + i, count, s);
  }
}

// Of rows.
KERNEL void add_bias(storage *x, const storage *bias, unsigned width) {
  storage *row = x + (usize)blockIdx.x * width;
  EACH_CHUNK(c, width) {
    Chunk s = load_chunk(row + c, width - c), b = load_chunk(bias + c, width - c);
    for (unsigned j = 0; j < CHUNK; j++) s.x[j] += b.x[j];
    store_chunk(row + c, width - c, s);
  }
}

DEVICE unsigned hash(unsigned x) {
  x = (x ^ (x >> 16)) * 0x7feb352du;
  x = (x ^ (x >> 15)) * 0x846ca68bu;
  return x ^ (x >> 16);
}

// out = x where the place's hash reaches the threshold; added to out where `is_backward`.
KERNEL void drop_out(storage *out, const storage *x, usize n, unsigned seed, unsigned threshold, float scale, unsigned is_backward) {
  for (usize i = thread_index() * CHUNK; i < n; i += thread_count() * CHUNK) {
    unsigned count = n - i < CHUNK ? n - i : CHUNK;
    Chunk kept = load_chunk(x + i, count), sum = {};
    if (is_backward) sum = load_chunk(out + i, count);
    for (unsigned j = 0; j < CHUNK; j++)
      if (hash((unsigned)(i + j) ^ seed) >= threshold) sum.x[j] += kept.x[j] * scale;
    store_chunk(out + i, count, sum);
  }
}

// Of rows; gate_up is [rows, 2 * width].
KERNEL void swiglu(storage *out, const storage *gate_up, unsigned width) {
  const storage *gates = gate_up + (usize)blockIdx.x * 2 * width, *ups = gates + width;
  EACH_CHUNK(c, width) {
    Chunk g = load_chunk(gates + c, width - c), u = load_chunk(ups + c, width - c);
    for (unsigned j = 0; j < CHUNK; j++) g.x[j] *= sigmoid(g.x[j]) * u.x[j];
    store_chunk(out + (usize)blockIdx.x * width + c, width - c, g);
  }
}

// Of rows.
KERNEL void swiglu_backward(storage *gate_up, const storage *d_out, unsigned width) {
  storage *gates = gate_up + (usize)blockIdx.x * 2 * width, *ups = gates + width;
  EACH_CHUNK(c, width) {
    Chunk g = load_chunk(gates + c, width - c), u = load_chunk(ups + c, width - c);
    Chunk d = load_chunk(d_out + (usize)blockIdx.x * width + c, width - c);
    for (unsigned j = 0; j < CHUNK; j++) {
      float gate = g.x[j], s = sigmoid(gate);
      g.x[j] = d.x[j] * u.x[j] * s * (1.f + gate * (1.f - s));
      u.x[j] = d.x[j] * gate * s;
    }
    store_chunk(gates + c, width - c, g);
    store_chunk(ups + c, width - c, u);
  }
}

// Of rows: pairs of the first 2 * half numbers of the first `heads` heads; cos and sin are [rows, half].
KERNEL void rotate(storage *qkv, const float *cos, const float *sin, unsigned half, unsigned heads, unsigned width,
                   unsigned stride, unsigned is_neighbours, float direction) {
  storage *row = qkv + (usize)blockIdx.x * stride;
  cos += (usize)blockIdx.x * half, sin += (usize)blockIdx.x * half;
  for (unsigned i = threadIdx.x; i < heads * half; i += blockDim.x) {
    unsigned pair = i % half, start = i / half * width;
    unsigned a = start + (is_neighbours ? 2 * pair : pair), b = is_neighbours ? a + 1 : a + half;
    float x = load(row, a), y = load(row, b), c = cos[pair], s = sin[pair] * direction;
    store(row, a, x * c - y * s);
    store(row, b, y * c + x * s);
  }
}

// Of rows: row i of out is row places[i] of x, or the other way round where `is_scatter`.
KERNEL void gather(storage *out, const storage *x, const unsigned *places, unsigned width, unsigned is_scatter) {
  usize near = (usize)blockIdx.x * width, far = (usize)places[blockIdx.x] * width;
  EACH_CHUNK(c, width) copy_chunk(out + (is_scatter ? far : near) + c, x + (is_scatter ? near : far) + c, width - c);
}

// Of rows of `width`, which lie `stride` apart in x.
KERNEL void copy_columns(storage *out, const storage *x, unsigned width, unsigned stride) {
  EACH_CHUNK(c, width) copy_chunk(out + (usize)blockIdx.x * width + c, x + (usize)blockIdx.x * stride + c, width - c);
}

// The block's token is tokens[block]; places[starts[block] .. starts[block + 1]] are the rows of d_out where it stands.
KERNEL void embed_backward(float *d_embedding, const storage *d_out, const unsigned *tokens, const unsigned *starts,
                           const unsigned *places, unsigned width) {
  float *row = d_embedding + (usize)tokens[blockIdx.x] * width;
  for (unsigned c = threadIdx.x; c < width; c += blockDim.x) {
    float sum = 0.f;
#pragma unroll 8
    for (unsigned i = starts[blockIdx.x]; i < starts[blockIdx.x + 1]; i++) sum += load(d_out, (usize)places[i] * width + c);
    row[c] += sum;
  }
}

// Where a row to be normed lies: rows are heads of tokens, or tokens with one head.
struct NormedRows {
  unsigned heads, width, stride, column, inverse_stride, inverse_column;
};
DEVICE usize normed_row(NormedRows at, unsigned row) {
  return (usize)(row / at.heads) * at.stride + at.column + row % at.heads * at.width;
}
DEVICE usize inverse_place(NormedRows at, unsigned row) {
  return (usize)(row / at.heads) * at.inverse_stride + at.inverse_column + row % at.heads;
}
#define EACH_LANE_CHUNK(c, width) for (unsigned c = threadIdx.x % LANES * CHUNK; c < width; c += LANES * CHUNK)

// One warp a row.
KERNEL void rms_norm(storage *out, float *inverse_rms, const storage *x, const storage *weight, unsigned rows, NormedRows at, float eps) {
  unsigned row = thread_index() / LANES;
  if (row >= rows) return;
  usize start = normed_row(at, row);
  float squares = 0.f;
  EACH_LANE_CHUNK(c, at.width) {
    Chunk a = load_chunk(x + start + c, at.width - c);
    for (unsigned j = 0; j < CHUNK; j++) squares += a.x[j] * a.x[j];
  }
  float inverse = 1.f / sqrtf(warp_sum(squares) / at.width + eps);
  if (threadIdx.x % LANES == 0) inverse_rms[inverse_place(at, row)] = inverse;
  EACH_LANE_CHUNK(c, at.width) {
    Chunk a = load_chunk(x + start + c, at.width - c), w = load_chunk(weight + c, at.width - c);
    for (unsigned j = 0; j < CHUNK; j++) a.x[j] *= inverse * w.x[j];
    store_chunk(out + start + c, at.width - c, a);
  }
}

// One warp a row. d_x may be d_out where `is_added` is 0.
KERNEL void rms_norm_backward(storage *d_x, const storage *d_out, const storage *x, const float *inverse_rms, const storage *weight,
                              unsigned rows, NormedRows at, unsigned is_added) {
  unsigned row = thread_index() / LANES;
  if (row >= rows) return;
  usize start = normed_row(at, row);
  float inverse = inverse_rms[inverse_place(at, row)], dot = 0.f;
  EACH_LANE_CHUNK(c, at.width) {
    Chunk a = load_chunk(x + start + c, at.width - c), d = load_chunk(d_out + start + c, at.width - c);
    Chunk w = load_chunk(weight + c, at.width - c);
    for (unsigned j = 0; j < CHUNK; j++) dot += a.x[j] * d.x[j] * w.x[j];
  }
  float shrink = warp_sum(dot) * inverse * inverse * inverse / at.width;
  EACH_LANE_CHUNK(c, at.width) {
    Chunk a = load_chunk(x + start + c, at.width - c), d = load_chunk(d_out + start + c, at.width - c);
    Chunk w = load_chunk(weight + c, at.width - c), sum = {};
    if (is_added) sum = load_chunk(d_x + start + c, at.width - c);
    for (unsigned j = 0; j < CHUNK; j++) sum.x[j] += d.x[j] * w.x[j] * inverse - a.x[j] * shrink;
    store_chunk(d_x + start + c, at.width - c, sum);
  }
}

// A block sums COLUMN_ROWS rows of a chunk of columns for each lane; its warps share the rows. One row of sums for each
// row of blocks.
#define COLUMN_WARPS 8
#define COLUMN_ROWS 64
DEVICE void store_column_sums(float *sums, unsigned width, Chunk sum) {
  __shared__ float shared[COLUMN_WARPS][LANES * CHUNK];
  unsigned lane = threadIdx.x % LANES, warp = threadIdx.x / LANES, first = blockIdx.x * LANES * CHUNK;
  for (unsigned j = 0; j < CHUNK; j++) shared[warp][j * LANES + lane] = sum.x[j];
  __syncthreads();
  for (unsigned i = threadIdx.x; i < LANES * CHUNK; i += blockDim.x) {
    float all = 0.f;
    for (unsigned w = 0; w < COLUMN_WARPS; w++) all += shared[w][i];
    unsigned column = first + i % LANES * CHUNK + i / LANES;
    if (column < width) sums[(usize)blockIdx.y * width + column] = all;
  }
}
#define EACH_COLUMN_ROW(row, rows) \
  for (unsigned row = blockIdx.y * COLUMN_ROWS + threadIdx.x / LANES; \
       row < rows && row < (blockIdx.y + 1) * COLUMN_ROWS; row += COLUMN_WARPS)

KERNEL void rms_norm_weight_backward(float *sums, const storage *d_out, const storage *x, const float *inverse_rms, unsigned rows,
                                     NormedRows at) {
  unsigned column = (blockIdx.x * LANES + threadIdx.x % LANES) * CHUNK;
  Chunk sum = {};
  if (column < at.width)
    EACH_COLUMN_ROW(row, rows) {
      const usize i = normed_row(at, row) + column;
      Chunk d = load_chunk(d_out + i, at.width - column), a = load_chunk(x + i, at.width - column);
      float inverse = inverse_rms[inverse_place(at, row)];
      for (unsigned j = 0; j < CHUNK; j++) sum.x[j] += d.x[j] * a.x[j] * inverse;
    }
  store_column_sums(sums, at.width, sum);
}

KERNEL void add_bias_backward(float *sums, const storage *d_out, unsigned rows, unsigned width) {
  unsigned column = (blockIdx.x * LANES + threadIdx.x % LANES) * CHUNK;
  Chunk sum = {};
  if (column < width)
    EACH_COLUMN_ROW(row, rows) {
      Chunk d = load_chunk(d_out + (usize)row * width + column, width - column);
      for (unsigned j = 0; j < CHUNK; j++) sum.x[j] += d.x[j];
    }
  store_column_sums(sums, width, sum);
}

// out += the sum of rows.
KERNEL void add_rows(float *out, const float *rows, unsigned count, unsigned width) {
  unsigned column = thread_index();
  if (column >= width) return;
  float sum = 0.f;
#pragma unroll 8
  for (unsigned row = 0; row < count; row++) sum += rows[(usize)row * width + column];
  out[column] += sum;
}

#define BLOCK_WARPS 8
DEVICE float block_reduce(float x, bool is_max) {
  __shared__ float shared[BLOCK_WARPS];
  x = is_max ? warp_max(x) : warp_sum(x);
  // The last use may still be read.
  __syncthreads();
  if (threadIdx.x % LANES == 0) shared[threadIdx.x / LANES] = x;
  __syncthreads();
  float all = shared[0];
  for (unsigned w = 1; w < blockDim.x / LANES; w++) all = is_max ? fmaxf(all, shared[w]) : all + shared[w];
  return all;
}

// Of rows; the logits become `scale` times the loss's gradient.
KERNEL void cross_entropy(storage *logits, float *losses, const unsigned *targets, unsigned vocab, float scale) {
  storage *row = logits + (usize)blockIdx.x * vocab;
  unsigned target = targets[blockIdx.x];
  float max = LOWEST, sum = 0.f, at_target = load(row, target);
  EACH_CHUNK(c, vocab) {
    Chunk x = load_chunk(row + c, vocab - c);
    for (unsigned j = 0; j < CHUNK; j++)
      if (c + j < vocab) max = fmaxf(max, x.x[j]);
  }
  max = block_reduce(max, true);
  EACH_CHUNK(c, vocab) {
    Chunk x = load_chunk(row + c, vocab - c);
    for (unsigned j = 0; j < CHUNK; j++)
      if (c + j < vocab) sum += expf(x.x[j] - max);
  }
  sum = block_reduce(sum, false);
  if (threadIdx.x == 0) losses[blockIdx.x] = logf(sum) - (at_target - max);
  float share = scale / sum;
  EACH_CHUNK(c, vocab) {
    Chunk x = load_chunk(row + c, vocab - c);
    for (unsigned j = 0; j < CHUNK; j++) x.x[j] = expf(x.x[j] - max) * share - (c + j == target ? scale : 0.f);
    store_chunk(row + c, vocab - c, x);
  }
}

// One sum for each block.
KERNEL void sum_of_squares(float *sums, const float *x, usize n) {
  float sum = 0.f;
  for (usize i = thread_index(); i < n; i += thread_count()) sum += x[i] * x[i];
  sum = block_reduce(sum, false);
  if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}

struct AdamwRates {
  float step, shrink, beta1, beta2, inverse_bias, eps, gradient_scale;
};

// `values` may be `masters`.
KERNEL void adamw(float *masters, storage *values, float *first, float *second, const float *gradient, usize n, AdamwRates r) {
  for (usize i = thread_index(); i < n; i += thread_count()) {
    float g = gradient[i] * r.gradient_scale;
    float m = first[i] = r.beta1 * first[i] + (1.f - r.beta1) * g;
    float v = second[i] = r.beta2 * second[i] + (1.f - r.beta2) * g * g;
    float w = masters[i] - r.shrink * masters[i] - r.step * m / (sqrtf(v * r.inverse_bias) + r.eps);
    masters[i] = w;
    store(values, i, w);
  }
}

// momentum moves towards the gradient, and direction is where it would move next.
KERNEL void muon_momentum(float *direction, float *momentum, const float *gradient, usize n, float decay) {
  for (usize i = thread_index(); i < n; i += thread_count()) {
    float m = momentum[i] = decay * momentum[i] + (1.f - decay) * gradient[i];
    direction[i] = decay * m + (1.f - decay) * gradient[i];
  }
}

// sums are those of sum_of_squares.
KERNEL void divide_by_norm(float *x, const float *sums, unsigned count, usize n) {
  float sum = 0.f;
  for (unsigned i = threadIdx.x; i < count; i += blockDim.x) sum += sums[i];
  float norm = sqrtf(block_reduce(sum, false)) + 1e-30f;
  for (usize i = thread_index(); i < n; i += thread_count()) x[i] /= norm;
}

KERNEL void scale(float *out, const float *x, usize n, float by) {
  for (usize i = thread_index(); i < n; i += thread_count()) out[i] = by * x[i];
}

// `values` may be `masters`.
KERNEL void muon_update(float *masters, storage *values, const float *direction, usize n, float shrink, float step) {
  for (usize i = thread_index(); i < n; i += thread_count()) {
    float w = masters[i] - shrink * masters[i] - step * direction[i];
    masters[i] = w;
    store(values, i, w);
  }
}
