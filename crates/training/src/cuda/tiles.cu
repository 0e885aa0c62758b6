// Products of matrices in shared memory, 16 rows for a warp; follows numbers.cu. bf16 goes through the tensor cores, and so
// does f32 where TF32 is defined. All share their layout of numbers over lanes (PTX ISA, mma.m16n8k16 and mma.m16n8k8).

// Rows are padded by 16 bytes so that those that lanes read together lie in different banks.
#define PAD CHUNK
// Rows of a warp.
#define WARP_ROWS 16

// WARP_ROWS rows of N numbers: numbers[j][i] of a lane are at row lane / 4 + i / 2 * 8, column 8 * j + lane % 4 * 2 + i % 2.
template <unsigned N> struct Tile {
  float numbers[N / 8][4];
};
DEVICE unsigned tile_row(unsigned i) { return threadIdx.x % LANES / 4 + i / 2 * 8; }
DEVICE unsigned tile_column(unsigned j, unsigned i) { return 8 * j + threadIdx.x % 4 * 2 + i % 2; }

// Over the four lanes that share a row.
DEVICE float row_sum(float x) {
  x += __shfl_xor_sync(ALL, x, 1);
  return x + __shfl_xor_sync(ALL, x, 2);
}
DEVICE float row_max(float x) {
  x = fmaxf(x, __shfl_xor_sync(ALL, x, 1));
  return fmaxf(x, __shfl_xor_sync(ALL, x, 2));
}

// Only the warp that wrote them may read them, after this.
template <unsigned N> DEVICE void store_tile(storage *to, unsigned stride, const Tile<N> &tile) {
#pragma unroll
  for (unsigned j = 0; j < N / 8; j++)
#pragma unroll
    for (unsigned i = 0; i < 4; i += 2)
      store_pair(to + tile_row(i) * stride + tile_column(j, i), tile.numbers[j][i], tile.numbers[j][i + 1]);
  __syncwarp();
}

#ifdef BF16
#ifdef __CUDACC__
// Four matrices of 8 x 8, of which lane 8 * m + r gives the address of row r of matrix m.
DEVICE void load_matrices(unsigned (&out)[4], const storage *row) {
  unsigned address = (unsigned)__cvta_generic_to_shared(row);
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3]) : "r"(address) : "memory");
}
DEVICE void load_matrices_transposed(unsigned (&out)[4], const storage *row) {
  unsigned address = (unsigned)__cvta_generic_to_shared(row);
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3]) : "r"(address) : "memory");
}
DEVICE void multiply_matrices(float (&sum)[4], const unsigned (&a)[4], unsigned b_low, unsigned b_high) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
               : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b_low), "r"(b_high));
}
#endif

// sum += a * b^T: a is [16, inner], b is [N, inner], both 0 from there to the next multiple of 16.
template <unsigned N, unsigned INNER, unsigned A_STRIDE, unsigned B_STRIDE>
DEVICE void multiply_by_rows(Tile<N> &sum, const storage *a, const storage *b, unsigned inner) {
  unsigned lane = threadIdx.x % LANES;
  a += lane % 16 * A_STRIDE + lane / 16 * 8;
  b += (lane / 16 * 8 + lane % 8) * B_STRIDE + lane / 8 % 2 * 8;
#pragma unroll
  for (unsigned k = 0; k < INNER; k += 16) {
    if (k >= inner) break;
    unsigned rows[4], columns[4];
    load_matrices(rows, a + k);
#pragma unroll
    for (unsigned j = 0; j < N / 8; j += 2) {
      load_matrices(columns, b + 8 * j * B_STRIDE + k);
      multiply_matrices(sum.numbers[j], rows, columns[0], columns[1]);
      multiply_matrices(sum.numbers[j + 1], rows, columns[2], columns[3]);
    }
  }
}

// sum += a * b: a is [16, INNER], b is [INNER, columns], of which the first N matter.
template <unsigned N, unsigned INNER, unsigned A_STRIDE, unsigned B_STRIDE>
DEVICE void multiply(Tile<N> &sum, const storage *a, const storage *b, unsigned columns) {
  unsigned lane = threadIdx.x % LANES;
  a += lane % 16 * A_STRIDE + lane / 16 * 8;
  b += lane % 16 * B_STRIDE + lane / 16 * 8;
#pragma unroll
  for (unsigned k = 0; k < INNER; k += 16) {
    unsigned rows[4], numbers[4];
    load_matrices(rows, a + k);
#pragma unroll
    for (unsigned j = 0; j < N / 8; j += 2) {
      if (8 * j >= columns) break;
      load_matrices_transposed(numbers, b + k * B_STRIDE + 8 * j);
      multiply_matrices(sum.numbers[j], rows, numbers[0], numbers[1]);
      multiply_matrices(sum.numbers[j + 1], rows, numbers[2], numbers[3]);
    }
  }
}
#elif defined(TF32)
// A number as the sum of two with 10 bits of fraction, which is what the tensor cores take; the larger is the nearest.
// Products of both parts but for the two smaller ones leave an error of about 5e-7.
struct Parts {
  unsigned high, low;
};
DEVICE Parts split(float x) {
  const unsigned taken = 0xffffe000u, half = 0x1000u;
  unsigned high = (__float_as_uint(x) + half) & taken;
  return {high, __float_as_uint(x - __uint_as_float(high)) & taken};
}
#ifdef __CUDACC__
DEVICE void multiply_matrices_of_8(float (&sum)[4], const unsigned (&a)[4], unsigned b_low, unsigned b_high) {
  asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
               : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b_low), "r"(b_high));
}
#endif
struct Rows {
  unsigned high[4], low[4];
};
// 8 columns of the 16 rows at `a`.
template <unsigned STRIDE> DEVICE Rows load_row_parts(const storage *a) {
  Rows rows;
  a += threadIdx.x % LANES / 4 * STRIDE + threadIdx.x % 4;
#pragma unroll
  for (unsigned i = 0; i < 4; i++) {
    Parts parts = split(a[i % 2 * 8 * STRIDE + i / 2 * 4]);
    rows.high[i] = parts.high, rows.low[i] = parts.low;
  }
  return rows;
}
DEVICE void multiply_parts(float (&sum)[4], const Rows &a, float b_upper, float b_lower) {
  Parts upper = split(b_upper), lower = split(b_lower);
  multiply_matrices_of_8(sum, a.low, upper.high, lower.high);
  multiply_matrices_of_8(sum, a.high, upper.low, lower.low);
  multiply_matrices_of_8(sum, a.high, upper.high, lower.high);
}

