#include "quorate.h"

#include <stdlib.h>
#include <string.h>

#include "checkmem.h"
#include "scalar.h"

enum { SIZE = SCALAR, WIDE = 64 };

/* The orders of the two groups: n (SEC 2, section 2.4.1) and L (RFC 8032, section 5.1). */
const modulus quorate_orders[2] = {
    [QUORATE_SECP256K1] = {
        .value = {{0xbfd25e8cd0364141, 0xbaaedce6af48a03b, 0xfffffffffffffffe, 0xffffffffffffffff}},
        .square = {{0x896cf21467d7d140, 0x741496c20e7cf878, 0xe697f5e45bcd07c6, 0x9d671cd581c69bc5}},
        .inverse = 0x4b0dff665588b13f,
    },
    [QUORATE_ED25519] = {
        .value = {{0x5812631a5cf5d3ed, 0x14def9dea2f79cd6, 0x0000000000000000, 0x1000000000000000}},
        .square = {{0xa40611e3449c0f01, 0xd00e1ba768859347, 0xceec73d217f5be65, 0x0399411b7c309a3d}},
        .inverse = 0xd2b51da312547e1b,
    },
};

int quorate_scalars_are_canonical(quorate_curve curve, const uint8_t *scalars, size_t count)
{
    number a, difference;
    uint64_t less = 1;
    for (size_t i = 0; i < count; i++) {
        load(curve, &a, scalars + i * SIZE);
        less &= number_subtract(&difference, &a, &quorate_orders[curve].value);
    }
    quorate_wipe(&a, sizeof a);
    quorate_wipe(&difference, sizeof difference);
    return (int)less;
}

int quorate_scalar_is_zero(const uint8_t *scalar)
{
    static const uint8_t zero[SIZE];
    return quorate_equal(scalar, zero, SIZE);
}

int quorate_scalars_have_zero(const uint8_t *scalars, size_t count)
{
    int any = 0;
    for (size_t i = 0; i < count; i++) {
        any |= quorate_scalar_is_zero(scalars + i * SIZE);
    }
    return any;
}

int quorate_scalar_reduce(quorate_curve curve, uint8_t *out, const uint8_t *numbers, size_t size, size_t count)
{
    if (size > WIDE) {
        return 0;
    }
    const modulus *m = &quorate_orders[curve];
    int reversed = curve == QUORATE_SECP256K1; /* big-endian */
    uint8_t wide[WIDE] = {0};
    number high, low;
    for (size_t i = 0; i < count; i++) {
        memcpy(reversed ? wide + WIDE - size : wide, numbers + i * size, size);
        load(curve, &high, reversed ? wide : wide + SIZE);
        load(curve, &low, reversed ? wide + SIZE : wide);
        enter(m, &high, &high); /* high * 2^256 is just its place value */
        enter(m, &low, &low);
        leave(m, &low, &low);
        add(m, &low, &low, &high);
        store(curve, out + i * SIZE, &low);
    }
    quorate_wipe(wide, sizeof wide);
    quorate_wipe(&high, sizeof high);
    quorate_wipe(&low, sizeof low);
    return 1;
}

typedef void operation(const modulus *m, number *out, const number *a, const number *b);

static void for_each(quorate_curve curve, uint8_t *out, const uint8_t *a, const uint8_t *b, size_t count, operation *f)
{
    number x, y;
    for (size_t i = 0; i < count; i++) {
        load(curve, &x, a + i * SIZE);
        load(curve, &y, b + i * SIZE);
        f(&quorate_orders[curve], &x, &x, &y);
        store(curve, out + i * SIZE, &x);
    }
    quorate_wipe(&x, sizeof x);
    quorate_wipe(&y, sizeof y);
}

static void multiply_plain(const modulus *m, number *out, const number *a, const number *b)
{
    multiply(m, out, a, b);
    enter(m, out, out);
}

