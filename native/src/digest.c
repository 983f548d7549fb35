#include "digest.h"

#include <string.h>

#include "group.h"
#include "quorate.h"

enum { HEADER = 9, STATE = 384, BLOCK = 64, SEED_LEAST = 16, SEED_MOST = 64 };

static struct {
    int (*hash)(uint8_t *out, size_t size, const uint8_t *in, unsigned long long length, const uint8_t *key, size_t);
    int (*init)(void *state, const uint8_t *key, size_t key_size, size_t size);
    int (*update)(void *state, const uint8_t *in, unsigned long long length);
    int (*final)(void *state, uint8_t *out, size_t size);
    size_t (*state_size)(void);
    int (*chacha20)(uint8_t *out, const uint8_t *in, unsigned long long size, const uint8_t *nonce, uint64_t block,
                    const uint8_t *key);
} sodium;

const char *quorate_digest_load(void *library)
{
    if (!quorate_resolve(library, "crypto_generichash_blake2b", &sodium.hash) ||
        !quorate_resolve(library, "crypto_generichash_blake2b_init", &sodium.init) ||
        !quorate_resolve(library, "crypto_generichash_blake2b_update", &sodium.update) ||
        !quorate_resolve(library, "crypto_generichash_blake2b_final", &sodium.final) ||
        !quorate_resolve(library, "crypto_generichash_blake2b_statebytes", &sodium.state_size) ||
        !quorate_resolve(library, "crypto_stream_chacha20_xor_ic", &sodium.chacha20)) {
        return "libsodium lacks a function this program needs";
    }
    return sodium.state_size() <= STATE ? NULL : "this libsodium's hash state is larger than the program knows";
}

static size_t put_header(uint8_t *out, char type, uint64_t length)
{
    out[0] = (uint8_t)type;
    for (int i = 1; i < HEADER; i++) {
        out[i] = (uint8_t)(length >> (64 - 8 * i));
    }
    return HEADER;
}

static size_t put_tag(uint8_t *out, const char *tag, size_t fields)
{
    size_t length = strlen(tag), at = put_header(out, 'l', fields + 1);
    at += put_header(out + at, 's', length);
    memcpy(out + at, tag, length);
    return at + length;
}

void quorate_digest(uint8_t *out, size_t size, const char *tag, const field *fields, size_t count)
{
    _Alignas(64) uint8_t state[STATE];
    uint8_t head[PATTERN];
    sodium.init(state, NULL, 0, size);
    sodium.update(state, head, put_tag(head, tag, count));
    for (size_t i = 0; i < count; i++) {
        sodium.update(state, head, put_header(head, 'b', fields[i].size));
        sodium.update(state, fields[i].data, fields[i].size);
    }
    sodium.final(state, out, size);
    quorate_wipe(state, sizeof state);
}

int quorate_expand_seed(uint8_t *out, size_t size, const uint8_t *seed, size_t seed_size, const uint8_t *prefix,
                        size_t prefix_size)
{
    if (seed_size < SEED_LEAST || seed_size > SEED_MOST) {
        return 0;
    }
    _Alignas(64) uint8_t state[STATE];
    uint8_t block[BLOCK], number[HEADER + 8];
    for (size_t b = 0; b * BLOCK < size; b++) {
        size_t rest = size - b * BLOCK, length = 0;
        while (length < 8 && b >> (8 * length)) {
            length++;
        }
        size_t end = put_header(number, 'i', length);
        for (size_t i = length; i-- > 0;) {
            number[end++] = (uint8_t)(b >> (8 * i));
        }
        sodium.init(state, seed, seed_size, BLOCK);
        sodium.update(state, prefix, prefix_size);
        sodium.update(state, number, end);
        sodium.final(state, block, BLOCK);
        memcpy(out + b * BLOCK, block, rest < BLOCK ? rest : BLOCK);
    }
    quorate_wipe(state, sizeof state);
    quorate_wipe(block, sizeof block);
    return 1;
}

void quorate_pattern_of(pattern *out, const char *tag, const uint8_t context[32], size_t size)
{
    size_t at = put_tag(out->bytes, tag, 2);
    at += put_header(out->bytes + at, 'b', 32);
    memcpy(out->bytes + at, context, 32);
    at += 32;
    at += put_header(out->bytes + at, 'b', size);
    out->start = at;
    out->end = at + size;
}

void quorate_pattern_digest(uint8_t *out, size_t size, const pattern *filled)
{
    sodium.hash(out, size, filled->bytes, filled->end, NULL, 0);
}

void quorate_chacha20(uint8_t *out, size_t size, const uint8_t key[32], const uint8_t nonce[8], uint64_t block)
{
    memset(out, 0, size);
    sodium.chacha20(out, out, size, nonce, block, key);
}
