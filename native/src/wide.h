/* Sums of numbers and of products, modulo secp256k1's order and reduced only at their end. Results are made limb by
 * limb, with all that counts for one limb in a single accumulator, which compilers keep in registers. */
#ifndef QUORATE_WIDE_H
#define QUORATE_WIDE_H

#include "scalar.h"

enum {
    SUM = 9,       /* limbs of a sum of fewer than 2^48 products */
    SHORT_SUM = 7, /* of one below 2^432 */
};

/* 2^256 less the order: these two limbs and a one. */
#define EXCESS_0 0x402da1732fc9bebf
#define EXCESS_1 0x4551231950b75fc4

/* What counts for one limb and for the next, in sums that never are carried over. */
typedef struct {
    uint128 here, next;
} accumulator;

static inline void add_word(accumulator *s, uint64_t a)
{
    s->here += a;
}

static inline void add_product(accumulator *s, uint64_t a, uint64_t b)
{
    uint128 product = (uint128)a * b;
    s->here += (uint64_t)product;
    s->next += (uint64_t)(product >> 64);
}

/* What counts for 2^(64 n) in a * b. */
static inline void add_products(accumulator *s, int n, const number *a, const number *b)
{
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        if (n >= i && n < i + 4) {
            add_product(s, a->limb[i], b->limb[n - i]);
        }
    }
}

/* The same where b has two limbs. */
static inline void add_short_products(accumulator *s, int n, const number *a, const uint64_t b[2])
{
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        if (n >= i && n < i + 2) {
            add_product(s, a->limb[i], b[n - i]);
        }
    }
}

static inline uint64_t take_limb(accumulator *s)
{
    uint64_t limb = (uint64_t)s->here;
    s->here = (s->here >> 64) + s->next;
    s->next = 0;
    return limb;
}

/* a + top * 2^256 modulo the order: the top comes back times the excess, and then at most one order is too many, which
 * is so if adding the excess once more carries. */
static inline void reduce_top(number *out, const number *a, uint64_t top)
{
    uint128 s = (uint128)top * EXCESS_0 + a->limb[0];
    uint64_t x0 = (uint64_t)s;
    s = (s >> 64) + (uint128)top * EXCESS_1 + a->limb[1];
    uint64_t x1 = (uint64_t)s;
    s = (s >> 64) + top + a->limb[2];
    uint64_t x2 = (uint64_t)s;
    s = (s >> 64) + a->limb[3];
    uint64_t x3 = (uint64_t)s, over = (uint64_t)(s >> 64);

    s = (uint128)x0 + EXCESS_0;
    s = (s >> 64) + x1 + EXCESS_1;
    s = (s >> 64) + x2 + 1;
    s = (s >> 64) + x3;
    uint64_t mask = mask_of(over | (uint64_t)(s >> 64));
    s = (uint128)x0 + (EXCESS_0 & mask);
    out->limb[0] = (uint64_t)s;
    s = (s >> 64) + x1 + (EXCESS_1 & mask);
    out->limb[1] = (uint64_t)s;
    s = (s >> 64) + x2 + (1 & mask);
    out->limb[2] = (uint64_t)s;
    out->limb[3] = (uint64_t)(s >> 64) + x3;
}

/* What is above 2^256 comes back times the excess: so many limbs become fewer. A fold takes nearly 127 bits off, so 9
 * limbs below 2^560 fit 7, and these 5. */
static inline void fold(uint64_t *out, int fewer, const uint64_t *limbs, int count)
{
    accumulator s = {0, 0};
#pragma GCC unroll 7
    for (int i = 0; i < fewer; i++) {
        if (i < 4) {
            add_word(&s, limbs[i]);
        }
        if (i + 4 < count) {
            add_product(&s, limbs[i + 4], EXCESS_0);
        }
        if (i >= 1 && i + 3 < count) {
            add_product(&s, limbs[i + 3], EXCESS_1);
        }
        if (i >= 2 && i + 2 < count) {
            add_word(&s, limbs[i + 2]);
        }
        out[i] = take_limb(&s);
    }
}

/* For a sum of numbers, and of few products of one and two limbs. */
static inline void reduce_short_sum(number *out, const uint64_t limbs[SHORT_SUM])
{
    uint64_t once[5];
    fold(once, 5, limbs, SHORT_SUM);
    const number low = {{once[0], once[1], once[2], once[3]}};
    reduce_top(out, &low, once[4]);
}

static inline void reduce_sum(number *out, const uint64_t limbs[SUM])
{
    uint64_t once[7], twice[5];
    fold(once, 7, limbs, SUM);
    fold(twice, 5, once, 7);
    const number low = {{twice[0], twice[1], twice[2], twice[3]}};
    reduce_top(out, &low, twice[4]);
}

/* LONG bytes, big-endian. */
static inline void reduce_long(number *out, const uint8_t *bytes)
{
    uint64_t limbs[6], once[5];
    for (size_t i = 0; i < 6; i++) {
        limbs[i] = big_endian(bytes + LONG - 8 * (i + 1));
    }
    fold(once, 5, limbs, 6);
    const number low = {{once[0], once[1], once[2], once[3]}};
    reduce_top(out, &low, once[4]);
}

#endif
