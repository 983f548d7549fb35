/* Ed25519's group of prime order by libsodium. A point is its 32-byte encoding, zeros after it. */
#include "group.h"

#include <string.h>

#include "checkmem.h"

enum { POINT = 32 };

static struct {
    int (*init)(void);
    int (*is_valid_point)(const unsigned char *point);
    int (*add)(unsigned char *out, const unsigned char *a, const unsigned char *b);
    int (*subtract)(unsigned char *out, const unsigned char *a, const unsigned char *b);
    int (*base)(unsigned char *out, const unsigned char *scalar);
    int (*multiply)(unsigned char *out, const unsigned char *scalar, const unsigned char *point);
} sodium;

/* The base point (RFC 8032, section 5.1: y = 4/5, x even) and the point of order two, (0, -1). */
static const uint8_t base_point[POINT] = {
    0x58, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66,
    0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66,
};
static const uint8_t order_two[POINT] = {
    0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f,
};

/* Older libsodium takes the sum of a point of prime order and one of order two for a point of prime order. */
static int refuses_torsion(void)
{
    static const uint8_t two[POINT] = {2};
    uint8_t torsioned[POINT], product[POINT];
    return sodium.is_valid_point(base_point) == 1 && sodium.add(torsioned, base_point, order_two) == 0 &&
           sodium.is_valid_point(torsioned) == 0 && sodium.is_valid_point(order_two) == 0 &&
           sodium.multiply(product, two, torsioned) != 0;
}

const char *quorate_ed25519_load(void *library)
{
    if (!quorate_resolve(library, "sodium_init", &sodium.init) ||
        !quorate_resolve(library, "crypto_core_ed25519_is_valid_point", &sodium.is_valid_point) ||
        !quorate_resolve(library, "crypto_core_ed25519_add", &sodium.add) ||
        !quorate_resolve(library, "crypto_core_ed25519_sub", &sodium.subtract) ||
        !quorate_resolve(library, "crypto_scalarmult_ed25519_base_noclamp", &sodium.base) ||
        !quorate_resolve(library, "crypto_scalarmult_ed25519_noclamp", &sodium.multiply)) {
        return "libsodium lacks a function this program needs";
    }
    if (sodium.init() < 0) {
        return "libsodium could not be set up";
    }
    if (!refuses_torsion()) {
        return "this libsodium accepts points outside the group of prime order; PyNaCl 1.6.2 or later is needed";
    }
    return NULL;
}

static void set(quorate_point *out, const uint8_t *encoded)
{
    memset(out, 0, sizeof *out);
    memcpy(out->bytes, encoded, POINT);
}

static int decode(quorate_point *out, const uint8_t *encoded)
{
    if (!sodium.is_valid_point(encoded)) {
        return 0;
    }
    set(out, encoded);
    return 1;
}

static int encode(uint8_t *out, const quorate_point *point)
{
    memcpy(out, point->bytes, POINT);
    return 1;
}

static int negate(quorate_point *out, const quorate_point *point)
{
    uint8_t difference[POINT];
    int done = sodium.subtract(difference, quorate_ed25519.identity.bytes, point->bytes) == 0;
    set(out, difference);
    return done;
}

static int sum(quorate_point *out, const quorate_point *points, size_t count)
{
    uint8_t total[POINT];
    memcpy(total, points[0].bytes, POINT);
    for (size_t i = 1; i < count; i++) {
        if (sodium.add(total, total, points[i].bytes) != 0) {
            return 0;
        }
    }
    set(out, total);
    return 1;
}

static int base(quorate_point *out, const uint8_t *scalar)
{
    uint8_t product[POINT];
    int failed = sodium.base(product, scalar);
    QUORATE_DECLASSIFY(product, sizeof product);
    QUORATE_DECLASSIFY(&failed, sizeof failed);
    set(out, product);
    return failed == 0;
}

static int multiply(quorate_point *out, const uint8_t *scalar, const quorate_point *point)
{
    uint8_t product[POINT];
    int failed = sodium.multiply(product, scalar, point->bytes);
    QUORATE_DECLASSIFY(product, sizeof product);
    QUORATE_DECLASSIFY(&failed, sizeof failed);
    set(out, product);
    return failed == 0;
}

const group quorate_ed25519 = {
    .identity = {{1}},
    .decode = decode,
    .encode = encode,
    .negate = negate,
    .sum = sum,
    .base = base,
    .multiply = multiply,
    .multiply_var = multiply, /* libsodium has none that is faster */
};
