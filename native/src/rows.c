#include "rows.h"

#include <stdatomic.h>
#include <string.h>

#include "mask.h"
#include "scalar.h"

#if defined(__x86_64__) && defined(__GNUC__)
#define QUORATE_X86 1
#include <immintrin.h>
#endif

static atomic_int portable_only;

int quorate_ot_use_portable(int only)
{
    return atomic_exchange(&portable_only, only != 0);
}

/* The factor times x^n, for every n below 128. */
static void multiples(uint8_t out[128][BLOCK], const uint8_t *factor)
{
    uint64_t low = little_endian(factor), high = little_endian(factor + 8);
    for (int n = 0; n < 128; n++) {
        put_little_endian(out[n], low);
        put_little_endian(out[n] + 8, high);
        uint64_t carry = high >> 63;
        high = high << 1 | low >> 63;
        low = low << 1 ^ (mask_of(carry) & 0x87);
    }
}

static void fold_portably(uint8_t *out, const uint8_t *rows, size_t count, size_t blocks, const uint8_t *factors)
{
    uint8_t table[128][BLOCK];
    for (size_t r = 0; r < count; r++) {
        memcpy(out + r * BLOCK, rows + ((r + 1) * blocks - 1) * BLOCK, BLOCK);
    }
    for (size_t j = 0; j + 1 < blocks; j++) {
        multiples(table, factors + j * BLOCK);
        for (size_t r = 0; r < count; r++) {
            const uint8_t *block = rows + (r * blocks + j) * BLOCK;
            uint64_t sum[2] = {0};
            for (size_t n = 0; n < 128; n++) {
                uint64_t mask = mask_of(bit_of(block, n)), multiple[2];
                memcpy(multiple, table[n], sizeof multiple);
                sum[0] ^= multiple[0] & mask;
                sum[1] ^= multiple[1] & mask;
            }
            add_masked(out + r * BLOCK, (const uint8_t *)sum, sizeof sum, UINT64_MAX);
        }
    }
}

#ifdef QUORATE_X86
/* The high half of a product of 256 bits, brought down: x^128 = x^7 + x^2 + x + 1, twice. */
__attribute__((target("pclmul,sse2"))) static __m128i reduce(__m128i low, __m128i high)
{
    const __m128i tail = _mm_cvtsi64_si128(0x87);
    __m128i top = _mm_clmulepi64_si128(high, tail, 0x01);
    high = _mm_xor_si128(high, _mm_srli_si128(top, 8));
    low = _mm_xor_si128(low, _mm_slli_si128(top, 8));
    return _mm_xor_si128(low, _mm_clmulepi64_si128(high, tail, 0x00));
}

__attribute__((target("pclmul,sse2"))) static void fold_by_clmul(uint8_t *out, const uint8_t *rows, size_t count,
                                                                 size_t blocks, const uint8_t *factors)
{
    for (size_t r = 0; r < count; r++) {
        __m128i low = _mm_setzero_si128(), middle = low, high = low;
        for (size_t j = 0; j + 1 < blocks; j++) {
            __m128i a = _mm_loadu_si128((const void *)(rows + (r * blocks + j) * BLOCK));
            __m128i b = _mm_loadu_si128((const void *)(factors + j * BLOCK));
            low = _mm_xor_si128(low, _mm_clmulepi64_si128(a, b, 0x00));
            high = _mm_xor_si128(high, _mm_clmulepi64_si128(a, b, 0x11));
            middle = _mm_xor_si128(middle, _mm_clmulepi64_si128(a, b, 0x01));
            middle = _mm_xor_si128(middle, _mm_clmulepi64_si128(a, b, 0x10));
        }
        low = _mm_xor_si128(low, _mm_slli_si128(middle, 8));
        high = _mm_xor_si128(high, _mm_srli_si128(middle, 8));
        low = _mm_xor_si128(low, _mm_loadu_si128((const void *)(rows + ((r + 1) * blocks - 1) * BLOCK)));
        _mm_storeu_si128((void *)(out + r * BLOCK), reduce(low, high));
    }
}
#endif

void quorate_fold(uint8_t *out, const uint8_t *rows, size_t count, size_t blocks, const uint8_t *factors)
{
#ifdef QUORATE_X86
    if (!atomic_load(&portable_only) && __builtin_cpu_supports("pclmul")) {
        fold_by_clmul(out, rows, count, blocks, factors);
        return;
    }
#endif
    fold_portably(out, rows, count, blocks, factors);
}

/* Exchange the bits of a under the mask with those that many places above them. */
static uint64_t exchange(uint64_t a, int places, uint64_t mask)
{
    uint64_t difference = (a ^ a >> places) & mask;
    return a ^ difference ^ difference << places;
}

/* Eight rows of eight bits, row n in byte n, become eight columns: quarter by quarter of ever smaller squares. */
static uint64_t transpose_eight(uint64_t a)
{
    a = exchange(a, 28, 0x00000000f0f0f0f0);
    a = exchange(a, 14, 0x0000cccc0000cccc);
    return exchange(a, 7, 0x00aa00aa00aa00aa);
}

void quorate_transpose(uint8_t *columns, const uint8_t *rows, size_t stride, size_t bytes)
{
    for (size_t s = 0; s < bytes; s++) {
        for (size_t g = 0; g < 32; g++) {
            const uint8_t *top = rows + 8 * g * stride + s;
            uint64_t square = 0;
            for (size_t n = 0; n < 8; n++) {
                square |= (uint64_t)top[n * stride] << (8 * n);
            }
            square = transpose_eight(square);
            for (size_t n = 0; n < 8; n++) {
                columns[(8 * s + n) * 32 + g] = (uint8_t)(square >> (8 * n));
            }
        }
    }
}
