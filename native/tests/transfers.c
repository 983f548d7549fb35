/* transfers LIBSECP256K1 LIBSODIUM
 *
 * Oblivious transfer from set-up to product, the matrices under it, and what a cheat must not pass. That every byte is
 * the right one is for tests/unit/test_native_ot.py to say.
 */
#include "../src/wide.h"
#include "transfers.h"

static setup pair;
static multiplied made;

static void test_long_numbers_are_reduced(void)
{
    static const char *const edges[] = {
        "000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000",
        "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "00000000000000000000000000000000fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364140",
        "00000000000000000000000000000000fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141",
        /* less than twice the excess away from another carry */
        "ffffffffffffffffffffffffffffffffbaaedce6af48a03bbfd25e8cd03641424551231950b75fc4402da1732fc9bebe",
        "ffffffffffffffffffffffffffffffffbaaedce6af48a03bbfd25e8cd03641424551231950b75fc4402da1732fc9bebf",
        "ffffffffffffffffffffffffffffffffbaaedce6af48a03bbfd25e8cd036414100000000000000000000000000000000",
        "800000000000000000000000000000005d576e7357a4501ddfe92f46681b20a07fffffffffffffffffffffffffffffff",
        "800000000000000000000000000000005d576e7357a4501ddfe92f46681b20a080000000000000000000000000000000",
        "800000000000000000000000000000005d576e7357a4501ddfe92f46681b209f3aaedce6af48a03bbfd25e8cd0364141",
        "ffffffffffffffff0000000000000000baaedce6af48a03d052381a620eda105402da1732fc9bebeffffffffffffffff",
        "ffffffffffffffff0000000000000000baaedce6af48a03d052381a620eda105402da1732fc9bebf0000000000000000",
        "ffffffffffffffff0000000000000000baaedce6af48a03d052381a620eda103fadc7e59df125efabfd25e8cd0364141",
        "00000000000000000000000000000001fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364140",
        "00000000000000000000000000000001fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141",
        "00000000000000000000000000000001fffffffffffffffffffffffffffffffd755db9cd5e9140777fa4bd19a06c8282",
    };
    uint8_t bytes[LONG], expected[32], out[32];
    number reduced;
    for (size_t i = 0; i < sizeof edges / sizeof *edges + 1000; i++) {
        if (i < sizeof edges / sizeof *edges) {
            parse_hex(bytes, edges[i], LONG);
        } else {
            fill(bytes, LONG);
        }
        reduce_long(&reduced, bytes);
        store(QUORATE_SECP256K1, out, &reduced);
        CHECK(quorate_scalar_reduce(QUORATE_SECP256K1, expected, bytes, LONG, 1));
        CHECK(memcmp(out, expected, 32) == 0);
    }
}

static void test_sums_are_reduced(void)
{
    uint8_t bytes[64], expected[32], out[32];
    number reduced;
    for (int round = 0; round < 1000; round++) {
        uint64_t limbs[SUM] = {0};
        fill(bytes, sizeof bytes);
        for (size_t i = 0; i < 8; i++) {
            if ((round >> i & 1) != 0) {
                memset(bytes + 8 * i, round % 3 == 0 ? 0 : 0xff, 8);
            }
            limbs[7 - i] = big_endian(bytes + 8 * i);
        }
        reduce_sum(&reduced, limbs);
        store(QUORATE_SECP256K1, out, &reduced);
        CHECK(quorate_scalar_reduce(QUORATE_SECP256K1, expected, bytes, sizeof bytes, 1));
        CHECK(memcmp(out, expected, 32) == 0);
    }
    /* The largest, (2^48 - 1) 2^512, and the same in two steps of 2^256. */
    uint64_t most[SUM] = {0, 0, 0, 0, 0, 0, 0, 0, UINT64_C(0xffffffffffff)}, shifted[SUM] = {0};
    number high, again;
    reduce_sum(&high, most);
    shifted[4] = most[8];
    reduce_sum(&again, shifted);
    memcpy(shifted + 4, again.limb, sizeof again.limb);
    reduce_sum(&again, shifted);
    CHECK(memcmp(&high, &again, sizeof high) == 0);
}

static void test_short_sums_are_reduced(void)
{
    uint8_t bytes[64], expected[32], out[32];
    number reduced;
    for (int round = 0; round < 1000; round++) {
        uint64_t limbs[SHORT_SUM] = {0};
        fill(bytes, sizeof bytes);
        memset(bytes, 0, 10); /* below 2^432 */
        for (size_t i = 1; i < 8; i++) {
            if ((round >> i & 1) != 0) {
                memset(bytes + (i == 1 ? 10 : 8 * i), round % 3 == 0 ? 0 : 0xff, i == 1 ? 6 : 8);
            }
            limbs[7 - i] = big_endian(bytes + 8 * i);
        }
        reduce_short_sum(&reduced, limbs);
        store(QUORATE_SECP256K1, out, &reduced);
        CHECK(quorate_scalar_reduce(QUORATE_SECP256K1, expected, bytes, sizeof bytes, 1));
        CHECK(memcmp(out, expected, 32) == 0);
    }
}

