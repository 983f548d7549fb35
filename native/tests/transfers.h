/* A pair of parties: S, who will know delta, and R, who knows every leaf. In the constant-time check their secrets are
 * marked as they are drawn. */
#ifndef QUORATE_TRANSFERS_H
#define QUORATE_TRANSFERS_H

#include "../src/checkmem.h"
#include "../src/ot.h"
#include "../src/rows.h"
#include "tests.h"

enum {
    BATCH = 2,
    BASE_MESSAGE = BASE_OTS * 2 * POINT,
    TREE_MESSAGE = TREES * 192,
    ROW_SIZE = BATCH * TRANSFERS / 8 + 16,
    M1 = SALT + TREES * ROW_SIZE + 16 + 32,
    MATRIX = BATCH * TRANSFERS * COLUMNS * 32,
    M2 = SALT + MATRIX + BATCH * 96,
};

typedef struct {
    uint8_t context[32];
    uint8_t choices[BASE_OTS / 8], t[BASE_OTS * 32], s[2 * BASE_OTS * 32], uniform[BASE_OTS * 128];
    uint8_t chosen[BASE_MESSAGE], answered[BASE_MESSAGE], keys[2 * BASE_OTS * SEED], known[BASE_OTS * SEED];
    uint8_t leaves[TREES * LEAVES * SEED], corrections[TREE_MESSAGE], punctured[TREES * LEAVES * SEED + TREES];
} setup;

typedef struct {
    uint8_t gadgets[TRANSFERS * 32], salts[2][SALT];
    uint8_t beta[BATCH * TRANSFERS / 8], mask[16], a[BATCH * INPUTS * 32], checks[BATCH * 32];
    uint8_t psi[BATCH * TRANSFERS * COLUMN], zeta[BATCH * TRANSFERS * COLUMN], m1[M1], m2[M2];
    uint8_t b[BATCH * 32], c[BATCH * INPUTS * 32], d[BATCH * INPUTS * 32];
} multiplied;

static inline void draw(uint8_t *out, size_t size)
{
    fill(out, size);
    QUORATE_CLASSIFY(out, size);
}

static inline void draw_scalars(uint8_t *out, size_t count)
{
    fill_scalars(QUORATE_SECP256K1, out, count);
    QUORATE_CLASSIFY(out, count * 32);
}

static inline void set_up(setup *p)
{
    int accepted = 0;
    fill(p->context, sizeof p->context);
    fill(p->uniform, sizeof p->uniform); /* published, as points */
    draw(p->choices, sizeof p->choices);
    draw_scalars(p->t, BASE_OTS);
    draw_scalars(p->s, 2 * BASE_OTS);
    CHECK(quorate_ot_base_choose(p->chosen, p->context, p->choices, p->t, p->uniform));
    CHECK(quorate_ot_base_answer(p->answered, p->keys, p->context, p->chosen, p->s));
    CHECK(quorate_ot_base_finish(p->known, p->context, p->choices, p->t, p->answered));
    QUORATE_CLASSIFY(p->keys, sizeof p->keys);
    QUORATE_CLASSIFY(p->known, sizeof p->known);
    CHECK(quorate_ot_expand(p->leaves, p->corrections, p->context, p->keys));
    CHECK(quorate_ot_puncture(p->punctured, &accepted, p->context, p->choices, p->known, p->corrections) && accepted);
    QUORATE_CLASSIFY(p->leaves, sizeof p->leaves);
    QUORATE_CLASSIFY(p->punctured, sizeof p->punctured);
}

static inline void extend_pair(multiplied *m, const setup *p)
{
    int accepted = 0;
    quorate_ot_gadgets(m->gadgets, p->context);
    fill(m->salts[0], sizeof m->salts);
    draw(m->beta, sizeof m->beta);
    draw(m->mask, sizeof m->mask);
    CHECK(quorate_ot_extend(m->m1, m->psi, p->context, p->leaves, m->salts[0], m->beta, m->mask, BATCH));
    CHECK(quorate_ot_accept(m->zeta, &accepted, p->context, p->punctured, m->m1, BATCH) && accepted);
}

static inline void multiply_pair(multiplied *m, const setup *p)
{
    int accepted = 0;
    draw_scalars(m->a, BATCH * INPUTS);
    draw_scalars(m->checks, BATCH);
    quorate_ot_product(m->b, m->gadgets, m->beta, BATCH);
    CHECK(quorate_ot_respond(m->m2, m->c, p->context, m->gadgets, p->punctured, m->zeta, m->salts[0], m->salts[1], m->a,
                             m->checks, BATCH));
    CHECK(quorate_ot_finish(m->d, &accepted, p->context, m->gadgets, m->beta, m->psi, m->salts[0], m->m2, BATCH) &&
          accepted == 1);
}

/* c + d = a b for every input of every multiplication. */
static inline int is_a_product(const multiplied *m)
{
    uint8_t left[32], right[32];
    int holds = 1;
    for (size_t n = 0; n < BATCH * INPUTS; n++) {
        quorate_scalar_add(QUORATE_SECP256K1, left, m->c + n * 32, m->d + n * 32, 1);
        quorate_scalar_multiply(QUORATE_SECP256K1, right, m->a + n * 32, m->b + n / INPUTS * 32, 1);
        holds &= quorate_equal(left, right, 32);
    }
    QUORATE_DECLASSIFY(&holds, sizeof holds);
    return holds;
}

#endif
