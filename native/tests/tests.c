/* tests LIBSECP256K1 LIBSODIUM LAX_SODIUM
 *
 * Known values, algebraic laws and the edges: 0, 1, q - 1, q, 2^256 - 1.
 */
#include <pthread.h>

#include "tests.h"

enum { ROUNDS = 200 };

typedef uint8_t scalar[32];

static int same(const uint8_t *a, const uint8_t *b)
{
    return memcmp(a, b, 32) == 0;
}

/* The group's order less a small number, in the group's byte order. */
static void order_less(quorate_curve curve, uint8_t *out, uint8_t less)
{
    parse_hex(out, curve == QUORATE_SECP256K1 ? "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141"
                                              : "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010", 32);
    size_t lowest = curve == QUORATE_SECP256K1 ? 31 : 0;
    CHECK(out[lowest] >= less);
    out[lowest] = (uint8_t)(out[lowest] - less);
}

static void test_the_edges(quorate_curve curve)
{
    scalar zero, one, last, order, full, sum, product;
    set_scalar(curve, zero, 0);
    set_scalar(curve, one, 1);
    order_less(curve, last, 1);
    order_less(curve, order, 0);
    memset(full, 0xff, sizeof full);

    CHECK(quorate_scalars_are_canonical(curve, zero, 1));
    CHECK(quorate_scalars_are_canonical(curve, last, 1));
    CHECK(!quorate_scalars_are_canonical(curve, order, 1));
    CHECK(!quorate_scalars_are_canonical(curve, full, 1));
    CHECK(quorate_scalar_is_zero(zero) && !quorate_scalar_is_zero(one) && !quorate_scalar_is_zero(last));

    quorate_scalar_add(curve, sum, last, one, 1);
    CHECK(same(sum, zero));
    quorate_scalar_subtract(curve, sum, zero, one, 1);
    CHECK(same(sum, last));
    quorate_scalar_subtract(curve, sum, zero, zero, 1);
    CHECK(same(sum, zero));
    quorate_scalar_multiply(curve, product, last, last, 1);
    CHECK(same(product, one));
    quorate_scalar_multiply(curve, product, last, zero, 1);
    CHECK(same(product, zero));

    CHECK(quorate_scalar_reduce(curve, sum, order, 32, 1) && same(sum, zero));
    CHECK(quorate_scalar_reduce(curve, sum, last, 32, 1) && same(sum, last));
    CHECK(quorate_scalar_reduce(curve, sum, one, 1, 1));
    CHECK(same(sum, curve == QUORATE_SECP256K1 ? zero : one)); /* the first of its 32 bytes alone */
    CHECK(!quorate_scalar_reduce(curve, sum, full, 65, 1));
}

static void test_known_values(void)
{
    uint8_t wide[64];
    scalar expected, out;
    memset(wide, 0xff, sizeof wide);
    parse_hex(expected, "9d671cd581c69bc5e697f5e45bcd07c6741496c20e7cf878896cf21467d7d13f", 32); /* 2^512 - 1 */
    CHECK(quorate_scalar_reduce(QUORATE_SECP256K1, out, wide, 64, 1) && same(out, expected));
    parse_hex(expected, "000f9c44e31106a447938568a71b0ed065bef517d273ecce3d9a307c1b419903", 32);
    CHECK(quorate_scalar_reduce(QUORATE_ED25519, out, wide, 64, 1) && same(out, expected));
    memset(wide, 0xff, 32);
    parse_hex(expected, "000000000000000000000000000000014551231950b75fc4402da1732fc9bebe", 32); /* 2^256 - 1 */
    CHECK(quorate_scalar_reduce(QUORATE_SECP256K1, out, wide, 32, 1) && same(out, expected));
    parse_hex(expected, "1c95988d7431ecd670cf7d73f45befc6feffffffffffffffffffffffffffff0f", 32);
    CHECK(quorate_scalar_reduce(QUORATE_ED25519, out, wide, 32, 1) && same(out, expected));
}

