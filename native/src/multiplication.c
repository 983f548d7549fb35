/* The vector OLE by 512 correlated transfers for each multiplication: ot.md, "Product", after Doerner, Kondi, Lee
 * and shelat, 2023/765. */
#include <string.h>

#include "checkmem.h"
#include "digest.h"
#include "mask.h"
#include "ot.h"
#include "quorate.h"
#include "wide.h"

enum {
    HASH = 32,
    MU = 64,
    ROW = COLUMNS * SCALAR,
    END = SCALAR + MU, /* of a multiplication in the answer: η and μ */
};

static const quorate_curve curve = QUORATE_SECP256K1;
static const modulus *const order = &quorate_orders[QUORATE_SECP256K1];
static const uint8_t no_nonce[8];

/* Arithmetic that is inlined into more arithmetic has no registers left. */
#if defined(__GNUC__)
#define APART __attribute__((noinline))
#else
#define APART
#endif

typedef struct {
    uint64_t theta[INPUTS][2]; /* 128 bits each, public */
} challenge;

/* One batch while it is made. */
typedef struct {
    pattern pad;
    uint8_t hash[2 * SCALAR], stream[2 * SCALAR];
    number other[COLUMNS]; /* α1 of one transfer */
    uint8_t numbered[4 + TRANSFERS * SCALAR]; /* a multiplication's number, then its checks */
    uint8_t mu[MU];
    uint8_t salts[HASH], seen[HASH]; /* public */
    number rows[]; /* three for each transfer: α0, or d, of any 256 bits */
} multiplication;

static void put_four(uint8_t *out, size_t n)
{
    for (int i = 0; i < 4; i++) {
        out[i] = (uint8_t)(n >> (24 - 8 * i));
    }
}

/* NULL when there is no memory. */
static multiplication *multiplication_new(const uint8_t *context, const uint8_t *salt_r, const uint8_t *salt_s,
                                          size_t batch)
{
    if (batch > UINT32_MAX / TRANSFERS) {
        return NULL;
    }
    multiplication *m = quorate_secret_new(sizeof *m + batch * TRANSFERS * COLUMNS * sizeof *m->rows);
    if (m == NULL) {
        return NULL;
    }
    const field fields[3] = {{context, 32}, {salt_r, SALT}, {salt_s, SALT}};
    quorate_digest(m->salts, HASH, TAG_SALTS, fields, 3);
    quorate_pattern_of(&m->pad, TAG_PAD, m->salts, 4 + COLUMN);
    return m;
}

static void digest_scalar(number *out, const char *tag, const uint8_t *context, const uint8_t *bytes, size_t size)
{
    uint8_t hash[LONG];
    quorate_digest(hash, LONG, tag, FIELDS(context, bytes, size), 2);
    reduce_long(out, hash);
}

/* The three pads of transfer j, of 256 bits, from its column, and delta added where there is one: two are a block under
 * half of a hash, the other half is the third. */
static void find_pads(multiplication *m, number *pads, size_t j, const uint8_t *column, const uint8_t *delta)
{
    uint8_t *content = m->pad.bytes + m->pad.start;
    put_four(content, j);
    memcpy(content + 4, column, COLUMN);
    if (delta != NULL) {
        add_masked(content + 4, delta, COLUMN, UINT64_MAX);
    }
    quorate_pattern_digest(m->hash, sizeof m->hash, &m->pad);
    quorate_chacha20(m->stream, sizeof m->stream, m->hash, no_nonce, 0);
    load(curve, &pads[0], m->stream);
    load(curve, &pads[1], m->stream + SCALAR);
    load(curve, &pads[2], m->hash + SCALAR);
}

static void find_challenge(challenge *out, const multiplication *m, size_t k)
{
    uint8_t which[4], hash[INPUTS * 16];
    put_four(which, k);
    quorate_digest(hash, sizeof hash, TAG_THETA, FIELDS(m->seen, which, sizeof which), 2);
    for (size_t i = 0; i < INPUTS; i++) {
        out->theta[i][0] = big_endian(hash + 16 * i + 8);
        out->theta[i][1] = big_endian(hash + 16 * i);
    }
}

