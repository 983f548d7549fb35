/* 256 base oblivious transfers (Masny and Rindal, "Endemic oblivious transfer", 2019/706). */
#include <string.h>

#include "checkmem.h"
#include "digest.h"
#include "group.h"
#include "mask.h"
#include "ot.h"
#include "scalar.h"

enum { UNIFORM = 64 };

/* Instance, side and which half, then the other point. */
enum { STATEMENT = 4 + POINT, KEY_STATEMENT = 3 + POINT };

/* Two ElligatorSwift decodings, whose sum is a point of unknown logarithm. They take a time of their own, from public
 * hashes or from bytes that are published as a point. */
static int decode_two(quorate_point *out, const uint8_t *uniform)
{
    return quorate_secp256k1_swift(&out[0], uniform) && quorate_secp256k1_swift(&out[1], uniform + UNIFORM);
}

static int hash_to_two(quorate_point *out, const uint8_t *context, size_t j, int side, const uint8_t *other)
{
    uint8_t statement[STATEMENT] = {(uint8_t)(j >> 8), (uint8_t)j, (uint8_t)side}, uniform[2 * UNIFORM];
    memcpy(statement + 4, other, POINT);
    for (size_t half = 0; half < 2; half++) {
        statement[3] = (uint8_t)half;
        quorate_digest(uniform + half * UNIFORM, UNIFORM, TAG_POINT, FIELDS(context, statement, STATEMENT), 2);
    }
    return decode_two(out, uniform);
}

static void hash_key(uint8_t *key, const uint8_t *context, size_t j, uint64_t side, const uint8_t *shared)
{
    uint8_t statement[KEY_STATEMENT] = {(uint8_t)(j >> 8), (uint8_t)j, (uint8_t)side};
    memcpy(statement + 3, shared, POINT);
    quorate_digest(key, SEED, TAG_KEY, FIELDS(context, statement, KEY_STATEMENT), 2);
    quorate_wipe(statement, sizeof statement);
}

static int sum_encoded(uint8_t *out, const quorate_point *points, size_t count)
{
    quorate_point total;
    return quorate_point_sum(QUORATE_SECP256K1, &total, points, count) &&
           quorate_point_encode(QUORATE_SECP256K1, out, &total);
}

/* t·G - H2C(side, j, other), as it would be were this side the chosen one. */
static int choose_side(uint8_t *out, const uint8_t *context, size_t j, int side, const uint8_t *other,
                       const quorate_point *multiple)
{
    quorate_point terms[3], pair[2];
    terms[0] = *multiple;
    int done = hash_to_two(pair, context, j, side, other) &&
               quorate_point_negate(QUORATE_SECP256K1, &terms[1], &pair[0]) &&
               quorate_point_negate(QUORATE_SECP256K1, &terms[2], &pair[1]) && sum_encoded(out, terms, 3);
    quorate_wipe(terms, sizeof terms);
    return done;
}

/* Both sides are computed, whatever the bit; then the bit only selects. */
static int choose(uint8_t *out, const uint8_t *context, size_t j, uint64_t bit, const uint8_t *logarithm,
                  const uint8_t *uniform)
{
    quorate_point multiple, pair[2];
    uint8_t other[POINT], mine[2][POINT];
    int done = quorate_point_base(QUORATE_SECP256K1, &multiple, logarithm, 1) &&
               quorate_point_encode(QUORATE_SECP256K1, other, &multiple) && /* not the identity */
               decode_two(pair, uniform) && sum_encoded(other, pair, 2) && choose_side(mine[0], context, j, 0, other, &multiple) &&
               choose_side(mine[1], context, j, 1, other, &multiple);
    if (done) {
        memcpy(out, mine[0], POINT);
        select_bytes(out, other, POINT, mask_of(bit));
        memcpy(out + POINT, other, POINT);
        select_bytes(out + POINT, mine[1], POINT, mask_of(bit));
        QUORATE_DECLASSIFY(out, 2 * POINT);
    }
    quorate_wipe(&multiple, sizeof multiple);
    quorate_wipe(mine, sizeof mine);
    return done;
}

int quorate_ot_base_choose(uint8_t *message, const uint8_t *context, const uint8_t *choices, const uint8_t *logarithms,
                           const uint8_t *uniform)
{
    int done = 1;
    for (size_t j = 0; j < BASE_OTS && done; j++) {
        done = choose(message + j * 2 * POINT, context, j, bit_of(choices, j), logarithms + j * SCALAR,
                      uniform + j * 2 * UNIFORM);
    }
    return done;
}

/* One side of one instance: B, and the key, from A = r + H2C(side, j, the other r). */
static int answer(uint8_t *out, uint8_t *key, const uint8_t *context, size_t j, int side, const uint8_t *pair,
                  const quorate_point *mine, const uint8_t *logarithm)
{
    quorate_point terms[3], a, b;
    uint8_t shared[POINT], sum[POINT];
    terms[0] = *mine;
    int done = hash_to_two(terms + 1, context, j, side, pair + (1 - side) * POINT) &&
               quorate_point_sum(QUORATE_SECP256K1, &a, terms, 3) &&
               quorate_point_encode(QUORATE_SECP256K1, sum, &a) && /* not the identity */
               quorate_point_base(QUORATE_SECP256K1, &b, logarithm, 1) &&
               quorate_point_encode(QUORATE_SECP256K1, out, &b) && quorate_secp256k1_agree(shared, logarithm, &a);
    if (done) {
        hash_key(key, context, j, (uint64_t)side, shared);
    }
    quorate_wipe(shared, sizeof shared);
    return done;
}

int quorate_ot_base_answer(uint8_t *message, uint8_t *keys, const uint8_t *context, const uint8_t *chosen,
                           const uint8_t *logarithms)
{
    int done = 1;
    for (size_t j = 0; j < BASE_OTS && done; j++) {
        const uint8_t *pair = chosen + j * 2 * POINT;
        quorate_point points[2];
        for (int side = 0; side < 2 && done; side++) {
            done = quorate_point_decode(QUORATE_SECP256K1, &points[side], pair + side * POINT);
        }
        for (int side = 0; side < 2 && done; side++) {
            size_t place = 2 * j + (size_t)side;
            done = answer(message + place * POINT, keys + place * SEED, context, j, side, pair, &points[side],
                          logarithms + place * SCALAR);
        }
    }
    return done;
}

int quorate_ot_base_finish(uint8_t *keys, const uint8_t *context, const uint8_t *choices, const uint8_t *logarithms,
                           const uint8_t *answered)
{
    quorate_point sides[2];
    uint8_t shared[POINT];
    int done = 1;
    for (size_t j = 0; j < BASE_OTS && done; j++) {
        uint64_t bit = bit_of(choices, j);
        for (size_t side = 0; side < 2 && done; side++) {
            done = quorate_point_decode(QUORATE_SECP256K1, &sides[side], answered + (2 * j + side) * POINT);
        }
        if (done) {
            select_bytes(sides[0].bytes, sides[1].bytes, sizeof sides[0], mask_of(bit));
            /* The product takes the same time whichever point it is of: memcheck alone would not know. */
            QUORATE_DECLASSIFY(&sides[0], sizeof sides[0]);
            done = quorate_secp256k1_agree(shared, logarithms + j * SCALAR, &sides[0]);
            hash_key(keys + j * SEED, context, j, bit, shared);
        }
    }
    quorate_wipe(sides, sizeof sides);
    quorate_wipe(shared, sizeof shared);
    return done;
}