static void test_the_laws(quorate_curve curve)
{
    scalar s[3], left, right, t;
    for (int round = 0; round < ROUNDS; round++) {
        fill_scalars(curve, s[0], 3);
        const uint8_t *a = s[0], *b = s[1], *c = s[2];
        CHECK(quorate_scalars_are_canonical(curve, a, 3));

        quorate_scalar_add(curve, left, a, b, 1);
        quorate_scalar_add(curve, right, b, a, 1);
        CHECK(same(left, right));
        quorate_scalar_subtract(curve, right, left, b, 1);
        CHECK(same(right, a));

        quorate_scalar_multiply(curve, left, a, b, 1);
        quorate_scalar_multiply(curve, right, b, a, 1);
        CHECK(same(left, right));
        quorate_scalar_multiply(curve, left, left, c, 1);
        quorate_scalar_multiply(curve, right, b, c, 1);
        quorate_scalar_multiply(curve, right, a, right, 1);
        CHECK(same(left, right));

        quorate_scalar_add(curve, t, a, b, 1);
        quorate_scalar_multiply(curve, left, t, c, 1);
        scalar ac, bc;
        quorate_scalar_multiply(curve, ac, a, c, 1);
        quorate_scalar_multiply(curve, bc, b, c, 1);
        quorate_scalar_add(curve, right, ac, bc, 1);
        CHECK(same(left, right));

        scalar pair[2], others[2];
        memcpy(pair[0], a, 32);
        memcpy(pair[1], b, 32);
        memcpy(others[0], c, 32);
        memcpy(others[1], c, 32);
        quorate_scalar_inner(curve, left, pair[0], others[0], 2);
        CHECK(same(left, right));
    }
    quorate_scalar_inner(curve, left, s[0], s[0], 0);
    CHECK(quorate_scalar_is_zero(left));
}

static void test_inversion(quorate_curve curve)
{
    enum { COUNT = 9 };
    scalar values[COUNT], inverses[COUNT], product, one;
    set_scalar(curve, one, 1);
    fill_scalars(curve, values[0], COUNT);
    memset(values[0], 0, 32); /* a zero spoils no other, wherever it stands */
    memset(values[5], 0, 32);
    order_less(curve, values[7], 1);
    CHECK(quorate_scalar_invert(curve, inverses[0], values[0], COUNT));
    for (size_t i = 0; i < COUNT; i++) {
        quorate_scalar_multiply(curve, product, values[i], inverses[i], 1);
        CHECK(i == 0 || i == 5 ? quorate_scalar_is_zero(inverses[i]) : same(product, one));
        scalar alone;
        CHECK(quorate_scalar_invert(curve, alone, values[i], 1) && same(alone, inverses[i]));
    }
    CHECK(same(inverses[7], values[7]));
}

static void test_interpolation(quorate_curve curve)
{
    enum { TERMS = 21 };
    uint32_t xs[TERMS];
    scalar coefficients[TERMS], values[TERMS], weights[TERMS], constant;
    for (uint32_t i = 0; i < TERMS; i++) {
        xs[i] = i == 0 ? 0xffffffff : 1000 * i + 1;
    }
    fill_scalars(curve, coefficients[0], TERMS);
    CHECK(quorate_polynomial_at(curve, values[0], xs, TERMS, coefficients[0], TERMS));
    CHECK(quorate_lagrange_at_zero_var(curve, weights[0], xs, TERMS));
    quorate_scalar_inner(curve, constant, values[0], weights[0], TERMS);
    CHECK(same(constant, coefficients[0]));
    quorate_scalar_inner(curve, constant, values[0], weights[0], TERMS - 1);
    CHECK(!same(constant, coefficients[0]));

    uint32_t repeated[3] = {3, 7, 3}, with_zero[3] = {3, 0, 7}, single[1] = {9};
    scalar one;
    set_scalar(curve, one, 1);
    CHECK(!quorate_lagrange_at_zero_var(curve, weights[0], repeated, 3));
    CHECK(!quorate_lagrange_at_zero_var(curve, weights[0], with_zero, 3));
    CHECK(quorate_lagrange_at_zero_var(curve, weights[0], single, 1) && same(weights[0], one));
    CHECK(quorate_lagrange_at_zero_var(curve, weights[0], single, 0));
}

