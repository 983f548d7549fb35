/* The C side of Quorate: secret memory, the two scalar fields, group operations, and oblivious transfer.
 *
 * This file is also what cffi reads, less its preprocessor lines: plain declarations only.
 *
 * A scalar is 32 bytes in its group's own order (secp256k1 big-endian, Ed25519 little-endian) and is canonical, less
 * than the group's order, wherever it is an input unless said otherwise. A point is the bytes of a quorate_point as
 * these functions left them: decoded once, strictly, and opaque from then on. The identity is a point.
 *
 * Everything is constant time in what it reads through a pointer, unless its name ends in _var; counts and sizes are
 * public. Outputs may overlap inputs only where they are the same array. Functions that return int give 1 for yes or
 * done and 0 for no or failed.
 */
#ifndef QUORATE_H
#define QUORATE_H

#include <stddef.h>
#include <stdint.h>

typedef enum { QUORATE_SECP256K1 = 0, QUORATE_ED25519 = 1 } quorate_curve;

/* --- secret memory --- */

/* Zeroed memory that is kept out of swap and core dumps where the system allows; NULL when there is none left. */
void *quorate_secret_new(size_t size);
/* Wipe and give back what quorate_secret_new gave; NULL is ignored. */
void quorate_secret_free(void *secret);
void quorate_wipe(void *memory, size_t size);
/* Keep up to 16 MiB of the heap's free end, for the whole process, where malloc can be asked to: messages of 50 KB that
 * come and go would else give it back and fault it in again, page by page. */
void quorate_keep_heap(void);
int quorate_equal(const void *a, const void *b, size_t size);
/* Fill with the operating system's randomness. */
int quorate_random(void *memory, size_t size);
/* Whether the system has agreed, so far, to keep all secret memory out of swap. */
int quorate_memory_is_locked(void);

/* --- scalars --- */

/* Whether each of count times any 32 bytes is a canonical scalar. */
int quorate_scalars_are_canonical(quorate_curve curve, const uint8_t *scalars, size_t count);
int quorate_scalar_is_zero(const uint8_t *scalar);
/* Whether any of count scalars is. */
int quorate_scalars_have_zero(const uint8_t *scalars, size_t count);
/* count numbers of size bytes each (at most 64), in the group's byte order, modulo its order. */
int quorate_scalar_reduce(quorate_curve curve, uint8_t *out, const uint8_t *numbers, size_t size, size_t count);
/* Element by element over count scalars. */
void quorate_scalar_add(quorate_curve curve, uint8_t *out, const uint8_t *a, const uint8_t *b, size_t count);
void quorate_scalar_subtract(quorate_curve curve, uint8_t *out, const uint8_t *a, const uint8_t *b, size_t count);
void quorate_scalar_multiply(quorate_curve curve, uint8_t *out, const uint8_t *a, const uint8_t *b, size_t count);
/* The inverses of count scalars for little more than the price of one. The inverse of zero is zero. */
int quorate_scalar_invert(quorate_curve curve, uint8_t *out, const uint8_t *a, size_t count);
/* The sum of a[i] * b[i]; zero for none. */
void quorate_scalar_inner(quorate_curve curve, uint8_t *out, const uint8_t *a, const uint8_t *b, size_t count);
/* out[i] = sum of coefficients[j] * xs[i]^j. The xs are public. */
int quorate_polynomial_at(quorate_curve curve, uint8_t *out, const uint32_t *xs, size_t count,
                          const uint8_t *coefficients, size_t terms);
/* out[i] = product over j != i of xs[j] / (xs[j] - xs[i]); fails unless the xs are distinct and nonzero. */
int quorate_lagrange_at_zero_var(quorate_curve curve, uint8_t *out, const uint32_t *xs, size_t count);

/* --- points --- */

typedef struct { uint8_t bytes[64]; } quorate_point;

/* Find libsecp256k1 and libsodium in these two shared objects and test them; once, before any function below.
 * NULL when all is well, else what is wrong. */
const char *quorate_groups_load(const char *secp256k1, const char *sodium);
void quorate_point_generator(quorate_curve curve, quorate_point *out);
void quorate_point_identity(quorate_curve curve, quorate_point *out);
/* The point of prime order, other than the identity, that this is the one encoding of: 33 compressed bytes for
 * secp256k1, 32 for Ed25519. */
int quorate_point_decode(quorate_curve curve, quorate_point *out, const uint8_t *encoded);
/* Fails for the identity, which has no encoding. */
int quorate_point_encode(quorate_curve curve, uint8_t *out, const quorate_point *point);
int quorate_point_negate(quorate_curve curve, quorate_point *out, const quorate_point *point);
int quorate_point_sum(quorate_curve curve, quorate_point *out, const quorate_point *points, size_t count);
/* out[i] = scalars[i] * generator. */
int quorate_point_base(quorate_curve curve, quorate_point *out, const uint8_t *scalars, size_t count);
/* Constant time in the scalar; which point, and whether the product is the identity, is public. */
int quorate_point_multiply(quorate_curve curve, quorate_point *out, const uint8_t *scalar, const quorate_point *point);
/* The sum of scalars[i] * points[i], all public. */
int quorate_point_combination_var(quorate_curve curve, quorate_point *out, const uint8_t *scalars,
                                  const quorate_point *points, size_t count);

