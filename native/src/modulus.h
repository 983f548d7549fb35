/* Arithmetic modulo an odd number of at most 256 bits, in four 64-bit limbs, least significant first.
 *
 * One multiplication serves everything: Montgomery's (a, b) -> a * b / 2^256, P. L. Montgomery, "Modular
 * multiplication without trial division", 1985, interleaved limb by limb. A number x is in Montgomery form when
 * x * 2^256 stands for it; multiplying a plain number by one in Montgomery form gives a plain product.
 */
#ifndef QUORATE_MODULUS_H
#define QUORATE_MODULUS_H

#include <stdint.h>

#include "mask.h"

__extension__ typedef unsigned __int128 uint128;

typedef struct {
    uint64_t limb[4];
} number;

typedef struct {
    number value;
    number square; /* 2^512 modulo it */
    uint64_t inverse; /* -1 / it modulo 2^64 */
} modulus;

/* out = a - b modulo 2^256; returns the borrow. */
static inline uint64_t number_subtract(number *out, const number *a, const number *b)
{
    uint64_t borrow = 0;
    for (int i = 0; i < 4; i++) {
        uint128 difference = (uint128)a->limb[i] - b->limb[i] - borrow;
        out->limb[i] = (uint64_t)difference;
        borrow = (uint64_t)(difference >> 64) & 1;
    }
    return borrow;
}

/* out = mask ? a : out. Limb by limb: as vectors they would wait for limbs just stored. */
static inline void number_select(number *out, const number *a, uint64_t mask)
{
    for (int i = 0; i < 4; i++) {
        out->limb[i] = hide((out->limb[i] & ~mask) | (a->limb[i] & mask));
    }
}

static inline uint64_t number_is_zero(const number *a)
{
    uint64_t any = a->limb[0] | a->limb[1] | a->limb[2] | a->limb[3];
    return 1 ^ ((any | (~any + 1)) >> 63);
}

/* a + carry * 2^256, known to be less than twice the modulus, becomes less than it. */
static inline void reduce_once(const modulus *m, number *a, uint64_t carry)
{
    number less;
    uint64_t borrow = number_subtract(&less, a, &m->value);
    number_select(a, &less, mask_of(carry | (borrow ^ 1)));
}

static inline void add(const modulus *m, number *out, const number *a, const number *b)
{
    uint64_t carry = 0;
    for (int i = 0; i < 4; i++) {
        uint128 sum = (uint128)a->limb[i] + b->limb[i] + carry;
        out->limb[i] = (uint64_t)sum;
        carry = (uint64_t)(sum >> 64);
    }
    reduce_once(m, out, carry);
}

static inline void subtract(const modulus *m, number *out, const number *a, const number *b)
{
    uint64_t mask = mask_of(number_subtract(out, a, b));
    uint64_t carry = 0;
    for (int i = 0; i < 4; i++) {
        uint128 sum = (uint128)out->limb[i] + (m->value.limb[i] & mask) + carry;
        out->limb[i] = (uint64_t)sum;
        carry = (uint64_t)(sum >> 64);
    }
}

/* out = a * b / 2^256. One of a and b may be any number of 256 bits, the other is less than the modulus. */
static inline void multiply(const modulus *m, number *out, const number *a, const number *b)
{
    uint64_t t[5] = {0};
    for (int i = 0; i < 4; i++) {
        uint64_t carry = 0;
        for (int j = 0; j < 4; j++) {
            uint128 sum = (uint128)a->limb[j] * b->limb[i] + t[j] + carry;
            t[j] = (uint64_t)sum;
            carry = (uint64_t)(sum >> 64);
        }
        uint128 top = (uint128)t[4] + carry;

        uint64_t q = t[0] * m->inverse;
        carry = (uint64_t)(((uint128)q * m->value.limb[0] + t[0]) >> 64);
        for (int j = 1; j < 4; j++) {
            uint128 sum = (uint128)q * m->value.limb[j] + t[j] + carry;
            t[j - 1] = (uint64_t)sum;
            carry = (uint64_t)(sum >> 64);
        }
        top += carry;
        t[3] = (uint64_t)top;
        t[4] = (uint64_t)(top >> 64);
    }
    for (int i = 0; i < 4; i++) {
        out->limb[i] = t[i];
    }
    reduce_once(m, out, t[4]);
}

/* out = a * b / 2^64 for a less than the modulus: a quarter of the work where one factor is short. */
static inline void multiply_word(const modulus *m, number *out, const number *a, uint64_t b)
{
    uint64_t t[5], carry = 0;
    for (int i = 0; i < 4; i++) {
        uint128 sum = (uint128)a->limb[i] * b + carry;
        t[i] = (uint64_t)sum;
        carry = (uint64_t)(sum >> 64);
    }
    t[4] = carry;

    uint64_t q = t[0] * m->inverse;
    carry = (uint64_t)(((uint128)q * m->value.limb[0] + t[0]) >> 64);
    for (int i = 1; i < 4; i++) {
        uint128 sum = (uint128)q * m->value.limb[i] + t[i] + carry;
        out->limb[i - 1] = (uint64_t)sum;
        carry = (uint64_t)(sum >> 64);
    }
    uint128 top = (uint128)t[4] + carry;
    out->limb[3] = (uint64_t)top;
    reduce_once(m, out, (uint64_t)(top >> 64));
}

/* out = a * 2^256 modulo m: into Montgomery form. a may be any number of 256 bits. */
static inline void enter(const modulus *m, number *out, const number *a)
{
    multiply(m, out, a, &m->square);
}

/* out = a / 2^256 modulo m: out of Montgomery form. */
static inline void leave(const modulus *m, number *out, const number *a)
{
    const number one = {{1, 0, 0, 0}};
    multiply(m, out, a, &one);
}

#endif