static int equal_points(const quorate_point *a, const quorate_point *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

static void test_points(quorate_curve curve)
{
    quorate_point generator, identity, p, q, r, negated, sum, pair[2];
    scalar zero, one, last, ab[2];
    set_scalar(curve, zero, 0);
    set_scalar(curve, one, 1);
    order_less(curve, last, 1);
    quorate_point_generator(curve, &generator);
    quorate_point_identity(curve, &identity);

    CHECK(quorate_point_base(curve, &p, one, 1) && equal_points(&p, &generator));
    CHECK(quorate_point_base(curve, &p, zero, 1) && equal_points(&p, &identity));
    CHECK(quorate_point_base(curve, &p, last, 1) && quorate_point_negate(curve, &q, &generator) && equal_points(&p, &q));
    CHECK(quorate_point_negate(curve, &q, &identity) && equal_points(&q, &identity));
    CHECK(quorate_point_sum(curve, &q, NULL, 0) && equal_points(&q, &identity));

    for (int round = 0; round < 20; round++) {
        fill_scalars(curve, ab[0], 2);
        CHECK(quorate_point_base(curve, pair, ab[0], 2));
        p = pair[0];

        scalar total, product;
        quorate_scalar_add(curve, total, ab[0], ab[1], 1);
        CHECK(quorate_point_base(curve, &q, total, 1));
        CHECK(quorate_point_sum(curve, &sum, pair, 2) && equal_points(&sum, &q));
        CHECK(quorate_point_combination_var(curve, &r, ab[0], (quorate_point[2]){generator, generator}, 2));
        CHECK(equal_points(&r, &q));

        quorate_scalar_multiply(curve, product, ab[0], ab[1], 1);
        CHECK(quorate_point_base(curve, &q, product, 1));
        CHECK(quorate_point_multiply(curve, &r, ab[1], &p) && equal_points(&r, &q));
        CHECK(quorate_point_combination_var(curve, &r, ab[1], &p, 1) && equal_points(&r, &q));
        CHECK(quorate_point_multiply(curve, &r, last, &p));
        CHECK(quorate_point_negate(curve, &negated, &p) && equal_points(&r, &negated));
        CHECK(quorate_point_multiply(curve, &r, zero, &p) && equal_points(&r, &identity));
        CHECK(quorate_point_multiply(curve, &r, ab[0], &identity) && equal_points(&r, &identity));

        quorate_point three[3] = {p, identity, negated};
        CHECK(quorate_point_sum(curve, &sum, three, 3) && equal_points(&sum, &identity));
        scalar twice[2];
        memcpy(twice[0], ab[0], 32);
        quorate_scalar_subtract(curve, twice[1], zero, ab[0], 1);
        CHECK(quorate_point_combination_var(curve, &sum, twice[0], (quorate_point[2]){p, p}, 2));
        CHECK(equal_points(&sum, &identity));

        uint8_t encoded[33];
        CHECK(quorate_point_encode(curve, encoded, &p));
        CHECK(quorate_point_decode(curve, &q, encoded) && equal_points(&p, &q));
    }
    uint8_t encoded[33];
    CHECK(!quorate_point_encode(curve, encoded, &identity));
}

static void test_memory(void)
{
    enum { COUNT = 3000 };
    static const size_t sizes[] = {0, 1, 32, 64, 65, 4080, 4081, 100000};
    uint8_t *held[COUNT];
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < COUNT; i++) {
            size_t size = i < 16 ? sizes[i % 8] : 32 + i % 64;
            held[i] = quorate_secret_new(size);
            CHECK(held[i] != NULL && (uintptr_t)held[i] % 16 == 0);
            for (size_t j = 0; j < size; j++) {
                CHECK(held[i][j] == 0);
            }
            memset(held[i], 0xa5, size);
        }
        for (size_t i = 0; i < COUNT; i++) {
            quorate_secret_free(held[i]);
        }
    }
    quorate_secret_free(NULL);
    CHECK(quorate_secret_new(SIZE_MAX) == NULL && quorate_secret_new(SIZE_MAX / 2 + 1) == NULL);

    uint8_t a[300], b[300];
    CHECK(quorate_random(a, sizeof a));
    memcpy(b, a, sizeof b);
    CHECK(quorate_equal(a, b, sizeof a) && quorate_equal(a, b, 0));
    for (size_t i = 0; i < sizeof a; i++) {
        b[i] ^= (uint8_t)(1 << (i % 8));
        CHECK(!quorate_equal(a, b, sizeof a));
        b[i] = a[i];
    }
    quorate_wipe(b, sizeof b);
    for (size_t i = 0; i < sizeof b; i++) {
        CHECK(b[i] == 0);
    }
}

static void *hold_and_release(void *mark)
{
    uint8_t *held[50];
    for (int round = 0; round < 200; round++) {
        for (size_t i = 0; i < 50; i++) {
            held[i] = quorate_secret_new(i % 2 ? 32 : 200);
            CHECK(held[i] != NULL && held[i][0] == 0 && held[i][31] == 0);
            memset(held[i], *(uint8_t *)mark, 32);
        }
        for (size_t i = 0; i < 50; i++) {
            CHECK(held[i][0] == *(uint8_t *)mark && held[i][31] == *(uint8_t *)mark);
            quorate_secret_free(held[i]);
        }
    }
    return NULL;
}

static void test_threads_never_share_a_slot(void)
{
    pthread_t threads[4];
    uint8_t marks[4] = {1, 2, 3, 4};
    for (size_t i = 0; i < 4; i++) {
        CHECK(pthread_create(&threads[i], NULL, hold_and_release, &marks[i]) == 0);
    }
    for (size_t i = 0; i < 4; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
    }
}