/* --- keys of devices and sessions --- */

/* The 64 bytes that sign and the 32 that verify, from a seed of 32 (Ed25519, RFC 8032). */
void quorate_sign_key(uint8_t *key, uint8_t *public_key, const uint8_t *seed);
void quorate_sign(uint8_t *signature, const uint8_t *key, const uint8_t *message, size_t size);
/* Refuses keys and R that are of small order or not canonical, and S that is not less than the order. */
int quorate_verify_var(const uint8_t *public_key, const uint8_t *message, size_t size, const uint8_t *signature);
/* The public half of 32 secret bytes (X25519, RFC 7748). */
void quorate_exchange_public(uint8_t *public_key, const uint8_t *secret);
/* What both ends compute; fails for a public key of small order. */
int quorate_exchange(uint8_t *out, const uint8_t *secret, const uint8_t *public_key);

/* --- seeds --- */

/* size bytes, of BLAKE2b under the seed (16 to 64 bytes) in counter mode: primitives/drbg.py, whose encoding of all but
 * the block's number the prefix is. Fails for a seed of another size. */
int quorate_expand_seed(uint8_t *out, size_t size, const uint8_t *seed, size_t seed_size, const uint8_t *prefix,
                        size_t prefix_size);

/* --- oblivious transfer and the vector OLE, over secp256k1 --- */

/* Sizes, contents and order of everything are described in src/quorate/native/ot.py and fixed by tests/oracle/ot.py.
 * Contexts, salts, messages and gadgets are public; what a peer chose may be anything. Functions with an "accepted"
 * say there whether the peer's message stands; nothing secret is given if it does not. */

/* S, R, S: 256 base transfers. Fail for points that are none, and for the identity. */
int quorate_ot_base_choose(uint8_t *message, const uint8_t *context, const uint8_t *choices, const uint8_t *logarithms,
                           const uint8_t *uniform);
int quorate_ot_base_answer(uint8_t *message, uint8_t *keys, const uint8_t *context, const uint8_t *chosen,
                           const uint8_t *logarithms);
int quorate_ot_base_finish(uint8_t *keys, const uint8_t *context, const uint8_t *choices, const uint8_t *logarithms,
                           const uint8_t *answered);
/* R, S: 128 trees of 4 leaves. */
int quorate_ot_expand(uint8_t *leaves, uint8_t *message, const uint8_t *context, const uint8_t *keys);
int quorate_ot_puncture(uint8_t *punctured, int *accepted, const uint8_t *context, const uint8_t *choices,
                        const uint8_t *keys, const uint8_t *message);
/* R, S: 512 transfers for each multiplication of the batch. */
int quorate_ot_extend(uint8_t *message, uint8_t *columns, const uint8_t *context, const uint8_t *leaves,
                      const uint8_t *salt, const uint8_t *choices, const uint8_t *random, size_t batch);
int quorate_ot_accept(uint8_t *columns, int *accepted, const uint8_t *context, const uint8_t *punctured,
                      const uint8_t *message, size_t batch);
/* The multiplication: both, R, S, R. */
void quorate_ot_gadgets(uint8_t *out, const uint8_t *context);
void quorate_ot_product(uint8_t *out, const uint8_t *gadgets, const uint8_t *choices, size_t batch);
int quorate_ot_respond(uint8_t *message, uint8_t *shares, const uint8_t *context, const uint8_t *gadgets,
                       const uint8_t *punctured, const uint8_t *columns, const uint8_t *salt_r, const uint8_t *salt_s,
                       const uint8_t *inputs, const uint8_t *checks, size_t batch);
/* accepted is -1 where a scalar of the message is not one. */
int quorate_ot_finish(uint8_t *shares, int *accepted, const uint8_t *context, const uint8_t *gadgets,
                      const uint8_t *choices, const uint8_t *columns, const uint8_t *salt_r, const uint8_t *message,
                      size_t batch);
/* Do without the instructions a CPU may lack, for tests; whether it did so before. */
int quorate_ot_use_portable(int only);

/* --- ECDSA, over secp256k1 --- */

/* What native/lane.py describes; contents are those of protocols/ecdsa/lane.py, for count messages. */

/* Whether the two curve equations of a peer's products hold (nonces, key), each in one sum with the weights, which are
 * public as all points are. Fails for no messages, or without memory. */
int quorate_lane_check(int *agree, const uint8_t *weights, const uint8_t *choices, const uint8_t *shares,
                       const quorate_point *nonces, const quorate_point *image, const quorate_point *nonce_shares,
                       const quorate_point *key_shares, size_t count);
/* u and w of each message, which are public: from each peer count differences, and two times 2 * count halves of
 * products. */
void quorate_lane_publish(uint8_t *out, const uint8_t *inputs, const uint8_t *masks, const uint8_t *differences,
                          const uint8_t *halves, const uint8_t *messages, const uint8_t *coordinates, size_t peers,
                          size_t count);

#endif
