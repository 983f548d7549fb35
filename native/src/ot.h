/* Sizes and tags of the oblivious transfer. The tags are those of primitives/domains.py. */
#ifndef QUORATE_OT_H
#define QUORATE_OT_H

enum {
    BASE_OTS = 256, /* also the width of a row after transposition, in bits */
    TREES = 128,
    DEPTH = 2,
    LEAVES = 4,
    SEED = 32,
    PROOF = 64,
    TRANSFERS = 512, /* for one multiplication */
    COLUMN = 32,     /* bytes of a column of the extension's 256 rows */
    INPUTS = 2,
    COLUMNS = 3, /* of the multiplication's matrix: two inputs, one check */
    SALT = 32,
    POINT = 33,
};

#define TAG_POINT "quorate/v1/ot/point"
#define TAG_KEY "quorate/v1/ot/key"
#define TAG_TREE "quorate/v1/ot/tree"
#define TAG_LEAF "quorate/v1/ot/leaf"
#define TAG_LEAVES "quorate/v1/ot/leaves"
#define TAG_STREAM "quorate/v1/ot/stream"
#define TAG_ROWS "quorate/v1/ot/rows"
#define TAG_FOLD "quorate/v1/ot/fold"
#define TAG_FOLDS "quorate/v1/ot/folds"
#define TAG_SALTS "quorate/v1/ot/salts"
#define TAG_PAD "quorate/v1/ot/pad"
#define TAG_GADGET "quorate/v1/ot/gadget"
#define TAG_MATRIX "quorate/v1/ot/matrix"
#define TAG_THETA "quorate/v1/ot/theta"
#define TAG_MU "quorate/v1/ot/mu"

#endif
