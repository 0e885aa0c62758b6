// The operations of a pass. Compiled when a run starts, for one type of values: BF16 says which. Nothing is included, so
// that no toolkit is needed; the tests compile these files as C++ behind a header that emulates CUDA.
//
// No sum depends on the order in which threads run (there are no atomics): a step gives the same bits again.

#ifdef __CUDACC__
#define DEVICE __device__ __forceinline__
#define KERNEL extern "C" __global__
#define DYNAMIC_SHARED(name) extern __shared__ float name[]
#endif
typedef decltype(sizeof(0)) usize;

#ifdef BF16
struct storage {
  unsigned short bits;
};
DEVICE float load(const storage *p, usize i) { return __uint_as_float((unsigned)p[i].bits << 16); }
DEVICE void store(storage *p, usize i, float x) {
  unsigned bits = __float_as_uint(x);
  // To the nearest, ties to even; what is no number stays none.
  bool is_nan = (bits & 0x7fffffffu) > 0x7f800000u;
  p[i].bits = is_nan ? 0x7fff : (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
}
#else
typedef float storage;
DEVICE float load(const storage *p, usize i) { return p[i]; }
DEVICE void store(storage *p, usize i, float x) { p[i] = x; }
#endif

#define LANES 32
#define ALL 0xffffffffu
// Below every score, and still a number.
#define LOWEST -3.0e38f

DEVICE float warp_sum(float x) {
  for (int o = LANES / 2; o > 0; o /= 2) x += __shfl_xor_sync(ALL, x, o);
  return x;
}
DEVICE float warp_max(float x) {
  for (int o = LANES / 2; o > 0; o /= 2) x = fmaxf(x, __shfl_xor_sync(ALL, x, o));
  return x;
}
DEVICE usize thread_index() { return (usize)blockIdx.x * blockDim.x + threadIdx.x; }
DEVICE usize thread_count() { return (usize)gridDim.x * blockDim.x; }
DEVICE float sigmoid(float x) { return 1.f / (1.f + expf(-x)); }

KERNEL void add(storage *sum, const storage *x, usize n) {
  for (usize i = thread_index(); i < n; i += thread_count()) store(sum, i, load(sum, i) + load(x, i));
}

KERNEL void add_bias(storage *x, const storage *bias, usize n, unsigned width) {
  for (usize i = thread_index(); i < n; i += thread_count()) store(x, i, load(x, i) + load(bias, i % width));
}

DEVICE unsigned hash(unsigned x) {
  x = (x ^ (x >> 16)) * 0x7feb352du;
  x = (x ^ (x >> 15)) * 0x846ca68bu;
  return x ^ (x >> 16);
}

// out = x where the place's hash reaches the threshold; added to out where `is_backward`.
KERNEL void drop_out(storage *out, const storage *x, usize n, unsigned seed, unsigned threshold, float scale, unsigned is_backward) {
  for (usize i = thread_index(); i < n; i += thread_count()) {
    float kept = hash((unsigned)i ^ seed) >= threshold ? load(x, i) * scale : 0.f;
    store(out, i, is_backward ? load(out, i) + kept : kept);
  }
}

// gate_up is [rows, 2 * width].
KERNEL void swiglu(storage *out, const storage *gate_up, usize n, unsigned width) {
  for (usize i = thread_index(); i < n; i += thread_count()) {
    usize gate = i / width * 2 * width + i % width;
    float g = load(gate_up, gate);
    store(out, i, g * sigmoid(g) * load(gate_up, gate + width));
  }
}

KERNEL void swiglu_backward(storage *gate_up, const storage *d_out, usize n, unsigned width) {
  for (usize i = thread_index(); i < n; i += thread_count()) {
    usize gate = i / width * 2 * width + i % width;
    float g = load(gate_up, gate), u = load(gate_up, gate + width), d = load(d_out, i), s = sigmoid(g);
    store(gate_up, gate, d * u * s * (1.f + g * (1.f - s)));
    store(gate_up, gate + width, d * g * s);
  }
}

// Pairs of the first 2 * half numbers of the first `heads` heads of each row; cos and sin are [rows, half].
KERNEL void rotate(storage *qkv, const float *cos, const float *sin, usize n, unsigned half, unsigned heads, unsigned width,
                   unsigned stride, unsigned is_neighbours, float direction) {
  for (usize i = thread_index(); i < n; i += thread_count()) {
    usize pair = i % half, head = i / half % heads, row = i / half / heads;
    usize start = row * stride + head * width;
    usize a = start + (is_neighbours ? 2 * pair : pair), b = is_neighbours ? a + 1 : a + half;
    float x = load(qkv, a), y = load(qkv, b), c = cos[row * half + pair], s = sin[row * half + pair] * direction;
    store(qkv, a, x * c - y * s);
    store(qkv, b, y * c + x * s);
  }
}

// Row i of out is row places[i] of x, or the other way round where `is_scatter`.
KERNEL void gather(storage *out, const storage *x, const unsigned *places, usize n, unsigned width, unsigned is_scatter) {
  for (usize i = thread_index(); i < n; i += thread_count()) {
    usize far = (usize)places[i / width] * width + i % width;
    store(out, is_scatter ? far : i, load(x, is_scatter ? i : far));
  }
}

// n numbers: rows of `width`, which lie `stride` apart in x.
KERNEL void copy_columns(storage *out, const storage *x, usize n, unsigned width, unsigned stride) {
  for (usize i = thread_index(); i < n; i += thread_count()) store(out, i, load(x, i / width * stride + i % width));
}

// The block's token is tokens[block]; places[starts[block] .. starts[block + 1]] are the rows of d_out where it stands.
KERNEL void embed_backward(float *d_embedding, const storage *d_out, const unsigned *tokens, const unsigned *starts,
                           const unsigned *places, unsigned width) {
  float *row = d_embedding + (usize)tokens[blockIdx.x] * width;
  for (unsigned c = threadIdx.x; c < width; c += blockDim.x) {
    float sum = 0.f;
    for (unsigned i = starts[blockIdx.x]; i < starts[blockIdx.x + 1]; i++) sum += load(d_out, (usize)places[i] * width + c);
    row[c] += sum;
  }
}

// Where a row to be normed lies: rows are heads of tokens, or tokens with one head.
struct NormedRows {
  unsigned heads, width, stride, column, inverse_stride, inverse_column;
};
DEVICE usize normed_row(NormedRows at, usize row) {
  return row / at.heads * at.stride + at.column + row % at.heads * at.width;
}
DEVICE usize inverse_place(NormedRows at, usize row) {
  return row / at.heads * at.inverse_stride + at.inverse_column + row % at.heads;
}

// One warp a row.
KERNEL void rms_norm(storage *out, float *inverse_rms, const storage *x, const storage *weight, usize rows, NormedRows at, float eps) {
  usize row = thread_index() / LANES;
  unsigned lane = threadIdx.x % LANES;
  if (row >= rows) return;
  usize start = normed_row(at, row);
  float squares = 0.f;
  for (unsigned c = lane; c < at.width; c += LANES) squares += load(x, start + c) * load(x, start + c);
  float inverse = 1.f / sqrtf(warp_sum(squares) / at.width + eps);
  if (lane == 0) inverse_rms[inverse_place(at, row)] = inverse;
  for (unsigned c = lane; c < at.width; c += LANES) store(out, start + c, load(x, start + c) * inverse * load(weight, c));
}

// One warp a row. d_x may be d_out where `is_added` is 0.
KERNEL void rms_norm_backward(storage *d_x, const storage *d_out, const storage *x, const float *inverse_rms, const storage *weight,
                              usize rows, NormedRows at, unsigned is_added) {
  usize row = thread_index() / LANES;
  unsigned lane = threadIdx.x % LANES;
  if (row >= rows) return;
  usize start = normed_row(at, row);
  float inverse = inverse_rms[inverse_place(at, row)], dot = 0.f;
  for (unsigned c = lane; c < at.width; c += LANES) dot += load(x, start + c) * load(d_out, start + c) * load(weight, c);
  float shrink = warp_sum(dot) * inverse * inverse * inverse / at.width;
  for (unsigned c = lane; c < at.width; c += LANES) {
    float d = load(d_out, start + c) * load(weight, c) * inverse - load(x, start + c) * shrink;
    store(d_x, start + c, is_added ? load(d_x, start + c) + d : d);
  }
}

// A block sums 32 columns: the thread of a warp is the column, the warps share the rows.
#define COLUMN_WARPS 8
DEVICE void add_column_sum(float *sums, unsigned column, unsigned width, float sum) {
  __shared__ float shared[COLUMN_WARPS][LANES];
  unsigned lane = threadIdx.x % LANES, warp = threadIdx.x / LANES;
  shared[warp][lane] = sum;
  __syncthreads();
  if (warp > 0 || column >= width) return;
  for (unsigned w = 1; w < COLUMN_WARPS; w++) sum += shared[w][lane];
  sums[column] += sum;
}

KERNEL void rms_norm_weight_backward(float *d_weight, const storage *d_out, const storage *x, const float *inverse_rms, usize rows,
                                     NormedRows at) {
  unsigned column = blockIdx.x * LANES + threadIdx.x % LANES;
  float sum = 0.f;
  if (column < at.width)
    for (usize row = threadIdx.x / LANES; row < rows; row += COLUMN_WARPS) {
      usize i = normed_row(at, row) + column;
      sum += load(d_out, i) * load(x, i) * inverse_rms[inverse_place(at, row)];
    }
  add_column_sum(d_weight, column, at.width, sum);
}

KERNEL void add_bias_backward(float *d_bias, const storage *d_out, usize rows, unsigned width) {
  unsigned column = blockIdx.x * LANES + threadIdx.x % LANES;
  float sum = 0.f;
  if (column < width)
    for (usize row = threadIdx.x / LANES; row < rows; row += COLUMN_WARPS) sum += load(d_out, row * width + column);
  add_column_sum(d_bias, column, width, sum);
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
  for (unsigned w = 1; w < BLOCK_WARPS; w++) all = is_max ? fmaxf(all, shared[w]) : all + shared[w];
  return all;
}

// One block a row; the logits become `scale` times the loss's gradient.
KERNEL void cross_entropy(storage *logits, float *losses, const unsigned *targets, unsigned vocab, float scale) {
  storage *row = logits + (usize)blockIdx.x * vocab;
  unsigned target = targets[blockIdx.x];
  float max = LOWEST, sum = 0.f, at_target = load(row, target);
  for (unsigned c = threadIdx.x; c < vocab; c += blockDim.x) max = fmaxf(max, load(row, c));
  max = block_reduce(max, true);
  for (unsigned c = threadIdx.x; c < vocab; c += blockDim.x) sum += expf(load(row, c) - max);
  sum = block_reduce(sum, false);
  if (threadIdx.x == 0) losses[blockIdx.x] = logf(sum) - (at_target - max);
  for (unsigned c = threadIdx.x; c < vocab; c += blockDim.x)
    store(row, c, (expf(load(row, c) - max) / sum - (c == target ? 1.f : 0.f)) * scale);
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
