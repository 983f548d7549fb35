/* The little the C tests share: a check that names its place, a fixed pseudorandom sequence, and the libraries. */
#ifndef QUORATE_TESTS_H
#define QUORATE_TESTS_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "quorate.h"

#define CHECK(holds)                                                                                                   \
    do {                                                                                                               \
        if (!(holds)) {                                                                                                \
            fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, #holds);                                  \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

static const quorate_curve curves[2] = {QUORATE_SECP256K1, QUORATE_ED25519};

/* xorshift64* (S. Vigna, 2016): the same numbers on every run. */
static inline void fill(uint8_t *out, size_t size)
{
    static uint64_t state = 0x9e3779b97f4a7c15;
    for (size_t i = 0; i < size; i++) {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        out[i] = (uint8_t)((state * 0x2545f4914f6cdd1d) >> 56);
    }
}

static inline void fill_scalars(quorate_curve curve, uint8_t *out, size_t count)
{
    uint8_t wide[64];
    for (size_t i = 0; i < count; i++) {
        fill(wide, sizeof wide);
        quorate_scalar_reduce(curve, out + 32 * i, wide, sizeof wide, 1);
    }
}

static inline void parse_hex(uint8_t *out, const char *hex, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        unsigned byte;
        CHECK(sscanf(hex + 2 * i, "%2x", &byte) == 1);
        out[i] = (uint8_t)byte;
    }
}

/* A small number as a scalar. */
static inline void set_scalar(quorate_curve curve, uint8_t *out, uint32_t value)
{
    memset(out, 0, 32);
    for (size_t i = 0; i < 4; i++) {
        out[curve == QUORATE_SECP256K1 ? 31 - i : i] = (uint8_t)(value >> (8 * i));
    }
}

/* The two libraries are extension modules of Python, which these programs are not; nothing calls what they would take
 * from it, but this one is data and must exist for them to load. */
extern char _Py_NoneStruct[64];
char _Py_NoneStruct[64];

static inline void load_libraries(const char *secp256k1, const char *sodium)
{
    const char *problem = quorate_groups_load(secp256k1, sodium);
    if (problem != NULL) {
        fprintf(stderr, "%s\n", problem);
        exit(1);
    }
}

/* A lane of two messages with one peer: d + c = choice * input, and the other's c times the generator. */
enum { MESSAGES = 2 };

static inline void multiply_lane(uint8_t *choices, uint8_t *shares, quorate_point *nonces, quorate_point *image,
                          quorate_point *nonce_shares, quorate_point *key_shares)
{
    uint8_t secrets[MESSAGES * 32], key[32], halves[32], products[32];
    fill_scalars(QUORATE_SECP256K1, secrets, MESSAGES);
    fill_scalars(QUORATE_SECP256K1, key, 1);
    fill_scalars(QUORATE_SECP256K1, choices, MESSAGES);
    fill_scalars(QUORATE_SECP256K1, shares, 2 * MESSAGES);
    CHECK(quorate_point_base(QUORATE_SECP256K1, nonces, secrets, MESSAGES));
    CHECK(quorate_point_base(QUORATE_SECP256K1, image, key, 1));
    for (size_t k = 0; k < MESSAGES; k++) {
        for (size_t i = 0; i < 2; i++) {
            quorate_scalar_multiply(QUORATE_SECP256K1, products, choices + 32 * k, i ? key : secrets + 32 * k, 1);
            quorate_scalar_subtract(QUORATE_SECP256K1, halves, products, shares + 32 * (2 * k + i), 1);
            CHECK(quorate_point_base(QUORATE_SECP256K1, (i ? key_shares : nonce_shares) + k, halves, 1));
        }
    }
}

#endif
