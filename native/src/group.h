/* What one curve must offer; group.c builds the rest from it. Inside, points are as in quorate_point. */
#ifndef QUORATE_GROUP_H
#define QUORATE_GROUP_H

#include "quorate.h"

typedef struct {
    quorate_point identity;
    int (*decode)(quorate_point *out, const uint8_t *encoded);
    int (*encode)(uint8_t *out, const quorate_point *point);
    int (*negate)(quorate_point *out, const quorate_point *point);
    /* Of any points but the identity; count is not 0. */
    int (*sum)(quorate_point *out, const quorate_point *points, size_t count);
    /* Of nonzero scalars, and of a point that is not the identity. */
    int (*base)(quorate_point *out, const uint8_t *scalar);
    int (*multiply)(quorate_point *out, const uint8_t *scalar, const quorate_point *point);
    int (*multiply_var)(quorate_point *out, const uint8_t *scalar, const quorate_point *point);
} group;

extern const group quorate_secp256k1, quorate_ed25519;

/* The encoding of a product that stays secret; of a nonzero scalar and of any point but the identity. */
int quorate_secp256k1_agree(uint8_t *out, const uint8_t *scalar, const quorate_point *point);
/* The point that 64 uniform bytes are an ElligatorSwift encoding of: nobody knows its logarithm. */
int quorate_secp256k1_swift(quorate_point *out, const uint8_t *uniform);

/* Resolve every function from the open shared object and test it; NULL when all is well, else what is wrong. */
const char *quorate_secp256k1_load(void *library);
const char *quorate_ed25519_load(void *library);
const char *quorate_keys_load(void *library);

/* The address of a symbol, into a variable of function pointer type; 0 if there is none. */
int quorate_resolve(void *library, const char *name, void *function);

#endif
