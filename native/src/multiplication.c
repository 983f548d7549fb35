/* The vector OLE by 512 correlated transfers for each multiplication: ecdsa.md's section 4, after Doerner, Kondi, Lee
 * and shelat, 2023/765. */
#include <string.h>

#include "checkmem.h"
#include "digest.h"
#include "mask.h"
#include "ot.h"
#include "quorate.h"
#include "scalar.h"

enum {
    HASH = 32,
    MU = 64,
    WIDE = 256, /* bytes of key stream for 3 numbers: sooner made than 144 */
    ROW = COLUMNS * SCALAR,
    END = SCALAR + MU, /* of a multiplication in the answer: η and μ */
};

static const quorate_curve curve = QUORATE_SECP256K1;
static const modulus *const order = &quorate_orders[QUORATE_SECP256K1];

typedef struct {
    number theta[2]; /* in Montgomery form */
} challenge;

/* One batch while it is made. */
typedef struct {
    pattern pad;
    uint8_t seed[SEED], stream[WIDE];
    number other[COLUMNS]; /* α1 of one transfer */
    uint8_t numbered[4 + TRANSFERS * SCALAR]; /* a multiplication's number, then its checks */
    uint8_t mu[MU];
    uint8_t salts[HASH], seen[HASH]; /* public */
    number rows[]; /* three for each transfer: α0, or d */
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
    uint8_t wide[LONG];
    quorate_digest(wide, LONG, tag, FIELDS(context, bytes, size), 2);
    reduce_long(out, wide);
}

/* The three pads of transfer j, from its column, and delta added where there is one. */
static void find_pads(multiplication *m, number *pads, size_t j, const uint8_t *column, const uint8_t *delta)
{
    uint8_t *content = m->pad.bytes + m->pad.start;
    put_four(content, j);
    memcpy(content + 4, column, COLUMN);
    if (delta != NULL) {
        add_masked(content + 4, delta, COLUMN, UINT64_MAX);
    }
    quorate_pattern_digest(m->seed, SEED, &m->pad);
    quorate_chacha20(m->stream, WIDE, m->seed);
    for (size_t i = 0; i < COLUMNS; i++) {
        reduce_long(&pads[i], m->stream + i * LONG);
    }
}

static void find_challenge(challenge *out, const multiplication *m, size_t k)
{
    uint8_t which[5];
    put_four(which, k);
    for (size_t i = 0; i < INPUTS; i++) {
        which[4] = (uint8_t)(i + 1);
        digest_scalar(&out->theta[i], TAG_THETA, m->seen, which, sizeof which);
        enter(order, &out->theta[i], &out->theta[i]);
    }
}

/* last + θ_1 first + θ_2 second. */
static void combine(number *out, const challenge *c, const number *first, const number *second, const number *last)
{
    number x, y;
    multiply(order, &x, first, &c->theta[0]);
    multiply(order, &y, second, &c->theta[1]);
    add(order, &x, &x, &y);
    add(order, out, &x, last);
}

static void find_mu(multiplication *m, size_t k)
{
    put_four(m->numbered, k);
    quorate_digest(m->mu, MU, TAG_MU, FIELDS(m->salts, m->numbered, sizeof m->numbered), 2);
}

/* The sum of products, not reduced before its end. */
typedef struct {
    uint64_t limb[9];
} sum;

static void accumulate(sum *s, const number *a, const number *b)
{
    for (int i = 0; i < 4; i++) {
        uint64_t carry = 0;
        for (int j = 0; j < 4; j++) {
            uint128 product = (uint128)a->limb[j] * b->limb[i] + s->limb[i + j] + carry;
            s->limb[i + j] = (uint64_t)product;
            carry = (uint64_t)(product >> 64);
        }
        for (int j = i + 4; j < 9; j++) {
            uint128 more = (uint128)s->limb[j] + carry;
            s->limb[j] = (uint64_t)more;
            carry = (uint64_t)(more >> 64);
        }
    }
}

static void reduce_sum(number *out, const sum *s)
{
    number low = {{s->limb[0], s->limb[1], s->limb[2], s->limb[3]}};
    number middle = {{s->limb[4], s->limb[5], s->limb[6], s->limb[7]}}, high = {{s->limb[8], 0, 0, 0}};
    enter(order, &low, &low);
    leave(order, &low, &low);
    enter(order, &middle, &middle); /* times 2^256, which is its place value */
    enter(order, &high, &high);
    enter(order, &high, &high);
    add(order, out, &low, &middle);
    add(order, out, out, &high);
}