/* row_3 + θ_1 row_1 + θ_2 row_2 + more. */
APART static void combine(number *out, const challenge *c, const number *row, const number *more)
{
    uint64_t limbs[SHORT_SUM];
    accumulator s = {0, 0};
#pragma GCC unroll 7
    for (int n = 0; n < SHORT_SUM; n++) {
        if (n < 4) {
            add_word(&s, row[2].limb[n]);
            add_word(&s, more->limb[n]);
        }
        add_short_products(&s, n, &row[0], c->theta[0]);
        add_short_products(&s, n, &row[1], c->theta[1]);
        limbs[n] = take_limb(&s);
    }
    reduce_short_sum(out, limbs);
}

static void find_mu(multiplication *m, size_t k)
{
    put_four(m->numbered, k);
    quorate_digest(m->mu, MU, TAG_MU, FIELDS(m->salts, m->numbered, sizeof m->numbered), 2);
}

/* For both inputs: the sum of g_j times the input's column, over the rows of one multiplication. */
APART static void inner(number *out, const uint8_t *gadgets, const number *rows)
{
    uint128 places[INPUTS][SUM] = {{0}};
    uint64_t limbs[SUM];
    number g;
    for (size_t j = 0; j < TRANSFERS; j++) {
        load(curve, &g, gadgets + j * SCALAR);
        for (size_t i = 0; i < INPUTS; i++) {
            accumulator s = {0, 0};
#pragma GCC unroll 8
            for (int n = 0; n < 8; n++) {
                add_products(&s, n, &g, &rows[j * COLUMNS + i]);
                places[i][n] += take_limb(&s);
            }
        }
    }
    for (size_t i = 0; i < INPUTS; i++) {
        uint128 s = 0;
        for (size_t n = 0; n < SUM; n++) {
            s += places[i][n];
            limbs[n] = (uint64_t)s;
            s >>= 64;
        }
        reduce_sum(&out[i], limbs);
    }
    quorate_wipe(places, sizeof places);
    quorate_wipe(limbs, sizeof limbs);
}

void quorate_ot_gadgets(uint8_t *out, const uint8_t *context)
{
    number g;
    uint8_t which[4];
    for (size_t j = 0; j < TRANSFERS; j++) {
        put_four(which, j);
        digest_scalar(&g, TAG_GADGET, context, which, sizeof which);
        store(curve, out + j * SCALAR, &g);
    }
}

void quorate_ot_product(uint8_t *out, const uint8_t *gadgets, const uint8_t *choices, size_t batch)
{
    number g, total;
    for (size_t k = 0; k < batch; k++) {
        uint64_t top = 0;
        total = (number){{0}};
        for (size_t j = 0; j < TRANSFERS; j++) {
            uint64_t mask = mask_of(bit_of(choices, k * TRANSFERS + j));
            uint128 s = 0;
            load(curve, &g, gadgets + j * SCALAR);
#pragma GCC unroll 4
            for (int n = 0; n < 4; n++) {
                s += total.limb[n];
                s += g.limb[n] & mask;
                total.limb[n] = (uint64_t)s;
                s >>= 64;
            }
            top += (uint64_t)s;
        }
        reduce_top(&total, &total, top);
        store(curve, out + k * SCALAR, &total);
    }
    quorate_wipe(&total, sizeof total);
}

/* Δ as a column: bit 2i + b is bit b of the leaf that tree i lacks. */
static void pack(uint8_t *delta, const uint8_t *missing)
{
    memset(delta, 0, COLUMN);
    for (size_t i = 0; i < TREES; i++) {
        delta[i * DEPTH / 8] = (uint8_t)(delta[i * DEPTH / 8] | missing[i] << (i * DEPTH % 8));
    }
}

/* own - other + a, which is own + (2^256 - 1 - other) + more where more is a - (2^256 - 1). */
APART static void mask_input(number *out, const number *own, const number *other, const number *more)
{
    uint128 s = 0;
    number low;
#pragma GCC unroll 4
    for (int n = 0; n < 4; n++) {
        s += own->limb[n];
        s += ~other->limb[n];
        s += more->limb[n];
        low.limb[n] = (uint64_t)s;
        s >>= 64;
    }
    reduce_top(out, &low, (uint64_t)s);
}

