/* What round 2 of ECDSA comes to, for all messages of a lane at once: ecdsa.md, "Round 2" and "Release". */
#include <stdlib.h>
#include <string.h>

#include "checkmem.h"
#include "quorate.h"
#include "scalar.h"

static const quorate_curve curve = QUORATE_SECP256K1;

/* Σ ρ_k·(d_k·G + Γ_k), where d is every second scalar from the first on. column has room for count scalars. */
static int show(quorate_point *out, uint8_t *column, const uint8_t *weights, const uint8_t *shares,
                const quorate_point *points, size_t count)
{
    quorate_point terms[2];
    for (size_t k = 0; k < count; k++) {
        memcpy(column + k * SCALAR, shares + 2 * k * SCALAR, SCALAR);
    }
    quorate_scalar_inner(curve, column, column, weights, count);
    return quorate_point_base(curve, &terms[0], column, 1) &&
           quorate_point_combination_var(curve, &terms[1], weights, points, count) &&
           quorate_point_sum(curve, out, terms, 2);
}

static int same(const quorate_point *a, const quorate_point *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

/* With room for count scalars and for as many points. */
static int check(int *agree, uint8_t *column, quorate_point *products, const uint8_t *weights, const uint8_t *choices,
                 const uint8_t *shares, const quorate_point *nonces, const quorate_point *image,
                 const quorate_point *nonce_shares, const quorate_point *key_shares, size_t count)
{
    quorate_point ours, theirs;
    quorate_scalar_multiply(curve, column, choices, weights, count);
    for (size_t k = 0; k < count; k++) {
        if (!quorate_point_multiply(curve, &products[k], column + k * SCALAR, &nonces[k])) {
            return 0;
        }
    }
    if (!quorate_point_sum(curve, &ours, products, count) ||
        !show(&theirs, column, weights, shares, nonce_shares, count)) {
        return 0;
    }
    agree[0] = same(&ours, &theirs);

    quorate_scalar_inner(curve, column, choices, weights, count);
    if (!quorate_point_multiply(curve, &ours, column, image) ||
        !show(&theirs, column, weights, shares + SCALAR, key_shares, count)) {
        return 0;
    }
    agree[1] = same(&ours, &theirs);
    return 1;
}

int quorate_lane_check(int *agree, const uint8_t *weights, const uint8_t *choices, const uint8_t *shares,
                       const quorate_point *nonces, const quorate_point *image, const quorate_point *nonce_shares,
                       const quorate_point *key_shares, size_t count)
{
    uint8_t *column = count == 0 || count > SIZE_MAX / SCALAR ? NULL : quorate_secret_new(count * SCALAR);
    quorate_point *products = column == NULL ? NULL : calloc(count, sizeof *products);
    int done = products != NULL && check(agree, column, products, weights, choices, shares, nonces, image, nonce_shares,
                                         key_shares, count);
    free(products);
    quorate_secret_free(column);
    return done;
}

static void add_to(number *out, const uint8_t *scalar)
{
    number a;
    load(curve, &a, scalar);
    add(&quorate_orders[curve], out, out, &a);
    quorate_wipe(&a, sizeof a);
}

/* out += a * b. */
static void add_product_to(number *out, const number *a, const number *b)
{
    const modulus *order = &quorate_orders[curve];
    number product;
    multiply(order, &product, a, b);
    enter(order, &product, &product); /* what the product lacks */
    add(order, out, out, &product);
    quorate_wipe(&product, sizeof product);
}

void quorate_lane_publish(uint8_t *out, const uint8_t *inputs, const uint8_t *masks, const uint8_t *differences,
                          const uint8_t *halves, const uint8_t *messages, const uint8_t *coordinates, size_t peers,
                          size_t count)
{
    number mask, all, input, message, coordinate, sums[2], w;
    for (size_t k = 0; k < count; k++) {
        load(curve, &mask, masks + k * SCALAR);
        all = mask;
        for (size_t j = 0; j < peers; j++) {
            add_to(&all, differences + (j * count + k) * SCALAR);
        }
        for (size_t i = 0; i < 2; i++) {
            sums[i] = (number){{0}};
            for (size_t h = 0; h < 2 * peers; h++) {
                add_to(&sums[i], halves + 2 * (h * count + k) * SCALAR + i * SCALAR);
            }
            load(curve, &input, inputs + (2 * k + i) * SCALAR);
            add_product_to(&sums[i], &input, &all);
        }
        load(curve, &message, messages + k * SCALAR);
        load(curve, &coordinate, coordinates + k * SCALAR);
        w = (number){{0}};
        add_product_to(&w, &message, &mask);
        add_product_to(&w, &coordinate, &sums[1]);
        store(curve, out + 2 * k * SCALAR, &sums[0]);
        store(curve, out + (2 * k + 1) * SCALAR, &w);
    }
    QUORATE_DECLASSIFY(out, 2 * count * SCALAR);
    quorate_wipe(&mask, sizeof mask);
    quorate_wipe(&all, sizeof all);
    quorate_wipe(&input, sizeof input);
    quorate_wipe(sums, sizeof sums);
}
