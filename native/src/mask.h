/* Choices without branches. */
#ifndef QUORATE_MASK_H
#define QUORATE_MASK_H

#include <stddef.h>
#include <stdint.h>

/* Keeps the compiler from seeing that a mask has only two values and branching on it. */
static inline uint64_t hide(uint64_t mask)
{
    __asm__("" : "+r"(mask));
    return mask;
}

/* All ones for 1, zero for 0. */
static inline uint64_t mask_of(uint64_t bit)
{
    return hide(~bit + 1);
}

/* All ones if a and b, both less than 2^32, are equal. */
static inline uint64_t mask_if_equal(uint64_t a, uint64_t b)
{
    return mask_of(((a ^ b) - 1) >> 63);
}

/* Bit number n of packed bits. */
static inline uint64_t bit_of(const uint8_t *bits, size_t n)
{
    return (uint64_t)(bits[n / 8] >> (n % 8)) & 1;
}

/* out ^= mask & a. */
static inline void add_masked(uint8_t *out, const uint8_t *a, size_t size, uint64_t mask)
{
    for (size_t i = 0; i < size; i++) {
        out[i] ^= (uint8_t)(a[i] & mask);
    }
}

/* out = mask ? a : out. */
static inline void select_bytes(uint8_t *out, const uint8_t *a, size_t size, uint64_t mask)
{
    for (size_t i = 0; i < size; i++) {
        out[i] = (uint8_t)((out[i] & ~mask) | (a[i] & mask));
    }
}

#endif