/* The rows of the matrix a~ of multiplication k, α0 of each kept. a is (a_1, a_2, a^). */
static void correlate(multiplication *m, uint8_t *matrix, size_t k, const uint8_t *columns, const uint8_t *delta,
                      const number *a)
{
    number most = {{UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX}}, more[COLUMNS], masked;
    reduce_once(order, &most, 0);
    for (size_t i = 0; i < COLUMNS; i++) {
        subtract(order, &more[i], &a[i], &most);
    }
    for (size_t j = k * TRANSFERS; j < (k + 1) * TRANSFERS; j++) {
        number *own = m->rows + j * COLUMNS;
        find_pads(m, own, j, columns + j * COLUMN, NULL);
        find_pads(m, m->other, j, columns + j * COLUMN, delta);
        for (size_t i = 0; i < COLUMNS; i++) {
            mask_input(&masked, &own[i], &m->other[i], &more[i]);
            store(curve, matrix + j * ROW + i * SCALAR, &masked);
        }
    }
    quorate_wipe(more, sizeof more);
}

static void load_inputs(number *a, size_t k, const uint8_t *inputs, const uint8_t *checks)
{
    load(curve, &a[0], inputs + k * INPUTS * SCALAR);
    load(curve, &a[1], inputs + (k * INPUTS + 1) * SCALAR);
    load(curve, &a[2], checks + k * SCALAR);
}

/* η, μ and (c_1, c_2) of multiplication k. */
static void close(multiplication *m, uint8_t *end, uint8_t *shares, size_t k, const uint8_t *gadgets, const number *a)
{
    const number zero = {{0}}, *rows = m->rows + k * TRANSFERS * COLUMNS;
    challenge c;
    number eta, check, totals[INPUTS];
    find_challenge(&c, m, k);
    combine(&eta, &c, a, &zero);
    store(curve, end, &eta);
    for (size_t j = 0; j < TRANSFERS; j++) {
        combine(&check, &c, &rows[j * COLUMNS], &zero);
        store(curve, m->numbered + 4 + j * SCALAR, &check);
    }
    find_mu(m, k);
    memcpy(end + SCALAR, m->mu, MU);
    inner(totals, gadgets, rows);
    for (size_t i = 0; i < INPUTS; i++) {
        subtract(order, &totals[i], &zero, &totals[i]);
        store(curve, shares + i * SCALAR, &totals[i]);
    }
    quorate_wipe(&check, sizeof check);
    quorate_wipe(totals, sizeof totals);
}

int quorate_ot_respond(uint8_t *message, uint8_t *shares, const uint8_t *context, const uint8_t *gadgets,
                       const uint8_t *punctured, const uint8_t *columns, const uint8_t *salt_r, const uint8_t *salt_s,
                       const uint8_t *inputs, const uint8_t *checks, size_t batch)
{
    multiplication *m = multiplication_new(context, salt_r, salt_s, batch);
    if (m == NULL) {
        return 0;
    }
    uint8_t *matrix = message + SALT, *end = matrix + batch * TRANSFERS * ROW, delta[COLUMN];
    number a[COLUMNS];
    memcpy(message, salt_s, SALT);
    pack(delta, punctured + TREES * LEAVES * SEED);
    for (size_t k = 0; k < batch; k++) {
        load_inputs(a, k, inputs, checks);
        correlate(m, matrix, k, columns, delta, a);
    }
    QUORATE_DECLASSIFY(matrix, batch * TRANSFERS * ROW);
    quorate_digest(m->seen, HASH, TAG_MATRIX, FIELDS(m->salts, matrix, batch * TRANSFERS * ROW), 2);
    for (size_t k = 0; k < batch; k++) {
        load_inputs(a, k, inputs, checks);
        close(m, end + k * END, shares + k * INPUTS * SCALAR, k, gadgets, a);
    }
    QUORATE_DECLASSIFY(end, batch * END);
    quorate_wipe(a, sizeof a);
    quorate_wipe(delta, sizeof delta);
    quorate_secret_free(m);
    return 1;
}

