// CUDA for tests: each thread of a block is a fiber, blocks run one after another. A fiber runs until it meets others (a
// barrier, a shuffle), so that what is read too early is not there yet: shared memory holds NaN at first. A warp runs
// until its next barrier before another does, first to last or last to first. What a GPU would leave undefined is an
// error here: barriers that not all threads reach, shuffles by a part of a warp, more shared memory than was asked for.
#include <math.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include <utility>

#define DEVICE static inline
#define KERNEL extern "C"
#define __shared__ static __attribute__((section("shared_memory")))
#define DYNAMIC_SHARED(name) uint4 *name = (uint4 *)dynamic_shared

struct alignas(16) uint4 { unsigned x, y, z, w; };
struct alignas(16) float4 { float x, y, z, w; };
struct alignas(8) float2 { float x, y; };

namespace {
const unsigned MOST_THREADS = 256, WARP = 32, STACK = 1 << 16, SHARED_FLOATS = 99 * 1024 / 4;
struct Dimensions { unsigned x, y; };
Dimensions threadIdx, blockIdx, blockDim, gridDim;

enum State { RUNNING, AT_WARP, AT_BLOCK, DONE };
struct Fiber { ucontext_t start; jmp_buf at; State state; bool has_begun; };
Fiber fibers[MOST_THREADS];
char stacks[MOST_THREADS][STACK];
jmp_buf scheduler;
unsigned current;
void (*body)(void **);
void **body_arguments;
const char *failure;

alignas(16) float dynamic_shared[SHARED_FLOATS];
union Slot { float x; const void *address; unsigned words[6]; };
Slot exchanged[2][MOST_THREADS];
unsigned exchanges[MOST_THREADS];

__attribute__((noinline)) void meet(State state) {
  fibers[current].state = state;
  if (!_setjmp(fibers[current].at)) _longjmp(scheduler, 1);
}
void entry() {
  for (;;) {
    body(body_arguments);
    meet(DONE);
  }
}
__attribute__((noinline)) void resume(unsigned thread) {
  Fiber &fiber = fibers[thread];
  current = thread;
  threadIdx = {thread, 0};
  if (_setjmp(scheduler)) return;
  if (fiber.has_begun) _longjmp(fiber.at, 1);
  fiber.has_begun = true;
  getcontext(&fiber.start);
  fiber.start.uc_stack.ss_sp = stacks[thread];
  fiber.start.uc_stack.ss_size = STACK;
  makecontext(&fiber.start, entry, 0);
  setcontext(&fiber.start);
}

#ifdef WITHOUT_BARRIERS
void __syncthreads() {}
#else
void __syncthreads() { meet(AT_BLOCK); }
#endif
void __syncwarp() { meet(AT_WARP); }
// Two slots in turn: nobody writes one before all have read it.
Slot *exchange(Slot mine) {
  Slot *slots = exchanged[exchanges[current]++ % 2];
  slots[current] = mine;
  meet(AT_WARP);
  return slots;
}
float __shfl_xor_sync(unsigned, float x, int mask) { return exchange({x})[current ^ mask].x; }
float __uint_as_float(unsigned bits) { float x; memcpy(&x, &bits, 4); return x; }
unsigned __float_as_uint(float x) { unsigned bits; memcpy(&bits, &x, 4); return bits; }
unsigned to_bf16(float x) {
  unsigned bits = __float_as_uint(x);
  return x != x ? 0x7fff : (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}
unsigned round_pair(float low, float high) { return to_bf16(high) << 16 | to_bf16(low); }

// The tensor cores' instructions, as the PTX ISA describes them: ldmatrix on 16-bit numbers first.
unsigned short number_at(const void *row, unsigned i) { return ((const unsigned short *)row)[i]; }
template <class Row> void load_matrices_by(unsigned (&out)[4], const Row *row, bool is_transposed) {
  if ((uintptr_t)row % 16) failure = "a row of a matrix that does not begin at 16 bytes";
  Slot mine; mine.address = row;
  const Slot *rows = exchange(mine);
  unsigned first = current / WARP * WARP, lane = current % WARP;
  for (unsigned m = 0; m < 4; m++) {
    const Slot *matrix = rows + first + 8 * m;
    unsigned pair = lane % 4 * 2, other = lane / 4;
    out[m] = is_transposed ? number_at(matrix[pair].address, other) | number_at(matrix[pair + 1].address, other) << 16
                           : number_at(matrix[other].address, pair) | number_at(matrix[other].address, pair + 1) << 16;
  }
}
template <class Row> void load_matrices(unsigned (&out)[4], const Row *row) { load_matrices_by(out, row, false); }
template <class Row> void load_matrices_transposed(unsigned (&out)[4], const Row *row) { load_matrices_by(out, row, true); }
// A product of 16 x inner by inner x 8 numbers. A word of a lane holds `packed` of them: of each four lanes, those of a row or a
// column side by side; the words of `a` are of rows 0 to 7 and 8 to 15, then of the second half of inner.
template <unsigned inner, class Number>
void multiply(float (&sum)[4], const unsigned (&a)[4], unsigned b_low, unsigned b_high, Number number) {
  const unsigned half = inner / 2, packed = half / 4;
  Slot mine;
  for (unsigned i = 0; i < 4; i++) mine.words[i] = a[i];
  mine.words[4] = b_low, mine.words[5] = b_high;
  const Slot *lanes = exchange(mine) + current / WARP * WARP;
  unsigned lane = current % WARP;
  for (unsigned i = 0; i < 4; i++) {
    unsigned row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
    for (unsigned k = 0; k < inner; k++) {
      unsigned owner = k % half / packed;
      sum[i] += number(lanes[row % 8 * 4 + owner].words[row / 8 + k / half * 2], k % packed) *
                number(lanes[column * 4 + owner].words[4 + k / half], k % packed);
    }
  }
}
// mma.m16n8k16.
void multiply_matrices(float (&sum)[4], const unsigned (&a)[4], unsigned b_low, unsigned b_high) {
  auto number = [](unsigned word, unsigned upper) { return __uint_as_float(upper ? word & 0xffff0000u : word << 16); };
  multiply<16>(sum, a, b_low, b_high, number);
}
// mma.m16n8k8 on numbers whose lower 13 bits are not looked at.
void multiply_matrices_of_8(float (&sum)[4], const unsigned (&a)[4], unsigned b_low, unsigned b_high) {
  multiply<8>(sum, a, b_low, b_high, [](unsigned word, unsigned) { return __uint_as_float(word & 0xffffe000u); });
}
}

extern "C" char __start_shared_memory[], __stop_shared_memory[];

namespace {
// All bits set is NaN in every type of number.
unsigned char poison[sizeof dynamic_shared];
void poison_shared() {
  memset(poison, 0xff, sizeof poison);
  memset(__start_shared_memory, 0xff, __stop_shared_memory - __start_shared_memory);
  memcpy(dynamic_shared, poison, sizeof poison);
}
bool is_poisoned_from(unsigned bytes) { return !memcmp((char *)dynamic_shared + bytes, poison, sizeof poison - bytes); }

// Runs the threads of a warp until all are at a barrier, or done. False where only some of them are at a shuffle.
bool run_warp(unsigned first) {
  for (;;) {
    unsigned at_warp = 0;
    for (unsigned t = first; t < first + WARP; t++) {
      if (fibers[t].state == RUNNING) resume(t);
      at_warp += fibers[t].state == AT_WARP;
    }
    if (at_warp < WARP) return !at_warp;
    for (unsigned t = first; t < first + WARP; t++) fibers[t].state = RUNNING;
  }
}

void run_block() {
  unsigned threads = blockDim.x, warps = threads / WARP;
  for (unsigned t = 0; t < threads; t++) fibers[t].state = RUNNING, exchanges[t] = 0;
  for (unsigned turn = 0;; turn++) {
    for (unsigned i = 0; i < warps && !failure; i++)
      if (!run_warp((turn % 2 ? warps - 1 - i : i) * WARP)) failure = "a shuffle by a part of a warp";
    unsigned done = 0;
    for (unsigned t = 0; t < threads; t++) done += fibers[t].state == DONE;
    if (done && done < threads) failure = "a barrier that not all threads reach";
    if (done || failure) return;
    for (unsigned t = 0; t < threads; t++) fibers[t].state = RUNNING;
  }
}

template <class... A, size_t... I> void invoke(void (*kernel)(A...), void **arguments, std::index_sequence<I...>) {
  kernel(*(A *)arguments[I]...);
}
template <class... A> void invoke(void (*kernel)(A...), void **arguments) {
  invoke(kernel, arguments, std::index_sequence_for<A...>());
}
template <auto kernel> void call(void **arguments) { invoke(kernel, arguments); }

struct Entry { const char *name; void (*run)(void **); };
extern const Entry entries[];
extern const unsigned entry_count;
}

// Returns what went wrong, or null.
extern "C" const char *emulate(const char *name, unsigned columns, unsigned rows, unsigned threads, unsigned shared, void **arguments) {
  body = nullptr;
  for (unsigned i = 0; i < entry_count; i++) if (!strcmp(entries[i].name, name)) body = entries[i].run;
  if (!body) return "no such kernel";
  if (threads % WARP || threads > MOST_THREADS) return "a block of a part of a warp, or too large";
  if (shared > sizeof dynamic_shared) return "more shared memory than there is";
  body_arguments = arguments;
  gridDim = {columns, rows}, blockDim = {threads, 1}, failure = nullptr;
  for (unsigned i = 0; i < columns * rows && !failure; i++) {
    blockIdx = {i % columns, i / columns};
    poison_shared();
    run_block();
    if (!failure && !is_poisoned_from(shared)) failure = "more shared memory was written than asked for";
  }
  // Fibers that still wait would go on in the next kernel.
  if (failure) for (Fiber &fiber : fibers) fiber.has_begun = false;
  return failure;
}
