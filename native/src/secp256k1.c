/* secp256k1 by libsecp256k1. A point is its secp256k1_pubkey (parsed, normalised, so one value per point); the
 * identity, which that type cannot hold, is all zeros. */
#include "group.h"

#include <stdlib.h>
#include <string.h>

#include "checkmem.h"

typedef struct context context;
typedef int coordinates(unsigned char *out, const unsigned char *x, const unsigned char *y, void *data);

enum { CONTEXT_NONE = 1, COMPRESSED = 258, COMPRESSED_SIZE = 33, UNCOMPRESSED_SIZE = 65 };

static struct {
    void (*selftest)(void);
    context *(*context_create)(unsigned flags);
    int (*context_randomize)(context *, const unsigned char *seed);
    void (*context_set_illegal_callback)(context *, void (*)(const char *, void *), const void *);
    int (*parse)(const context *, quorate_point *, const unsigned char *, size_t);
    int (*serialize)(const context *, unsigned char *, size_t *, const quorate_point *, unsigned flags);
    int (*create)(const context *, quorate_point *, const unsigned char *scalar);
    int (*negate)(const context *, quorate_point *);
    int (*tweak_mul)(const context *, quorate_point *, const unsigned char *scalar);
    int (*combine)(const context *, quorate_point *, const quorate_point *const *, size_t);
    int (*ecdh)(const context *, unsigned char *, const quorate_point *, const unsigned char *, coordinates *, void *);
    int (*ellswift_decode)(const context *, quorate_point *, const unsigned char *);
} secp;

static context *shared;
static _Thread_local int misused;

/* libsecp256k1 calls this on an argument no caller of ours can give; the function in progress then reports failure. */
static void note_misuse(const char *message, void *data)
{
    (void)message;
    (void)data;
    misused = 1;
}

static int succeeded(int result)
{
    int fine = result && !misused;
    misused = 0;
    return fine;
}

const char *quorate_secp256k1_load(void *library)
{
    if (!quorate_resolve(library, "secp256k1_selftest", &secp.selftest) ||
        !quorate_resolve(library, "secp256k1_context_create", &secp.context_create) ||
        !quorate_resolve(library, "secp256k1_context_randomize", &secp.context_randomize) ||
        !quorate_resolve(library, "secp256k1_context_set_illegal_callback", &secp.context_set_illegal_callback) ||
        !quorate_resolve(library, "secp256k1_ec_pubkey_parse", &secp.parse) ||
        !quorate_resolve(library, "secp256k1_ec_pubkey_serialize", &secp.serialize) ||
        !quorate_resolve(library, "secp256k1_ec_pubkey_create", &secp.create) ||
        !quorate_resolve(library, "secp256k1_ec_pubkey_negate", &secp.negate) ||
        !quorate_resolve(library, "secp256k1_ec_pubkey_tweak_mul", &secp.tweak_mul) ||
        !quorate_resolve(library, "secp256k1_ec_pubkey_combine", &secp.combine) ||
        !quorate_resolve(library, "secp256k1_ecdh", &secp.ecdh) ||
        !quorate_resolve(library, "secp256k1_ellswift_decode", &secp.ellswift_decode)) {
        return "libsecp256k1 lacks a function this program needs";
    }
    secp.selftest();
    unsigned char seed[32];
    shared = secp.context_create(CONTEXT_NONE);
    if (shared == NULL || !quorate_random(seed, sizeof seed) || !secp.context_randomize(shared, seed)) {
        return "libsecp256k1 could not be set up";
    }
    quorate_wipe(seed, sizeof seed);
    secp.context_set_illegal_callback(shared, note_misuse, NULL);
    return NULL;
}

static int decode(quorate_point *out, const uint8_t *encoded)
{
    return succeeded(secp.parse(shared, out, encoded, COMPRESSED_SIZE)); /* the size admits no other form */
}

static int encode(uint8_t *out, const quorate_point *point)
{
    size_t size = COMPRESSED_SIZE;
    return succeeded(secp.serialize(shared, out, &size, point, COMPRESSED));
}

static int negate(quorate_point *out, const quorate_point *point)
{
    quorate_point result = *point;
    int done = succeeded(secp.negate(shared, &result));
    *out = result;
    return done;
}

static int sum(quorate_point *out, const quorate_point *points, size_t count)
{
    const quorate_point **addresses = calloc(count, sizeof *addresses);
    if (addresses == NULL) {
        return 0;
    }
    for (size_t i = 0; i < count; i++) {
        addresses[i] = &points[i];
    }
    /* It fails only for a sum that is the identity, and leaves zeros then. */
    (void)secp.combine(shared, out, addresses, count);
    free(addresses);
    return succeeded(1);
}

static int base(quorate_point *out, const uint8_t *scalar)
{
    int created = secp.create(shared, out, scalar);
    QUORATE_DECLASSIFY(out, sizeof *out);
    QUORATE_DECLASSIFY(&created, sizeof created);
    return succeeded(created);
}

static int copy_coordinates(unsigned char *out, const unsigned char *x, const unsigned char *y, void *data)
{
    (void)data;
    out[0] = 4;
    memcpy(out + 1, x, 32);
    memcpy(out + 33, y, 32);
    return 1;
}

/* ec_pubkey_tweak_mul takes its time from the scalar; ecdh does not, and hands its product to the hash function. */
static int multiply(quorate_point *out, const uint8_t *scalar, const quorate_point *point)
{
    unsigned char product[UNCOMPRESSED_SIZE];
    int multiplied = secp.ecdh(shared, product, point, scalar, copy_coordinates, NULL);
    QUORATE_DECLASSIFY(product, sizeof product);
    QUORATE_DECLASSIFY(&multiplied, sizeof multiplied);
    return succeeded(multiplied) && succeeded(secp.parse(shared, out, product, sizeof product));
}

static int compress(unsigned char *out, const unsigned char *x, const unsigned char *y, void *data)
{
    (void)data;
    out[0] = (unsigned char)(2 | (y[31] & 1));
    memcpy(out + 1, x, 32);
    return 1;
}

int quorate_secp256k1_agree(uint8_t *out, const uint8_t *scalar, const quorate_point *point)
{
    int multiplied = secp.ecdh(shared, out, point, scalar, compress, NULL);
    QUORATE_DECLASSIFY(&multiplied, sizeof multiplied);
    return succeeded(multiplied);
}

int quorate_secp256k1_swift(quorate_point *out, const uint8_t *uniform)
{
    return succeeded(secp.ellswift_decode(shared, out, uniform));
}

static int multiply_var(quorate_point *out, const uint8_t *scalar, const quorate_point *point)
{
    quorate_point product = *point;
    int done = succeeded(secp.tweak_mul(shared, &product, scalar));
    *out = product;
    return done;
}

const group quorate_secp256k1 = {
    .decode = decode,
    .encode = encode,
    .negate = negate,
    .sum = sum,
    .base = base,
    .multiply = multiply,
    .multiply_var = multiply_var,
};