static void fold_both_ways(uint8_t *out, const uint8_t *rows, size_t count, size_t blocks, const uint8_t *factors)
{
    uint8_t portable[8 * BLOCK];
    CHECK(!quorate_ot_use_portable(1));
    quorate_fold(portable, rows, count, blocks, factors);
    CHECK(quorate_ot_use_portable(0));
    quorate_fold(out, rows, count, blocks, factors);
    CHECK(memcmp(out, portable, count * BLOCK) == 0);
}

static void test_folding(void)
{
    enum { ROWS = 8, BLOCKS = 5 };
    uint8_t rows[ROWS * BLOCKS * BLOCK], factors[(BLOCKS - 1) * BLOCK], out[ROWS * BLOCK], sum[BLOCKS * BLOCK];
    for (int round = 0; round < 200; round++) {
        fill(rows, sizeof rows);
        fill(factors, sizeof factors);
        fold_both_ways(out, rows, ROWS, BLOCKS, factors);
        for (size_t n = 0; n < sizeof sum; n++) {
            sum[n] = rows[n] ^ rows[sizeof sum + n];
        }
        uint8_t of_sum[BLOCK];
        fold_both_ways(of_sum, sum, 1, BLOCKS, factors);
        for (size_t n = 0; n < BLOCK; n++) {
            CHECK(of_sum[n] == (out[n] ^ out[BLOCK + n])); /* linear in the row */
        }
    }
    /* x^127 * x = x^7 + x^2 + x + 1, and x^127 * x^127 = x^254. */
    uint8_t row[2 * BLOCK] = {0}, factor[BLOCK] = {2}, product_of[BLOCK];
    row[15] = 0x80;
    fold_both_ways(product_of, row, 1, 2, factor);
    static const uint8_t expected[BLOCK] = {0x87};
    CHECK(memcmp(product_of, expected, BLOCK) == 0);
    memset(factor, 0, BLOCK);
    factor[15] = 0x80;
    fold_both_ways(product_of, row, 1, 2, factor);
    /* x^254 = x^126 (x^7 + x^2 + x + 1) = x^5 (x^7 + x^2 + x + 1) + (x^7 + x^2 + x + 1) + x^127 + x^126 */
    static const uint8_t square[BLOCK] = {0x67, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xc0};
    CHECK(memcmp(product_of, square, BLOCK) == 0);
    memset(rows, 0xff, sizeof rows);
    memset(factors, 0xff, sizeof factors);
    fold_both_ways(out, rows, ROWS, BLOCKS, factors);
    fold_both_ways(out, rows, ROWS, 1, NULL);
    CHECK(memcmp(out, rows, sizeof out) == 0);
}

static void test_transposition(void)
{
    enum { BYTES = 24, STRIDE = 40 };
    static uint8_t rows[256 * STRIDE], columns[8 * BYTES * 32];
    fill(rows, sizeof rows);
    quorate_transpose(columns, rows, STRIDE, BYTES);
    for (size_t j = 0; j < 8 * BYTES; j++) {
        for (size_t i = 0; i < 256; i++) {
            unsigned in = (unsigned)rows[i * STRIDE + j / 8] >> (j % 8) & 1;
            CHECK(in == ((unsigned)columns[j * 32 + i / 8] >> (i % 8) & 1));
        }
    }
}

static void test_base_transfers(void)
{
    static uint8_t out[BASE_MESSAGE], keys[sizeof pair.keys];
    for (size_t j = 0; j < BASE_OTS; j++) {
        size_t bit = (size_t)pair.choices[j / 8] >> (j % 8) & 1;
        CHECK(memcmp(pair.known + j * SEED, pair.keys + (2 * j + bit) * SEED, SEED) == 0);
        CHECK(memcmp(pair.known + j * SEED, pair.keys + (2 * j + 1 - bit) * SEED, SEED) != 0);
    }
    for (size_t place = 0; place < BASE_MESSAGE; place += POINT * 37) {
        uint8_t before = pair.chosen[place];
        pair.chosen[place] = 5;
        CHECK(!quorate_ot_base_answer(out, keys, pair.context, pair.chosen, pair.s));
        pair.chosen[place] = before;
        before = pair.answered[place];
        pair.answered[place] = 5;
        CHECK(!quorate_ot_base_finish(keys, pair.context, pair.choices, pair.t, pair.answered));
        pair.answered[place] = before;
    }
    uint8_t scalar[32];
    memcpy(scalar, pair.t, 32);
    memset(pair.t, 0, 32);
    CHECK(!quorate_ot_base_choose(out, pair.context, pair.choices, pair.t, pair.uniform));
    memcpy(pair.t, scalar, 32);
}