/* The borrow of a - order, which is one if a is a scalar. Public. */
static uint64_t is_scalar(const number *a)
{
    number less;
    return number_subtract(&less, a, &order->value);
}

/* own += a, where the mask is ones; own is any number of 256 bits, before and after. */
APART static void add_selected(number *own, const number *a, uint64_t mask)
{
    uint128 s = 0;
    number low;
#pragma GCC unroll 4
    for (int n = 0; n < 4; n++) {
        s += own->limb[n];
        s += a->limb[n] & mask;
        low.limb[n] = (uint64_t)s;
        s >>= 64;
    }
    reduce_top(own, &low, (uint64_t)s);
}

/* d of every row of multiplication k: the pad, and a~ where the choice is one. Whether all of a~ are scalars. */
static uint64_t uncover(multiplication *m, const uint8_t *matrix, size_t k, const uint8_t *choices,
                        const uint8_t *columns)
{
    uint64_t canonical = 1;
    for (size_t j = k * TRANSFERS; j < (k + 1) * TRANSFERS; j++) {
        number *own = m->rows + j * COLUMNS, given;
        uint64_t mask = mask_of(bit_of(choices, j));
        find_pads(m, own, j, columns + j * COLUMN, NULL);
        for (size_t i = 0; i < COLUMNS; i++) {
            load(curve, &given, matrix + j * ROW + i * SCALAR);
            canonical &= is_scalar(&given);
            add_selected(&own[i], &given, mask);
        }
    }
    return canonical;
}

/* Whether μ of multiplication k is as it must be. */
static int agrees(multiplication *m, const uint8_t *end, size_t k, const uint8_t *choices)
{
    const number *rows = m->rows + k * TRANSFERS * COLUMNS;
    const number zero = {{0}};
    challenge c;
    number minus_eta, check;
    find_challenge(&c, m, k);
    load(curve, &minus_eta, end);
    subtract(order, &minus_eta, &zero, &minus_eta);
    for (size_t j = 0; j < TRANSFERS; j++) {
        number term = zero;
        number_select(&term, &minus_eta, mask_of(bit_of(choices, k * TRANSFERS + j)));
        combine(&check, &c, &rows[j * COLUMNS], &term);
        store(curve, m->numbered + 4 + j * SCALAR, &check);
    }
    find_mu(m, k);
    quorate_wipe(&check, sizeof check);
    return quorate_equal(m->mu, end + SCALAR, MU);
}

int quorate_ot_finish(uint8_t *shares, int *accepted, const uint8_t *context, const uint8_t *gadgets,
                      const uint8_t *choices, const uint8_t *columns, const uint8_t *salt_r, const uint8_t *message,
                      size_t batch)
{
    multiplication *m = multiplication_new(context, salt_r, message, batch);
    if (m == NULL) {
        return 0;
    }
    const uint8_t *matrix = message + SALT, *end = matrix + batch * TRANSFERS * ROW;
    int fine = 1;
    uint64_t canonical = 1;
    quorate_digest(m->seen, HASH, TAG_MATRIX, FIELDS(m->salts, matrix, batch * TRANSFERS * ROW), 2);
    for (size_t k = 0; k < batch; k++) {
        number eta;
        load(curve, &eta, end + k * END);
        canonical &= is_scalar(&eta) & uncover(m, matrix, k, choices, columns);
        fine &= agrees(m, end + k * END, k, choices);
    }
    QUORATE_DECLASSIFY(&fine, sizeof fine);
    *accepted = canonical ? fine : -1;
    fine = *accepted == 1;
    for (size_t k = 0; k < batch && fine; k++) {
        number totals[INPUTS];
        inner(totals, gadgets, m->rows + k * TRANSFERS * COLUMNS);
        for (size_t i = 0; i < INPUTS; i++) {
            store(curve, shares + (k * INPUTS + i) * SCALAR, &totals[i]);
        }
        quorate_wipe(totals, sizeof totals);
    }
    quorate_secret_free(m);
    return 1;
}