/* For both inputs: the sum of g_j times the input's column, over the rows of one multiplication. */
static void inner(number *out, const uint8_t *gadgets, const number *rows)
{
    sum sums[INPUTS] = {{{0}}};
    number g;
    for (size_t j = 0; j < TRANSFERS; j++) {
        load(curve, &g, gadgets + j * SCALAR);
        for (size_t i = 0; i < INPUTS; i++) {
            accumulate(&sums[i], &g, &rows[j * COLUMNS + i]);
        }
    }
    for (size_t i = 0; i < INPUTS; i++) {
        reduce_sum(&out[i], &sums[i]);
    }
    quorate_wipe(sums, sizeof sums);
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
    const number zero = {{0}};
    number g, total;
    for (size_t k = 0; k < batch; k++) {
        total = zero;
        for (size_t j = 0; j < TRANSFERS; j++) {
            number term = zero;
            load(curve, &g, gadgets + j * SCALAR);
            number_select(&term, &g, mask_of(bit_of(choices, k * TRANSFERS + j)));
            add(order, &total, &total, &term);
        }
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

/* The rows of the matrix a~ of multiplication k, α0 of each kept. a is (a_1, a_2, a^). */
static void correlate(multiplication *m, uint8_t *matrix, size_t k, const uint8_t *columns, const uint8_t *delta,
                      const number *a)
{
    for (size_t j = k * TRANSFERS; j < (k + 1) * TRANSFERS; j++) {
        number *own = m->rows + j * COLUMNS;
        find_pads(m, own, j, columns + j * COLUMN, NULL);
        find_pads(m, m->other, j, columns + j * COLUMN, delta);
        for (size_t i = 0; i < COLUMNS; i++) {
            number masked;
            subtract(order, &masked, &own[i], &m->other[i]);
            add(order, &masked, &masked, &a[i]);
            store(curve, matrix + j * ROW + i * SCALAR, &masked);
        }
    }
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
    combine(&eta, &c, &a[0], &a[1], &a[2]);
    store(curve, end, &eta);
    for (size_t j = 0; j < TRANSFERS; j++) {
        combine(&check, &c, &rows[j * COLUMNS], &rows[j * COLUMNS + 1], &rows[j * COLUMNS + 2]);
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

int quorate_ot_answer_is_canonical(const uint8_t *message, size_t batch)
{
    const uint8_t *matrix = message + SALT, *end = matrix + batch * TRANSFERS * ROW;
    int fine = quorate_scalars_are_canonical(curve, matrix, batch * TRANSFERS * COLUMNS);
    for (size_t k = 0; k < batch; k++) {
        fine &= quorate_scalars_are_canonical(curve, end + k * END, 1);
    }
    return fine;
}

/* d of every row of multiplication k: the pad, and a~ where the choice is one. */
static void uncover(multiplication *m, const uint8_t *matrix, size_t k, const uint8_t *choices, const uint8_t *columns)
{
    for (size_t j = k * TRANSFERS; j < (k + 1) * TRANSFERS; j++) {
        number *own = m->rows + j * COLUMNS, given;
        uint64_t mask = mask_of(bit_of(choices, j));
        find_pads(m, own, j, columns + j * COLUMN, NULL);
        for (size_t i = 0; i < COLUMNS; i++) {
            number term = {{0}};
            load(curve, &given, matrix + j * ROW + i * SCALAR);
            number_select(&term, &given, mask);
            add(order, &own[i], &own[i], &term);
        }
    }
}

/* Whether μ of multiplication k is as it must be. */
static int agrees(multiplication *m, const uint8_t *end, size_t k, const uint8_t *choices)
{
    const number *rows = m->rows + k * TRANSFERS * COLUMNS;
    challenge c;
    number eta, check;
    find_challenge(&c, m, k);
    load(curve, &eta, end);
    for (size_t j = 0; j < TRANSFERS; j++) {
        number term = {{0}};
        number_select(&term, &eta, mask_of(bit_of(choices, k * TRANSFERS + j)));
        combine(&check, &c, &rows[j * COLUMNS], &rows[j * COLUMNS + 1], &rows[j * COLUMNS + 2]);
        subtract(order, &check, &check, &term);
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
    int fine = quorate_ot_answer_is_canonical(message, batch);
    quorate_digest(m->seen, HASH, TAG_MATRIX, FIELDS(m->salts, matrix, batch * TRANSFERS * ROW), 2);
    for (size_t k = 0; k < batch; k++) {
        uncover(m, matrix, k, choices, columns);
        fine &= agrees(m, end + k * END, k, choices);
    }
    QUORATE_DECLASSIFY(&fine, sizeof fine);
    *accepted = fine;
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
