/* Scalars as numbers: the two orders, and the bytes of a scalar in its group's order. */
#ifndef QUORATE_SCALAR_H
#define QUORATE_SCALAR_H

#include "modulus.h"
#include "quorate.h"

enum { SCALAR = 32, LONG = 48 };

extern const modulus quorate_orders[2];

/* Eight bytes as a number and back, spelled so that a compiler makes one load or store of them. */
static inline uint64_t little_endian(const uint8_t *b)
{
    return (uint64_t)b[0] | (uint64_t)b[1] << 8 | (uint64_t)b[2] << 16 | (uint64_t)b[3] << 24 | (uint64_t)b[4] << 32 |
           (uint64_t)b[5] << 40 | (uint64_t)b[6] << 48 | (uint64_t)b[7] << 56;
}

static inline uint64_t big_endian(const uint8_t *b)
{
    return (uint64_t)b[7] | (uint64_t)b[6] << 8 | (uint64_t)b[5] << 16 | (uint64_t)b[4] << 24 | (uint64_t)b[3] << 32 |
           (uint64_t)b[2] << 40 | (uint64_t)b[1] << 48 | (uint64_t)b[0] << 56;
}

static inline void load(quorate_curve curve, number *out, const uint8_t *bytes)
{
    for (size_t i = 0; i < 4; i++) {
        out->limb[i] = curve == QUORATE_SECP256K1 ? big_endian(bytes + 24 - 8 * i) : little_endian(bytes + 8 * i);
    }
}

static inline void put_little_endian(uint8_t *b, uint64_t a)
{
    b[0] = (uint8_t)a, b[1] = (uint8_t)(a >> 8), b[2] = (uint8_t)(a >> 16), b[3] = (uint8_t)(a >> 24);
    b[4] = (uint8_t)(a >> 32), b[5] = (uint8_t)(a >> 40), b[6] = (uint8_t)(a >> 48), b[7] = (uint8_t)(a >> 56);
}

static inline void put_big_endian(uint8_t *b, uint64_t a)
{
    b[0] = (uint8_t)(a >> 56), b[1] = (uint8_t)(a >> 48), b[2] = (uint8_t)(a >> 40), b[3] = (uint8_t)(a >> 32);
    b[4] = (uint8_t)(a >> 24), b[5] = (uint8_t)(a >> 16), b[6] = (uint8_t)(a >> 8), b[7] = (uint8_t)a;
}

static inline void store(quorate_curve curve, uint8_t *bytes, const number *in)
{
    for (size_t i = 0; i < 4; i++) {
        if (curve == QUORATE_SECP256K1) {
            put_big_endian(bytes + 24 - 8 * i, in->limb[i]);
        } else {
            put_little_endian(bytes + 8 * i, in->limb[i]);
        }
    }
}

#endif