void quorate_scalar_add(quorate_curve curve, uint8_t *out, const uint8_t *a, const uint8_t *b, size_t count)
{
    for_each(curve, out, a, b, count, add);
}

void quorate_scalar_subtract(quorate_curve curve, uint8_t *out, const uint8_t *a, const uint8_t *b, size_t count)
{
    for_each(curve, out, a, b, count, subtract);
}

void quorate_scalar_multiply(quorate_curve curve, uint8_t *out, const uint8_t *a, const uint8_t *b, size_t count)
{
    for_each(curve, out, a, b, count, multiply_plain);
}

/* a to the power m - 2, by Fermat, both in Montgomery form. The exponent is public. */
static void invert(const modulus *m, number *out, const number *a)
{
    const number one = {{1, 0, 0, 0}}, two = {{2, 0, 0, 0}};
    number exponent, result;
    number_subtract(&exponent, &m->value, &two);
    enter(m, &result, &one);
    for (int bit = 255; bit >= 0; bit--) {
        multiply(m, &result, &result, &result);
        if ((exponent.limb[bit / 64] >> (bit % 64)) & 1) {
            multiply(m, &result, &result, a);
        }
    }
    *out = result;
    quorate_wipe(&result, sizeof result);
}

/* a[i] = 1 / a[i], zero for zero, in Montgomery form. before has room for count numbers. One inversion of the product
 * of all, then back through the partial products: P. L. Montgomery, "Speeding the Pollard and elliptic curve methods
 * of factorization", 1987, section 10.3.1. A zero takes part as a one. */
static void invert_all(const modulus *m, number *a, number *before, size_t count)
{
    const number zero = {{0}}, plain_one = {{1, 0, 0, 0}};
    number one, product, inverse, x;
    enter(m, &one, &plain_one);
    product = one;
    for (size_t i = 0; i < count; i++) {
        x = a[i];
        number_select(&x, &one, mask_of(number_is_zero(&a[i])));
        before[i] = product;
        multiply(m, &product, &product, &x);
    }
    invert(m, &inverse, &product);
    for (size_t i = count; i-- > 0;) {
        uint64_t is_zero = mask_of(number_is_zero(&a[i]));
        x = a[i];
        number_select(&x, &one, is_zero);
        multiply(m, &a[i], &inverse, &before[i]);
        number_select(&a[i], &zero, is_zero);
        multiply(m, &inverse, &inverse, &x);
    }
    quorate_wipe(&product, sizeof product);
    quorate_wipe(&inverse, sizeof inverse);
    quorate_wipe(&x, sizeof x);
}

int quorate_scalar_invert(quorate_curve curve, uint8_t *out, const uint8_t *a, size_t count)
{
    const modulus *m = &quorate_orders[curve];
    number *numbers = count > SIZE_MAX / (2 * sizeof *numbers) ? NULL : quorate_secret_new(2 * count * sizeof *numbers);
    if (numbers == NULL) {
        return 0;
    }
    for (size_t i = 0; i < count; i++) {
        load(curve, &numbers[i], a + i * SIZE);
        enter(m, &numbers[i], &numbers[i]);
    }
    invert_all(m, numbers, numbers + count, count);
    for (size_t i = 0; i < count; i++) {
        leave(m, &numbers[i], &numbers[i]);
        store(curve, out + i * SIZE, &numbers[i]);
    }
    quorate_secret_free(numbers);
    return 1;
}

void quorate_scalar_inner(quorate_curve curve, uint8_t *out, const uint8_t *a, const uint8_t *b, size_t count)
{
    const modulus *m = &quorate_orders[curve];
    number sum = {{0}}, x, y;
    for (size_t i = 0; i < count; i++) {
        load(curve, &x, a + i * SIZE);
        load(curve, &y, b + i * SIZE);
        multiply(m, &x, &x, &y);
        add(m, &sum, &sum, &x);
    }
    enter(m, &sum, &sum); /* every product lacked a factor of 2^256 */
    store(curve, out, &sum);
    quorate_wipe(&sum, sizeof sum);
    quorate_wipe(&x, sizeof x);
    quorate_wipe(&y, sizeof y);
}

