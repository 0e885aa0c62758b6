// Numbers in memory and in registers. Compiled when a run starts, for one type of values: BF16 says which. Nothing is
// included, so that no toolkit is needed; the tests compile these files as C++ behind a header that emulates CUDA.
//
// No sum depends on the order in which threads run (there are no atomics): a step gives the same bits again.

#ifdef __CUDACC__
#define DEVICE __device__ __forceinline__
#define KERNEL extern "C" __global__
#define DYNAMIC_SHARED(name) extern __shared__ uint4 name[]
#endif
typedef decltype(sizeof(0)) usize;

#ifdef BF16
#ifdef __CUDACC__
// To the nearest, ties to even.
DEVICE unsigned round_pair(float low, float high) {
  unsigned pair;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
}
#endif
struct storage {
  unsigned short bits;
};
DEVICE float load(const storage *p, usize i) { return __uint_as_float((unsigned)p[i].bits << 16); }
DEVICE void store(storage *p, usize i, float x) { p[i].bits = (unsigned short)round_pair(x, 0.f); }
// Two neighbours, the first at an even place.
DEVICE void store_pair(storage *p, float a, float b) { *(unsigned *)p = round_pair(a, b); }
#else
typedef float storage;
DEVICE float load(const storage *p, usize i) { return p[i]; }
DEVICE void store(storage *p, usize i, float x) { p[i] = x; }
DEVICE void store_pair(storage *p, float a, float b) { p[0] = a, p[1] = b; }
#endif

// Numbers of a 16-byte access.
#define CHUNK (16 / (unsigned)sizeof(storage))
struct Chunk {
  float x[CHUNK];
};
DEVICE bool is_whole(const storage *p, unsigned n) { return n >= CHUNK && (usize)p % 16 == 0; }

// The first n numbers of a chunk, the others are 0.
DEVICE Chunk load_chunk(const storage *p, unsigned n) {
  Chunk c;
  if (is_whole(p, n)) {
    uint4 bits = *(const uint4 *)p;
    unsigned words[4] = {bits.x, bits.y, bits.z, bits.w};
#pragma unroll
    for (unsigned i = 0; i < CHUNK; i++)
      c.x[i] = __uint_as_float(CHUNK == 4 ? words[i % 4] : i % 2 ? words[i / 2] & 0xffff0000u : words[i / 2] << 16);
  } else {
#pragma unroll
    for (unsigned i = 0; i < CHUNK; i++) c.x[i] = i < n ? load(p, i) : 0.f;
  }
  return c;
}
DEVICE void store_chunk(storage *p, unsigned n, Chunk c) {
  if (is_whole(p, n)) {
    alignas(16) storage whole[CHUNK];
#pragma unroll
    for (unsigned i = 0; i < CHUNK; i += 2) store_pair(whole + i, c.x[i], c.x[i + 1]);
    *(uint4 *)p = *(const uint4 *)whole;
  } else {
#pragma unroll
    for (unsigned i = 0; i < CHUNK; i++)
      if (i < n) store(p, i, c.x[i]);
  }
}
// Copies the first n numbers of a chunk.
DEVICE void copy_chunk(storage *to, const storage *from, unsigned n) { store_chunk(to, n, load_chunk(from, n)); }

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
