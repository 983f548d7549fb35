/* Bit matrices of 256 rows, and GF(2^128) = GF(2)[x] / (x^128 + x^7 + x^2 + x + 1): byte s, bit t is x^(8s + t).
 * Constant time in the rows; the factors are public. */
#ifndef QUORATE_ROWS_H
#define QUORATE_ROWS_H

#include <stddef.h>
#include <stdint.h>

enum { BLOCK = 16 };

/* For each row of so many blocks: its last block plus each other times its factor. */
void quorate_fold(uint8_t *out, const uint8_t *rows, size_t count, size_t blocks, const uint8_t *factors);

/* Column j of 256 rows, as 32 bytes, for j below 8 * bytes, which is a multiple of 64; rows are stride bytes apart. */
void quorate_transpose(uint8_t *columns, const uint8_t *rows, size_t stride, size_t bytes);

#endif
