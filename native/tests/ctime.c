/* ctime LIBSECP256K1 LIBSODIUM [leak]
 *
 * Run under memcheck: every secret is marked undefined, so a branch or an address that depends on one is reported.
 *
 * "leak" branches on a secret on purpose; the Makefile demands that this is reported.
 */
#include "../src/checkmem.h"
#include "tests.h"
#include "transfers.h"

#ifndef QUORATE_CHECKMEM
#error "without marks this program proves nothing"
#endif

enum { TERMS = 5, POINTS = 3 };

static volatile int sink;

static void declassified(uint8_t *memory, size_t size)
{
    QUORATE_DECLASSIFY(memory, size);
    CHECK(quorate_equal(memory, memory, size));
}

static void check_scalars(quorate_curve curve)
{
    uint8_t a[TERMS * 32], b[TERMS * 32], out[TERMS * 32], wide[TERMS * 64];
    uint32_t xs[POINTS] = {1, 77, 0xffffffff};
    fill_scalars(curve, a, TERMS);
    fill_scalars(curve, b, TERMS);
    memset(b, 0, 32);
    fill(wide, sizeof wide);
    QUORATE_CLASSIFY(a, sizeof a);
    QUORATE_CLASSIFY(b, sizeof b);
    QUORATE_CLASSIFY(wide, sizeof wide);

    quorate_scalar_add(curve, out, a, b, TERMS);
    quorate_scalar_subtract(curve, out, out, b, TERMS);
    quorate_scalar_multiply(curve, out, out, b, TERMS);
    CHECK(quorate_scalar_invert(curve, out, out, TERMS));
    declassified(out, sizeof out);
    CHECK(quorate_scalar_reduce(curve, out, wide, 64, TERMS));
    CHECK(quorate_scalar_reduce(curve, out, wide, 40, TERMS));
    declassified(out, sizeof out);
    quorate_scalar_inner(curve, out, a, b, TERMS);
    declassified(out, 32);
    CHECK(quorate_polynomial_at(curve, out, xs, POINTS, a, TERMS));
    declassified(out, POINTS * 32);

    int answers[] = {quorate_scalar_is_zero(a), quorate_scalar_is_zero(b), quorate_equal(a, b, sizeof a),
                     quorate_scalars_are_canonical(curve, a, TERMS)};
    QUORATE_DECLASSIFY(answers, sizeof answers);
    CHECK(!answers[0] && answers[1] && !answers[2] && answers[3]);
}

static void check_points(quorate_curve curve)
{
    uint8_t secrets[POINTS * 32], expected[33], encoded[33];
    quorate_point points[POINTS], product, generator;
    fill_scalars(curve, secrets, POINTS);
    QUORATE_CLASSIFY(secrets, sizeof secrets);

    CHECK(quorate_point_base(curve, points, secrets, POINTS));
    quorate_point_generator(curve, &generator);
    CHECK(quorate_point_multiply(curve, &product, secrets + 32, &points[0]));
    CHECK(quorate_point_encode(curve, encoded, &product));
    CHECK(quorate_point_multiply(curve, &product, secrets, &points[1]));
    CHECK(quorate_point_encode(curve, expected, &product));
    CHECK(memcmp(encoded, expected, curve == QUORATE_SECP256K1 ? 33 : 32) == 0);
    CHECK(quorate_point_multiply(curve, &product, secrets, &generator));
    CHECK(memcmp(&product, &points[0], sizeof product) == 0);
}

/* beta, delta, the leaves, the pads under them, a and everything before are marked: see transfers.h. */
static void check_transfers(int portable)
{
    static setup pair;
    static multiplied made;
    quorate_ot_use_portable(portable);
    if (!portable) {
        set_up(&pair);
    }
    extend_pair(&made, &pair);
    multiply_pair(&made, &pair);
    CHECK(is_a_product(&made));
}

static void check_keys(void)
{
    uint8_t secrets[2 * 32], key[64], public[2 * 32], signature[64], shared[32];
    fill(secrets, sizeof secrets);
    QUORATE_CLASSIFY(secrets, sizeof secrets);
    quorate_sign_key(key, public, secrets);
    quorate_sign(signature, key, (const uint8_t *)"message", 7);
    CHECK(quorate_verify_var(public, (const uint8_t *)"message", 7, signature));
    quorate_exchange_public(public, secrets);
    quorate_exchange_public(public + 32, secrets + 32);
    CHECK(quorate_exchange(shared, secrets, public + 32));
    declassified(shared, sizeof shared);
}

static void check_lanes(void)
{
    uint8_t weights[MESSAGES * 32], choices[MESSAGES * 32], shares[2 * MESSAGES * 32], out[2 * MESSAGES * 32];
    uint8_t halves[4 * MESSAGES * 32];
    quorate_point nonces[MESSAGES], image, nonce_shares[MESSAGES], key_shares[MESSAGES];
    int agree[2];
    fill_scalars(QUORATE_SECP256K1, weights, MESSAGES);
    multiply_lane(choices, shares, nonces, &image, nonce_shares, key_shares);
    memcpy(halves, shares, sizeof shares);
    memcpy(halves + sizeof shares, shares, sizeof shares);
    QUORATE_CLASSIFY(choices, sizeof choices);
    QUORATE_CLASSIFY(shares, sizeof shares);
    QUORATE_CLASSIFY(halves, sizeof halves);
    CHECK(quorate_lane_check(agree, weights, choices, shares, nonces, &image, nonce_shares, key_shares, MESSAGES));
    CHECK(agree[0] && agree[1]);
    quorate_lane_publish(out, shares, choices, choices, halves, weights, weights, 1, MESSAGES);
    CHECK(quorate_equal(out, out, sizeof out));
}

static void check_seeds(void)
{
    uint8_t seed[32], out[100];
    fill(seed, sizeof seed);
    QUORATE_CLASSIFY(seed, sizeof seed);
    CHECK(quorate_expand_seed(out, sizeof out, seed, sizeof seed, (const uint8_t *)"prefix", 6));
    declassified(out, sizeof out);
}

static void check_memory(void)
{
    uint8_t *secret = quorate_secret_new(100);
    CHECK(secret != NULL && quorate_random(secret, 100));
    QUORATE_CLASSIFY(secret, 100);
    quorate_wipe(secret, 50);
    quorate_secret_free(secret);
}

static void leak(void)
{
    uint8_t secret = 7;
    QUORATE_CLASSIFY(&secret, sizeof secret);
    if (secret & 1) {
        sink = 1;
    }
}

int main(int count, char **arguments)
{
    CHECK(count == 3 || (count == 4 && strcmp(arguments[3], "leak") == 0));
    load_libraries(arguments[1], arguments[2]);
    if (count == 4) {
        leak();
        return 0;
    }
    check_memory();
    check_keys();
    check_seeds();
    check_lanes();
    for (size_t i = 0; i < 2; i++) {
        check_scalars(curves[i]);
        check_points(curves[i]);
    }
    check_transfers(0);
    check_transfers(1);
    puts("native: constant time in every secret");
    return 0;
}