/* RFC 8032, section 7.1, test 2; RFC 7748, section 6.1. */
static void test_keys(void)
{
    uint8_t seed[32], key[64], public[32], signature[64], expected[64], shared[32], message = 0x72;
    parse_hex(seed, "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb", 32);
    quorate_sign_key(key, public, seed);
    parse_hex(expected, "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", 32);
    CHECK(same(public, expected));
    quorate_sign(signature, key, &message, 1);
    parse_hex(expected, "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
                        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00", 64);
    CHECK(memcmp(signature, expected, 64) == 0);
    CHECK(quorate_verify_var(public, &message, 1, signature) && !quorate_verify_var(public, &message, 0, signature));

    parse_hex(seed, "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a", 32);
    quorate_exchange_public(public, seed);
    parse_hex(expected, "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a", 32);
    CHECK(same(public, expected));
    parse_hex(public, "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f", 32);
    CHECK(quorate_exchange(shared, seed, public));
    parse_hex(expected, "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742", 32);
    CHECK(same(shared, expected));
    memset(public, 0, sizeof public);
    CHECK(!quorate_exchange(shared, seed, public));
}

static void test_libraries_that_will_not_do_are_refused(const char *secp256k1, const char *sodium, const char *lax)
{
    const char *problem = quorate_groups_load(secp256k1, lax);
    CHECK(problem != NULL && strstr(problem, "outside the group of prime order") != NULL);
    problem = quorate_groups_load(secp256k1, secp256k1);
    CHECK(problem != NULL && strstr(problem, "libsodium lacks") != NULL);
    problem = quorate_groups_load(sodium, sodium);
    CHECK(problem != NULL && strstr(problem, "libsecp256k1 lacks") != NULL);
    problem = quorate_groups_load(secp256k1, "/nowhere/libsodium.so");
    CHECK(problem != NULL && strstr(problem, "/nowhere/libsodium.so") != NULL);
}

static void test_lanes(void)
{
    uint8_t weights[MESSAGES * 32], choices[MESSAGES * 32], shares[2 * MESSAGES * 32], out[2 * MESSAGES * 32];
    quorate_point nonces[MESSAGES], image, nonce_shares[MESSAGES], key_shares[MESSAGES];
    int agree[2];
    fill_scalars(QUORATE_SECP256K1, weights, MESSAGES);
    multiply_lane(choices, shares, nonces, &image, nonce_shares, key_shares);
    CHECK(quorate_lane_check(agree, weights, choices, shares, nonces, &image, nonce_shares, key_shares, MESSAGES));
    CHECK(agree[0] && agree[1]);
    CHECK(quorate_lane_check(agree, weights, choices, shares, nonces, &nonces[0], nonce_shares, key_shares, MESSAGES));
    CHECK(agree[0] && !agree[1]);
    CHECK(quorate_lane_check(agree, weights, choices, shares, nonces, &image, key_shares, key_shares, MESSAGES));
    CHECK(!agree[0] && agree[1]);
    CHECK(!quorate_lane_check(agree, weights, choices, shares, nonces, &image, nonce_shares, key_shares, 0));

    /* Alone: u = r φ, and w = m φ where the coordinate is zero. */
    uint8_t zeros[MESSAGES * 32] = {0}, mask[32], product[32];
    memcpy(mask, choices, sizeof mask);
    quorate_lane_publish(out, shares, choices, NULL, NULL, weights, zeros, 0, MESSAGES);
    quorate_scalar_multiply(QUORATE_SECP256K1, product, shares, mask, 1);
    CHECK(same(out, product));
    quorate_scalar_multiply(QUORATE_SECP256K1, product, weights, mask, 1);
    CHECK(same(out + 32, product));
}

static void test_seeds(void)
{
    uint8_t seed[65], prefix[100], whole[200], part[200];
    fill(seed, sizeof seed);
    fill(prefix, sizeof prefix);
    CHECK(quorate_expand_seed(whole, sizeof whole, seed, 16, prefix, sizeof prefix));
    for (size_t size = 0; size <= sizeof part; size++) {
        CHECK(quorate_expand_seed(part, size, seed, 16, prefix, sizeof prefix) && memcmp(part, whole, size) == 0);
    }
    CHECK(quorate_expand_seed(part, sizeof part, seed, 64, prefix, 0) && memcmp(part, whole, sizeof part) != 0);
    CHECK(!quorate_expand_seed(part, sizeof part, seed, 15, prefix, sizeof prefix));
    CHECK(!quorate_expand_seed(part, sizeof part, seed, 65, prefix, sizeof prefix));
}

int main(int count, char **arguments)
{
    CHECK(count == 4);
    test_libraries_that_will_not_do_are_refused(arguments[1], arguments[2], arguments[3]);
    load_libraries(arguments[1], arguments[2]);
    test_memory();
    test_threads_never_share_a_slot();
    test_known_values();
    test_keys();
    test_seeds();
    test_lanes();
    for (size_t i = 0; i < 2; i++) {
        test_the_edges(curves[i]);
        test_the_laws(curves[i]);
        test_inversion(curves[i]);
        test_interpolation(curves[i]);
        test_points(curves[i]);
    }
    puts("native: all tests passed");
    return 0;
}