static void test_trees_lack_one_leaf(void)
{
    for (size_t i = 0; i < TREES; i++) {
        size_t missing = pair.punctured[TREES * LEAVES * SEED + i];
        for (size_t y = 0; y < LEAVES; y++) {
            static const uint8_t nothing[SEED];
            const uint8_t *leaf = pair.leaves + (i * LEAVES + y) * SEED;
            CHECK(memcmp(pair.punctured + (i * LEAVES + y) * SEED, y == missing ? nothing : leaf, SEED) == 0);
        }
    }
    int accepted = 1;
    static uint8_t out[sizeof pair.punctured];
    pair.corrections[TREE_MESSAGE - 1] ^= 1;
    CHECK(quorate_ot_puncture(out, &accepted, pair.context, pair.choices, pair.known, pair.corrections) && !accepted);
    pair.corrections[TREE_MESSAGE - 1] ^= 1;
}

static void test_products(void)
{
    for (int round = 0; round < 4; round++) {
        CHECK(quorate_ot_use_portable(round % 2) == (round ? (round - 1) % 2 : 0));
        extend_pair(&made, &pair);
        multiply_pair(&made, &pair);
        CHECK(is_a_product(&made));
    }
    quorate_ot_use_portable(0);
}

static void test_cheats(void)
{
    static const uint8_t nothing[sizeof made.zeta];
    int accepted = 1;
    for (size_t place = 0; place < M1; place += 509) {
        memset(made.zeta, 0, sizeof made.zeta);
        made.m1[place] ^= 0x10;
        CHECK(quorate_ot_accept(made.zeta, &accepted, pair.context, pair.punctured, made.m1, BATCH));
        made.m1[place] ^= 0x10;
        CHECK(accepted || memcmp(made.zeta, nothing, sizeof made.zeta) == 0);
        /* A row is only seen where delta has a bit: one tree in four has none. */
        CHECK(!accepted || (place >= SALT && place < M1 - 48 &&
                            pair.punctured[TREES * LEAVES * SEED + (place - SALT) / ROW_SIZE] == 0));
    }
    for (size_t place = 0; place < M2; place += 997) {
        memset(made.d, 0, sizeof made.d);
        made.m2[place] ^= 1;
        CHECK(quorate_ot_finish(made.d, &accepted, pair.context, made.gadgets, made.beta, made.psi, made.salts[0],
                                made.m2, BATCH));
        made.m2[place] ^= 1;
        CHECK(accepted == 0 && memcmp(made.d, nothing, sizeof made.d) == 0);
    }
    memset(made.m2 + SALT, 0xff, 32);
    CHECK(quorate_ot_finish(made.d, &accepted, pair.context, made.gadgets, made.beta, made.psi, made.salts[0], made.m2,
                            BATCH) &&
          accepted == -1 && memcmp(made.d, nothing, sizeof made.d) == 0);
}

static void test_a_batch_beyond_memory_fails(void)
{
    int accepted = 1;
    CHECK(!quorate_ot_extend(made.m1, made.psi, pair.context, pair.leaves, made.salts[0], made.beta, made.mask,
                             SIZE_MAX / 2));
    CHECK(!quorate_ot_accept(made.zeta, &accepted, pair.context, pair.punctured, made.m1, SIZE_MAX / 2));
    CHECK(!quorate_ot_respond(made.m2, made.c, pair.context, made.gadgets, pair.punctured, made.zeta, made.salts[0],
                              made.salts[1], made.a, made.checks, SIZE_MAX / 2));
    CHECK(!quorate_ot_finish(made.d, &accepted, pair.context, made.gadgets, made.beta, made.psi, made.salts[0], made.m2,
                             SIZE_MAX / 2));
}

int main(int count, char **arguments)
{
    CHECK(count == 3);
    load_libraries(arguments[1], arguments[2]);
    test_long_numbers_are_reduced();
    test_sums_are_reduced();
    test_short_sums_are_reduced();
    test_folding();
    test_transposition();
    set_up(&pair);
    test_base_transfers();
    test_trees_lack_one_leaf();
    test_products();
    test_cheats();
    test_a_batch_beyond_memory_fails();
    puts("native: transfers and products as they must be, cheats refused");
    return 0;
}
