// Stand-ins for libcuda, libnvrtc and libcublas, as far as the driver calls them, over the emulated kernels. They follow the
// documentation of NVIDIA's functions; memory is the processor's.
#include <stdio.h>

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace {
#ifdef BF16
const bool IS_BF16 = true;
#else
const bool IS_BF16 = false;
#endif
// CUDA_ERROR_INVALID_VALUE, and what cuBLAS and NVRTC call so.
const int REFUSED = 1, CUBLAS_REFUSED = 7, NVRTC_REFUSED = 5;
int refuse(const char *why, int code = REFUSED) { fprintf(stderr, "stand-in: %s\n", why); return code; }
thread_local void *current_context;
int context, module, handle, program;
}

EXPORT int cuInit(unsigned flags) { return flags ? refuse("flags") : 0; }
EXPORT int cuGetErrorName(int, const char **name) { *name = "refused"; return 0; }
EXPORT int cuGetErrorString(int, const char **text) { *text = "refused"; return 0; }
EXPORT int cuDeviceGet(int *device, int number) { *device = 40 + number; return number ? refuse("not the first GPU") : 0; }
EXPORT int cuDeviceGetName(char *name, int length, int device) { snprintf(name, length, "stand-in %d", device); return 0; }
EXPORT int cuDeviceGetAttribute(int *value, int attribute, int device) {
  *value = attribute == 75 ? 9 : 0;
  return device == 40 && (attribute == 75 || attribute == 76) ? 0 : refuse("attribute");
}
EXPORT int cuDevicePrimaryCtxRetain(void **made, int device) { *made = &context; return device == 40 ? 0 : refuse("device"); }
EXPORT int cuCtxSetCurrent(void *given) { current_context = given; return given == &context ? 0 : refuse("context"); }
EXPORT int cuModuleLoadData(void **made, const void *image) {
  *made = &module;
  return strcmp((const char *)image, "code") ? refuse("image") : 0;
}
EXPORT int cuModuleGetFunction(void **function, void *given, const char *name) {
  if (given != &module) return refuse("module");
  for (unsigned i = 0; i < entry_count; i++)
    if (!strcmp(entries[i].name, name)) { *function = (void *)entries[i].name; return 0; }
  return refuse(name);
}
EXPORT int cuFuncSetAttribute(void *function, int attribute, int value) {
  const int most_dynamic_shared = 8;
  return function && attribute == most_dynamic_shared && value > 48 << 10 ? 0 : refuse("function attribute");
}
EXPORT int cuMemAlloc_v2(unsigned long long *pointer, size_t bytes) {
  if (current_context != &context || !bytes) return refuse("allocation");
  *pointer = (unsigned long long)aligned_alloc(256, (bytes + 255) / 256 * 256);
  memset((void *)*pointer, 0xff, bytes);
  return 0;
}
EXPORT int cuMemFree_v2(unsigned long long pointer) { free((void *)pointer); return 0; }
EXPORT int cuMemcpyHtoD_v2(unsigned long long to, const void *from, size_t bytes) { memcpy((void *)to, from, bytes); return 0; }
EXPORT int cuMemcpyDtoH_v2(void *to, unsigned long long from, size_t bytes) { memcpy(to, (void *)from, bytes); return 0; }
EXPORT int cuMemcpyDtoDAsync_v2(unsigned long long to, unsigned long long from, size_t bytes, void *stream) {
  memcpy((void *)to, (void *)from, bytes);
  return stream ? refuse("stream") : 0;
}
EXPORT int cuMemsetD8Async(unsigned long long to, unsigned char value, size_t bytes, void *stream) {
  memset((void *)to, value, bytes);
  return stream ? refuse("stream") : 0;
}
EXPORT int cuMemGetInfo_v2(size_t *free, size_t *all) { *free = *all = 1 << 30; return 0; }
EXPORT int cuLaunchKernel(void *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                          unsigned shared, void *stream, void **arguments, void **more) {
  if (current_context != &context || gz != 1 || by != 1 || bz != 1 || stream || more) return refuse("launch");
  const char *failure = emulate((const char *)function, gx, gy, bx, shared, arguments);
  return failure ? refuse(failure) : 0;
}

EXPORT int nvrtcCreateProgram(void **made, const char *source, const char *, int headers, const char *const *, const char *const *) {
  *made = &program;
  return strstr(source, "KERNEL void attend_64(") && !headers ? 0 : refuse("source", NVRTC_REFUSED);
}
EXPORT int nvrtcCompileProgram(void *, int count, const char *const *options) {
  bool has_arch = false, has_bf16 = false, has_tf32 = false;
  for (int i = 0; i < count; i++) {
    has_arch |= !strcmp(options[i], "--gpu-architecture=compute_90");
    has_bf16 |= !strcmp(options[i], "-DBF16");
    has_tf32 |= !strcmp(options[i], "-DTF32");
  }
  return has_arch && has_bf16 == IS_BF16 && has_tf32 != IS_BF16 ? 0 : refuse("options", NVRTC_REFUSED);
}
EXPORT int nvrtcGetPTXSize(void *, size_t *size) { *size = sizeof "code"; return 0; }
EXPORT int nvrtcGetPTX(void *, char *code) { strcpy(code, "code"); return 0; }
EXPORT int nvrtcDestroyProgram(void **given) { *given = nullptr; return 0; }

EXPORT int cublasCreate_v2(void **made) { *made = &handle; return 0; }
namespace {
const int F32 = 0, BFLOAT16 = 14;
float get(const void *p, int type, size_t i) {
  return type == F32 ? ((const float *)p)[i] : __uint_as_float((unsigned)((const unsigned short *)p)[i] << 16);
}
}
// Matrices by columns.
EXPORT int cublasGemmEx(void *given, int transpose_a, int transpose_b, int m, int n, int k, const float *alpha, const void *a, int a_type,
                        int lda, const void *b, int b_type, int ldb, const float *beta, void *c, int c_type, int ldc, int compute, int) {
  const int factors = IS_BF16 ? BFLOAT16 : F32, compute_f32 = 68;
  if (given != &handle || a_type != factors || b_type != factors || compute != compute_f32) return refuse("types", CUBLAS_REFUSED);
  if (lda < (transpose_a ? k : m) || ldb < (transpose_b ? n : k) || ldc < m) return refuse("strides", CUBLAS_REFUSED);
  for (int j = 0; j < n; j++)
    for (int i = 0; i < m; i++) {
      float sum = 0;
      for (int l = 0; l < k; l++)
        sum += get(a, a_type, transpose_a ? (size_t)i * lda + l : (size_t)l * lda + i) *
               get(b, b_type, transpose_b ? (size_t)l * ldb + j : (size_t)j * ldb + l);
      size_t place = (size_t)j * ldc + i;
      float result = *alpha * sum + (*beta ? *beta * get(c, c_type, place) : 0);
      if (c_type == F32) ((float *)c)[place] = result;
      else {
        unsigned bits = __float_as_uint(result);
        ((unsigned short *)c)[place] = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
      }
    }
  return 0;
}
