/* The OT extension with its check: ot.md, "Extension", after SoftSpokenOT (Roy, 2022/192). */
#include <string.h>

#include "checkmem.h"
#include "digest.h"
#include "mask.h"
#include "ot.h"
#include "quorate.h"
#include "rows.h"
#include "scalar.h"

enum {
    ROWS = BASE_OTS,
    NONCE = 8,
    HASH = 32,
    WIDE = 256, /* bytes of key stream that libsodium makes faster than any fewer but a block */
};

/* Where every leaf's stream starts: the blocks of two starts are the same or have none in common. */
typedef struct {
    uint8_t nonce[NONCE];
    uint64_t block;
} place;

/* One extension while it is made. */
typedef struct {
    size_t size, blocks, columns; /* bytes and blocks of a row; bytes of it that become columns */
    size_t stream;                /* bytes of a leaf's key stream, a little more than a row's where that is faster */
    uint8_t *streams;             /* of a tree's leaves */
    uint8_t *total;               /* the sum of them */
    uint8_t *factors;             /* public */
    uint8_t folds[(ROWS + 1) * BLOCK];
    uint8_t rows[]; /* 256, and x; then the others */
} extension;

/* NULL when there is no memory. */
static extension *extension_new(size_t batch)
{
    if (batch > UINT16_MAX / 2) { /* a stream has fewer than 2^16 blocks */
        return NULL;
    }
    size_t columns = batch * TRANSFERS / 8, size = columns + BLOCK, over = size % WIDE;
    size_t stream = over > WIDE / 4 ? size - over + WIDE : size;
    extension *e = quorate_secret_new(sizeof *e + (ROWS + 1) * size + LEAVES * stream + size + columns);
    if (e == NULL) {
        return NULL;
    }
    e->size = size;
    e->blocks = size / BLOCK;
    e->columns = columns;
    e->stream = stream;
    e->streams = e->rows + (ROWS + 1) * size;
    e->total = e->streams + LEAVES * stream;
    e->factors = e->total + size;
    return e;
}

/* out ^= a, whole blocks. */
static void add_blocks(uint8_t *out, const uint8_t *a, size_t blocks)
{
    for (size_t n = 0; n < blocks; n++) {
        uint64_t x[2], y[2];
        memcpy(x, out + n * BLOCK, BLOCK);
        memcpy(y, a + n * BLOCK, BLOCK);
        x[0] ^= y[0];
        x[1] ^= y[1];
        memcpy(out + n * BLOCK, x, BLOCK);
    }
}

/* The two rows of tree i, as they are for position zero, and the total. Leaf number missing counts for nothing. */
static void sum_tree(extension *e, size_t i, const uint8_t *leaves, const place *start, uint64_t missing)
{
    memset(e->total, 0, e->size);
    for (size_t y = 0; y < LEAVES; y++) {
        uint8_t *stream = e->streams + y * e->stream;
        quorate_chacha20(stream, e->stream, leaves + (i * LEAVES + y) * SEED, start->nonce, start->block);
        add_masked(stream, stream, e->size, mask_if_equal(y, missing));
        add_blocks(e->total, stream, e->blocks);
        for (size_t b = 0; b < DEPTH; b++) {
            if (y >> b & 1) {
                add_blocks(e->rows + (i * DEPTH + b) * e->size, stream, e->blocks);
            }
        }
    }
}

static void find_factors(extension *e, const uint8_t *context, const uint8_t *salt, const uint8_t *u)
{
    uint8_t seen[HASH];
    const field said[3] = {{context, 32}, {salt, SALT}, {u, TREES * e->size}};
    quorate_digest(seen, HASH, TAG_ROWS, said, 3);
    for (size_t j = 1; j < e->blocks; j++) {
        const uint8_t which[4] = {(uint8_t)(j >> 24), (uint8_t)(j >> 16), (uint8_t)(j >> 8), (uint8_t)j};
        quorate_digest(e->factors + (j - 1) * BLOCK, BLOCK, TAG_FOLD, FIELDS(seen, which, sizeof which), 2);
    }
}

