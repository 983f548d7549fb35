/* All but one of the leaves of 128 trees, from 256 base OTs: ot.md, "Trees", after SoftSpokenOT (Roy, 2022/192)
 * and the punctured PRF of Goldreich, Goldwasser and Micali. Tree i uses base OTs 2i and 2i + 1. */
#include <string.h>

#include "checkmem.h"
#include "digest.h"
#include "mask.h"
#include "ot.h"
#include "quorate.h"

enum {
    CORRECTION = 2 * SEED,              /* of one level */
    PROOF_SUM = (DEPTH - 1) * CORRECTION, /* where it stands in a tree's message */
    PROOF_HASH = PROOF_SUM + PROOF,
    MESSAGE = PROOF_HASH + PROOF,
};

/* One tree while it is made. */
typedef struct {
    pattern child, leaf;
    uint8_t nodes[LEAVES * SEED], children[LEAVES * SEED], sums[CORRECTION];
    uint8_t numbered[1 + LEAVES * PROOF]; /* the tree's number, then the proofs */
    uint8_t hash[PROOF];
} tree;

static void add_all(uint8_t *out, const uint8_t *a, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        out[i] ^= a[i];
    }
}

static tree *tree_new(const uint8_t *context)
{
    tree *t = quorate_secret_new(sizeof *t);
    if (t != NULL) {
        quorate_pattern_of(&t->child, TAG_TREE, context, 3 + SEED);
        quorate_pattern_of(&t->leaf, TAG_LEAF, context, 2 + SEED);
    }
    return t;
}

/* Both children of every node of a level. */
static void expand_level(tree *t, size_t number, int level)
{
    uint8_t *content = t->child.bytes + t->child.start;
    size_t width = (size_t)1 << level;
    for (size_t y = 0; y < width; y++) {
        content[0] = (uint8_t)number;
        content[1] = (uint8_t)level;
        content[2] = (uint8_t)y;
        memcpy(content + 3, t->nodes + y * SEED, SEED);
        quorate_pattern_digest(t->children + y * 2 * SEED, 2 * SEED, &t->child);
    }
}

/* The sum of the even children and that of the odd ones. */
static void add_children(tree *t, int level)
{
    memset(t->sums, 0, sizeof t->sums);
    for (size_t y = 0; y < (size_t)1 << level; y++) {
        add_all(t->sums, t->children + y * 2 * SEED, 2 * SEED);
    }
}

static void prove_leaves(tree *t, size_t number)
{
    uint8_t *content = t->leaf.bytes + t->leaf.start;
    t->numbered[0] = (uint8_t)number;
    for (size_t y = 0; y < LEAVES; y++) {
        content[0] = (uint8_t)number;
        content[1] = (uint8_t)y;
        memcpy(content + 2, t->nodes + y * SEED, SEED);
        quorate_pattern_digest(t->numbered + 1 + y * PROOF, PROOF, &t->leaf);
    }
}

static void add_proofs(const tree *t, uint8_t *sum)
{
    for (size_t y = 0; y < LEAVES; y++) {
        add_all(sum, t->numbered + 1 + y * PROOF, PROOF);
    }
}

static void hash_proofs(tree *t, const uint8_t *context)
{
    quorate_digest(t->hash, PROOF, TAG_LEAVES, FIELDS(context, t->numbered, sizeof t->numbered), 2);
}

int quorate_ot_expand(uint8_t *leaves, uint8_t *message, const uint8_t *context, const uint8_t *keys)
{
    tree *t = tree_new(context);
    if (t == NULL) {
        return 0;
    }
    for (size_t i = 0; i < TREES; i++) {
        uint8_t *part = message + i * MESSAGE;
        const uint8_t *pair = keys + i * DEPTH * 2 * SEED;
        memcpy(t->nodes, pair, 2 * SEED);
        for (int level = 1; level < DEPTH; level++) {
            expand_level(t, i, level);
            add_children(t, level);
            add_all(t->sums, pair + level * 2 * SEED, 2 * SEED);
            memcpy(part + (level - 1) * CORRECTION, t->sums, CORRECTION);
            memcpy(t->nodes, t->children, (size_t)2 * SEED << level);
        }
        memcpy(leaves + i * LEAVES * SEED, t->nodes, LEAVES * SEED);
        prove_leaves(t, i);
        memset(part + PROOF_SUM, 0, PROOF);
        add_proofs(t, part + PROOF_SUM);
        hash_proofs(t, context);
        memcpy(part + PROOF_HASH, t->hash, PROOF);
    }
    QUORATE_DECLASSIFY(message, TREES * MESSAGE);
    quorate_secret_free(t);
    return 1;
}

/* Zeros in place of what stands at a secret position. */
static void clear_at(uint8_t *items, size_t size, size_t count, uint64_t position)
{
    for (size_t y = 0; y < count; y++) {
        add_masked(items + y * size, items + y * size, size, mask_if_equal(y, position));
    }
}

static void put_at(uint8_t *items, size_t size, size_t count, uint64_t position, const uint8_t *item)
{
    for (size_t y = 0; y < count; y++) {
        select_bytes(items + y * size, item, size, mask_if_equal(y, position));
    }
}

/* Every node is expanded, the missing one (zeros) too, and what comes of it cleared: the work tells nothing. */
static uint64_t descend(tree *t, size_t number, const uint8_t *choices, const uint8_t *keys, const uint8_t *part)
{
    uint64_t missing = 1 ^ bit_of(choices, DEPTH * number);
    memset(t->nodes, 0, sizeof t->nodes);
    put_at(t->nodes, SEED, 2, 1 ^ missing, keys);
    for (int level = 1; level < DEPTH; level++) {
        uint64_t bit = bit_of(choices, DEPTH * number + (size_t)level);
        uint8_t *known = t->sums;
        expand_level(t, number, level);
        clear_at(t->children, 2 * SEED, (size_t)1 << level, missing);
        add_children(t, level);
        add_all(t->sums, part + (level - 1) * CORRECTION, CORRECTION);
        select_bytes(known, t->sums + SEED, SEED, mask_of(bit));
        add_all(known, keys + level * SEED, SEED);
        put_at(t->children, SEED, (size_t)2 << level, 2 * missing + bit, known);
        memcpy(t->nodes, t->children, (size_t)2 * SEED << level);
        missing = 2 * missing + (1 ^ bit);
    }
    return missing;
}

int quorate_ot_puncture(uint8_t *punctured, int *accepted, const uint8_t *context, const uint8_t *choices,
                        const uint8_t *keys, const uint8_t *message)
{
    tree *t = tree_new(context);
    if (t == NULL) {
        return 0;
    }
    int fine = 1;
    for (size_t i = 0; i < TREES; i++) {
        const uint8_t *part = message + i * MESSAGE;
        uint64_t missing = descend(t, i, choices, keys + i * DEPTH * SEED, part);
        memcpy(punctured + i * LEAVES * SEED, t->nodes, LEAVES * SEED);
        punctured[TREES * LEAVES * SEED + i] = (uint8_t)missing;
        prove_leaves(t, i);
        clear_at(t->numbered + 1, PROOF, LEAVES, missing);
        memcpy(t->hash, part + PROOF_SUM, PROOF);
        add_proofs(t, t->hash);
        put_at(t->numbered + 1, PROOF, LEAVES, missing, t->hash);
        hash_proofs(t, context);
        fine &= quorate_equal(t->hash, part + PROOF_HASH, PROOF);
    }
    quorate_secret_free(t);
    QUORATE_DECLASSIFY(&fine, sizeof fine);
    *accepted = fine;
    return 1;
}
