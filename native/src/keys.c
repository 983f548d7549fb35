/* The keys of devices and sessions by libsodium: Ed25519 signatures (RFC 8032) and X25519 (RFC 7748). */
#include "group.h"

#include "checkmem.h"

static struct {
    int (*seed_keypair)(unsigned char *public_key, unsigned char *secret, const unsigned char *seed);
    int (*sign)(unsigned char *signature, unsigned long long *size, const unsigned char *message,
                unsigned long long message_size, const unsigned char *secret);
    int (*verify)(const unsigned char *signature, const unsigned char *message, unsigned long long message_size,
                  const unsigned char *public_key);
    int (*exchange_base)(unsigned char *out, const unsigned char *scalar);
    int (*exchange)(unsigned char *out, const unsigned char *scalar, const unsigned char *point);
} sodium;

const char *quorate_keys_load(void *library)
{
    if (!quorate_resolve(library, "crypto_sign_seed_keypair", &sodium.seed_keypair) ||
        !quorate_resolve(library, "crypto_sign_detached", &sodium.sign) ||
        !quorate_resolve(library, "crypto_sign_verify_detached", &sodium.verify) ||
        !quorate_resolve(library, "crypto_scalarmult_base", &sodium.exchange_base) ||
        !quorate_resolve(library, "crypto_scalarmult", &sodium.exchange)) {
        return "libsodium lacks a function this program needs";
    }
    return NULL;
}

void quorate_sign_key(uint8_t *key, uint8_t *public_key, const uint8_t *seed)
{
    (void)sodium.seed_keypair(public_key, key, seed); /* it has no way to fail */
    QUORATE_DECLASSIFY(public_key, 32);
}

void quorate_sign(uint8_t *signature, const uint8_t *key, const uint8_t *message, size_t size)
{
    (void)sodium.sign(signature, NULL, message, size, key); /* nor has this */
    QUORATE_DECLASSIFY(signature, 64);
}

int quorate_verify_var(const uint8_t *public_key, const uint8_t *message, size_t size, const uint8_t *signature)
{
    return sodium.verify(signature, message, size, public_key) == 0;
}

void quorate_exchange_public(uint8_t *public_key, const uint8_t *secret)
{
    (void)sodium.exchange_base(public_key, secret); /* nor this */
    QUORATE_DECLASSIFY(public_key, 32);
}

int quorate_exchange(uint8_t *out, const uint8_t *secret, const uint8_t *public_key)
{
    int agreed = sodium.exchange(out, secret, public_key);
    QUORATE_DECLASSIFY(&agreed, sizeof agreed);
    return agreed == 0;
}