// sum += a * b^T: a is [16, inner], b is [N, inner], both 0 from there to the next multiple of 16.
template <unsigned N, unsigned INNER, unsigned A_STRIDE, unsigned B_STRIDE>
DEVICE void multiply_by_rows(Tile<N> &sum, const storage *a, const storage *b, unsigned inner) {
  b += threadIdx.x % LANES / 4 * B_STRIDE + threadIdx.x % 4;
  for (unsigned k = 0; k < inner; k += 8) {
    Rows rows = load_row_parts<A_STRIDE>(a + k);
#pragma unroll
    for (unsigned j = 0; j < N / 8; j++) {
      const storage *column = b + 8 * j * B_STRIDE + k;
      multiply_parts(sum.numbers[j], rows, column[0], column[4]);
    }
  }
}

// sum += a * b: a is [16, INNER], b is [INNER, columns], of which the first N matter.
template <unsigned N, unsigned INNER, unsigned A_STRIDE, unsigned B_STRIDE>
DEVICE void multiply(Tile<N> &sum, const storage *a, const storage *b, unsigned columns) {
  b += threadIdx.x % 4 * B_STRIDE + threadIdx.x % LANES / 4;
  for (unsigned k = 0; k < INNER; k += 8) {
    Rows rows = load_row_parts<A_STRIDE>(a + k);
#pragma unroll
    for (unsigned j = 0; j < N / 8; j++) {
      if (8 * j >= columns) break;
      const storage *column = b + k * B_STRIDE + 8 * j;
      multiply_parts(sum.numbers[j], rows, column[0], column[4 * B_STRIDE]);
    }
  }
}
#else
DEVICE float dot(float4 a, float4 b, float sum) { return sum + a.x * b.x + a.y * b.y + a.z * b.z + a.w * b.w; }

// sum += a * b^T: a is [16, inner], b is [N, inner], both 0 from there to the next multiple of 16.
template <unsigned N, unsigned INNER, unsigned A_STRIDE, unsigned B_STRIDE>
DEVICE void multiply_by_rows(Tile<N> &sum, const storage *a, const storage *b, unsigned inner) {
  a += tile_row(0) * A_STRIDE;
  b += tile_column(0, 0) * B_STRIDE;
  for (unsigned k = 0; k < inner; k += 4) {
    float4 upper = *(const float4 *)(a + k), lower = *(const float4 *)(a + 8 * A_STRIDE + k);
#pragma unroll
    for (unsigned j = 0; j < N / 8; j++) {
      const storage *column = b + 8 * j * B_STRIDE + k;
      float4 left = *(const float4 *)column, right = *(const float4 *)(column + B_STRIDE);
      float(&s)[4] = sum.numbers[j];
      s[0] = dot(upper, left, s[0]), s[1] = dot(upper, right, s[1]);
      s[2] = dot(lower, left, s[2]), s[3] = dot(lower, right, s[3]);
    }
  }
}

// sum += a * b: a is [16, INNER], b is [INNER, columns], of which the first N matter.
template <unsigned N, unsigned INNER, unsigned A_STRIDE, unsigned B_STRIDE>
DEVICE void multiply(Tile<N> &sum, const storage *a, const storage *b, unsigned columns) {
  a += tile_row(0) * A_STRIDE;
  b += tile_column(0, 0);
#pragma unroll 4
  for (unsigned k = 0; k < INNER; k++) {
    float upper = a[k], lower = a[8 * A_STRIDE + k];
#pragma unroll
    for (unsigned j = 0; j < N / 8; j++) {
      if (8 * j >= columns) break;
      float2 pair = *(const float2 *)(b + k * B_STRIDE + 8 * j);
      float(&s)[4] = sum.numbers[j];
      s[0] += upper * pair.x, s[1] += upper * pair.y;
      s[2] += lower * pair.x, s[3] += lower * pair.y;
    }
  }
}
#endif
