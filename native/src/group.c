#include "group.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "checkmem.h"
#include "digest.h"

enum { SCALAR = 32 };

static const group *const groups[2] = {
    [QUORATE_SECP256K1] = &quorate_secp256k1,
    [QUORATE_ED25519] = &quorate_ed25519,
};
static quorate_point generators[2];

int quorate_resolve(void *library, const char *name, void *function)
{
    void *address = dlsym(library, name);
    memcpy(function, &address, sizeof address); /* ISO C has no conversion from an object's to a function's address */
    return address != NULL;
}

static const uint8_t ones[][SCALAR] = {[QUORATE_SECP256K1] = {[SCALAR - 1] = 1}, [QUORATE_ED25519] = {[0] = 1}};

static int load_generator(quorate_curve curve)
{
    return groups[curve]->base(&generators[curve], ones[curve]);
}

static const char *load(const char *path, const char *(*load_from)(void *library))
{
    void *library = dlopen(path, RTLD_LAZY | RTLD_LOCAL);
    return library == NULL ? dlerror() : load_from(library);
}

static const char *load_sodium(void *library)
{
    const char *problem = quorate_ed25519_load(library);
    problem = problem == NULL ? quorate_keys_load(library) : problem;
    return problem == NULL ? quorate_digest_load(library) : problem;
}

const char *quorate_groups_load(const char *secp256k1, const char *sodium)
{
    const char *problem = load(sodium, load_sodium);
    if (problem == NULL) {
        problem = load(secp256k1, quorate_secp256k1_load);
    }
    if (problem == NULL && (!load_generator(QUORATE_SECP256K1) || !load_generator(QUORATE_ED25519))) {
        problem = "the base point could not be computed";
    }
    return problem;
}

static int same(const quorate_point *a, const quorate_point *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

static int is_identity(quorate_curve curve, const quorate_point *point)
{
    return same(point, &groups[curve]->identity);
}

void quorate_point_generator(quorate_curve curve, quorate_point *out)
{
    *out = generators[curve];
}

void quorate_point_identity(quorate_curve curve, quorate_point *out)
{
    *out = groups[curve]->identity;
}

int quorate_point_decode(quorate_curve curve, quorate_point *out, const uint8_t *encoded)
{
    memset(out, 0, sizeof *out);
    return groups[curve]->decode(out, encoded);
}

int quorate_point_encode(quorate_curve curve, uint8_t *out, const quorate_point *point)
{
    return !is_identity(curve, point) && groups[curve]->encode(out, point);
}

int quorate_point_negate(quorate_curve curve, quorate_point *out, const quorate_point *point)
{
    if (is_identity(curve, point)) {
        *out = *point;
        return 1;
    }
    return groups[curve]->negate(out, point);
}

int quorate_point_sum(quorate_curve curve, quorate_point *out, const quorate_point *points, size_t count)
{
    quorate_point *present = calloc(count + 1, sizeof *present);
    if (present == NULL) {
        return 0;
    }
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (!is_identity(curve, &points[i])) {
            present[kept++] = points[i];
        }
    }
    int done = 1;
    if (kept == 0) {
        *out = groups[curve]->identity;
    } else if (kept == 1) {
        *out = present[0];
    } else {
        done = groups[curve]->sum(out, present, kept);
    }
    free(present);
    return done;
}

/* Whether a product is the identity is public, as the product is; nothing else about the scalar is. */
static int publicly_zero(const uint8_t *scalar)
{
    int zero = quorate_scalar_is_zero(scalar);
    QUORATE_DECLASSIFY(&zero, sizeof zero);
    return zero;
}

int quorate_point_base(quorate_curve curve, quorate_point *out, const uint8_t *scalars, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const uint8_t *scalar = scalars + i * SCALAR;
        if (publicly_zero(scalar)) {
            out[i] = groups[curve]->identity;
        } else if (!groups[curve]->base(&out[i], scalar)) {
            return 0;
        }
    }
    return 1;
}

int quorate_point_multiply(quorate_curve curve, quorate_point *out, const uint8_t *scalar, const quorate_point *point)
{
    if (is_identity(curve, point) || publicly_zero(scalar)) {
        *out = groups[curve]->identity;
        return 1;
    }
    if (same(point, &generators[curve])) {
        return groups[curve]->base(out, scalar);
    }
    return groups[curve]->multiply(out, scalar, point);
}

int quorate_point_combination_var(quorate_curve curve, quorate_point *out, const uint8_t *scalars,
                                  const quorate_point *points, size_t count)
{
    const group *g = groups[curve];
    quorate_point *terms = calloc(count + 1, sizeof *terms);
    if (terms == NULL) {
        return 0;
    }
    int done = 1;
    for (size_t i = 0; i < count && done; i++) {
        const uint8_t *scalar = scalars + i * SCALAR;
        if (is_identity(curve, &points[i]) || publicly_zero(scalar)) {
            terms[i] = g->identity;
        } else if (memcmp(scalar, ones[curve], SCALAR) == 0) {
            terms[i] = points[i];
        } else if (same(&points[i], &generators[curve])) {
            done = g->base(&terms[i], scalar);
        } else {
            done = g->multiply_var(&terms[i], scalar, &points[i]);
        }
    }
    done = done && quorate_point_sum(curve, out, terms, count);
    free(terms);
    return done;
}
