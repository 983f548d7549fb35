/* The hash and the key stream of the oblivious transfer, by libsodium. */
#ifndef QUORATE_DIGEST_H
#define QUORATE_DIGEST_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
    const void *data;
    size_t size;
} field;

/* Two fields of bytes, as most hashes have: the context first. */
#define FIELDS(context, bytes, size) ((const field[2]){{(context), 32}, {(bytes), (size)}})

/* size bytes (1 to 64) of BLAKE2b over the tag and fields of bytes, encoded as primitives/transcript.py does: a type
 * letter, eight bytes of length or count, the content. */
void quorate_digest(uint8_t *out, size_t size, const char *tag, const field *fields, size_t count);

/* A digest of two fields, 32 bytes and few more, of which only the second changes from call to call. */
enum { PATTERN = 160 };
typedef struct {
    size_t start; /* of the second field's content */
    size_t end;
    uint8_t bytes[PATTERN];
} pattern;

void quorate_pattern_of(pattern *out, const char *tag, const uint8_t context[32], size_t size);
void quorate_pattern_digest(uint8_t *out, size_t size, const pattern *filled);

/* ChaCha20 with a nonce and a block number of 64 bits each. */
void quorate_chacha20(uint8_t *out, size_t size, const uint8_t key[32], const uint8_t nonce[8], uint64_t block);

/* Resolve every function from the open libsodium; NULL when all is well, else what is wrong. */
const char *quorate_digest_load(void *library);

#endif
