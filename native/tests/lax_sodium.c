/* A libsodium that, as older ones do, takes a point with a torsion component for a good one. It must be refused. */
#include <string.h>

int sodium_init(void);
int crypto_core_ed25519_is_valid_point(const unsigned char *point);
int crypto_core_ed25519_add(unsigned char *out, const unsigned char *a, const unsigned char *b);
int crypto_core_ed25519_sub(unsigned char *out, const unsigned char *a, const unsigned char *b);
int crypto_scalarmult_ed25519_base_noclamp(unsigned char *out, const unsigned char *scalar);
int crypto_scalarmult_ed25519_noclamp(unsigned char *out, const unsigned char *scalar, const unsigned char *point);

int sodium_init(void)
{
    return 0;
}

int crypto_core_ed25519_is_valid_point(const unsigned char *point)
{
    return point[0] != 0xec; /* all but the point of order two */
}

int crypto_core_ed25519_add(unsigned char *out, const unsigned char *a, const unsigned char *b)
{
    (void)b;
    memmove(out, a, 32);
    return 0;
}

int crypto_core_ed25519_sub(unsigned char *out, const unsigned char *a, const unsigned char *b)
{
    return crypto_core_ed25519_add(out, a, b);
}

int crypto_scalarmult_ed25519_base_noclamp(unsigned char *out, const unsigned char *scalar)
{
    memmove(out, scalar, 32);
    return 0;
}

int crypto_scalarmult_ed25519_noclamp(unsigned char *out, const unsigned char *scalar, const unsigned char *point)
{
    (void)scalar;
    memmove(out, point, 32);
    return -1;
}
