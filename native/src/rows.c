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

/* 64 rows of 64 bits, of which bit n stands in column n, become columns: the upper right and the lower left quarter of
 * ever smaller squares change places. */
static void transpose_square(uint64_t *rows)
{
    uint64_t mask = UINT32_MAX;
    for (size_t half = 32; half > 0; half /= 2, mask ^= mask << half) {
        for (size_t top = 0; top < 64; top += 2 * half) {
            for (size_t n = top; n < top + half; n++) {
                uint64_t difference = (rows[n] >> half ^ rows[n + half]) & mask;
                rows[n] ^= difference << half;
                rows[n + half] ^= difference;
            }
        }
    }
}

void quorate_transpose(uint8_t *columns, const uint8_t *rows, size_t stride, size_t bytes)
{
    uint64_t square[64];
    for (size_t s = 0; s < bytes; s += 8) {
        for (size_t g = 0; g < 4; g++) {
            for (size_t n = 0; n < 64; n++) {
                square[n] = little_endian(rows + (64 * g + n) * stride + s);
            }
            transpose_square(square);
            for (size_t n = 0; n < 64; n++) {
                put_little_endian(columns + (8 * s + n) * 32 + 8 * g, square[n]);
            }
        }
    }
    quorate_wipe(square, sizeof square);
}