/* Horner's rule in steps of sum * x / 2^64, so the coefficient of x^j is first scaled by 2^(64 j). */
int quorate_polynomial_at(quorate_curve curve, uint8_t *out, const uint32_t *xs, size_t count,
                          const uint8_t *coefficients, size_t terms)
{
    const modulus *m = &quorate_orders[curve];
    number *scaled = terms > SIZE_MAX / sizeof *scaled ? NULL : quorate_secret_new(terms * sizeof *scaled);
    if (scaled == NULL) {
        return 0;
    }
    number scale = {{1, 0, 0, 0}}, word = {{0, 1, 0, 0}}, sum;
    enter(m, &scale, &scale);
    enter(m, &word, &word);
    for (size_t j = 0; j < terms; j++) {
        load(curve, &scaled[j], coefficients + j * SIZE);
        multiply(m, &scaled[j], &scaled[j], &scale);
        multiply(m, &scale, &scale, &word);
    }
    for (size_t i = 0; i < count; i++) {
        sum = (number){{0}};
        for (size_t j = terms; j-- > 0;) {
            multiply_word(m, &sum, &sum, xs[i]);
            add(m, &sum, &sum, &scaled[j]);
        }
        store(curve, out + i * SIZE, &sum);
    }
    quorate_wipe(&sum, sizeof sum);
    quorate_secret_free(scaled);
    return 1;
}

/* The distance from xs[i] to xs[j], one from itself; tells whether there were oddly many to the left. */
static uint64_t distance(const uint32_t *xs, size_t i, size_t j, int *left)
{
    *left ^= xs[j] < xs[i];
    return i == j ? 1 : xs[j] < xs[i] ? xs[i] - xs[j] : xs[j] - xs[i];
}

/* Each is the product of all xs over x_i * prod_{j != i} (x_j - x_i); one batch of inversions serves all. Two
 * distances fit a word, and both products take as many steps of multiply_word, whose 2^64 cancel. */
int quorate_lagrange_at_zero_var(quorate_curve curve, uint8_t *out, const uint32_t *xs, size_t count)
{
    const modulus *m = &quorate_orders[curve];
    const number zero = {{0}};
    number *divisors = count > SIZE_MAX / (2 * sizeof *divisors) ? NULL : calloc(2 * count + 1, sizeof *divisors);
    if (divisors == NULL) {
        return 0;
    }
    number all = {{1, 0, 0, 0}};
    enter(m, &all, &all);
    for (size_t i = 0; i < count; i++) {
        number x = {{xs[i], 0, 0, 0}};
        enter(m, &divisors[i], &x);
        multiply(m, &all, &all, &divisors[i]);
    }
    int distinct = 1;
    for (size_t i = 0; i < count; i++) {
        int left = 0;
        for (size_t j = 0; j < count; j += 2) {
            uint64_t pair = distance(xs, i, j, &left) * (j + 1 < count ? distance(xs, i, j + 1, &left) : 1);
            multiply_word(m, &divisors[i], &divisors[i], pair);
        }
        if (left) {
            subtract(m, &divisors[i], &zero, &divisors[i]);
        }
        distinct &= !number_is_zero(&divisors[i]);
    }
    for (size_t j = 0; j < count; j += 2) {
        multiply_word(m, &all, &all, 1);
    }
    if (distinct) {
        invert_all(m, divisors, divisors + count, count);
        for (size_t i = 0; i < count; i++) {
            multiply(m, &divisors[i], &divisors[i], &all);
            leave(m, &divisors[i], &divisors[i]);
            store(curve, out + i * SIZE, &divisors[i]);
        }
    }
    free(divisors);
    return distinct;
}