static void hash_folds(uint8_t *out, const extension *e, const uint8_t *context, const uint8_t *salt)
{
    const field folds[3] = {{context, 32}, {salt, SALT}, {e->folds, ROWS * BLOCK}};
    quorate_digest(out, HASH, TAG_FOLDS, folds, 3);
}

static void find_start(place *out, const uint8_t *context, const uint8_t *salt)
{
    uint8_t hash[NONCE + 8];
    quorate_digest(hash, sizeof hash, TAG_STREAM, FIELDS(context, salt, SALT), 2);
    memcpy(out->nonce, hash, NONCE);
    out->block = little_endian(hash + NONCE) & ~(uint64_t)UINT16_MAX;
}

int quorate_ot_extend(uint8_t *message, uint8_t *columns, const uint8_t *context, const uint8_t *leaves,
                      const uint8_t *salt, const uint8_t *choices, const uint8_t *random, size_t batch)
{
    extension *e = extension_new(batch);
    if (e == NULL) {
        return 0;
    }
    place start;
    uint8_t *u = message + SALT, *end = u + TREES * e->size, *x = e->rows + ROWS * e->size;
    memcpy(message, salt, SALT);
    memcpy(x, choices, e->columns);
    memcpy(x + e->columns, random, BLOCK);
    find_start(&start, context, salt);
    for (size_t i = 0; i < TREES; i++) {
        sum_tree(e, i, leaves, &start, LEAVES);
        add_blocks(e->total, x, e->blocks);
        memcpy(u + i * e->size, e->total, e->size);
    }
    QUORATE_DECLASSIFY(u, TREES * e->size);
    find_factors(e, context, salt, u);
    quorate_fold(e->folds, e->rows, ROWS + 1, e->blocks, e->factors);
    memcpy(end, e->folds + ROWS * BLOCK, BLOCK);
    hash_folds(end + BLOCK, e, context, salt);
    QUORATE_DECLASSIFY(end, BLOCK + HASH);
    quorate_transpose(columns, e->rows, e->size, e->columns);
    quorate_secret_free(e);
    return 1;
}

int quorate_ot_accept(uint8_t *columns, int *accepted, const uint8_t *context, const uint8_t *punctured,
                      const uint8_t *message, size_t batch)
{
    extension *e = extension_new(batch);
    if (e == NULL) {
        return 0;
    }
    const uint8_t *salt = message, *u = message + SALT, *end = u + TREES * e->size;
    const uint8_t *missing = punctured + TREES * LEAVES * SEED;
    place start;
    uint8_t hash[HASH];
    find_start(&start, context, salt);
    for (size_t i = 0; i < TREES; i++) {
        sum_tree(e, i, punctured, &start, missing[i]);
        add_blocks(e->total, u + i * e->size, e->blocks);
        for (size_t b = 0; b < DEPTH; b++) {
            add_masked(e->rows + (i * DEPTH + b) * e->size, e->total, e->size, mask_of(bit_of(&missing[i], b)));
        }
    }
    find_factors(e, context, salt, u);
    quorate_fold(e->folds, e->rows, ROWS, e->blocks, e->factors);
    for (size_t n = 0; n < ROWS; n++) {
        add_masked(e->folds + n * BLOCK, end, BLOCK, mask_of(bit_of(&missing[n / DEPTH], n % DEPTH)));
    }
    hash_folds(hash, e, context, salt);
    *accepted = quorate_equal(hash, end + BLOCK, HASH);
    QUORATE_DECLASSIFY(accepted, sizeof *accepted);
    if (*accepted) {
        quorate_transpose(columns, e->rows, e->size, e->columns);
    }
    quorate_secret_free(e);
    return 1;
}
