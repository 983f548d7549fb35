/* The arithmetic of modulus.h does not know its moduli. So: every pair modulo every small odd number, where all can be
 * tried, and the largest moduli there are, where every carry is taken.
 */
#include "../src/modulus.h"
#include "tests.h"

enum { SMALL = 64 };

static modulus of(number value)
{
    modulus m = {.value = value, .square = {{1, 0, 0, 0}}, .inverse = 1};
    for (int i = 0; i < 512; i++) {
        add(&m, &m.square, &m.square, &m.square);
    }
    for (int i = 0; i < 6; i++) {
        m.inverse *= 2 - value.limb[0] * m.inverse; /* Newton: twice the correct bits each time */
    }
    m.inverse = 0 - m.inverse;
    return m;
}

static int equals(const number *a, uint64_t value)
{
    return a->limb[0] == value && !(a->limb[1] | a->limb[2] | a->limb[3]);
}

static void test_every_pair(uint64_t order)
{
    modulus m = of((number){{order, 0, 0, 0}});
    number word = {{0, 1, 0, 0}}; /* 2^64, to undo what multiply_word divides by */
    enter(&m, &word, &word);
    for (uint64_t i = 0; i < order; i++) {
        for (uint64_t j = 0; j < order; j++) {
            number a = {{i, 0, 0, 0}}, b = {{j, 0, 0, 0}}, out;
            add(&m, &out, &a, &b);
            CHECK(equals(&out, (i + j) % order));
            subtract(&m, &out, &a, &b);
            CHECK(equals(&out, (i + order - j) % order));
            multiply(&m, &out, &a, &b);
            enter(&m, &out, &out);
            CHECK(equals(&out, i * j % order));
            multiply_word(&m, &out, &a, j);
            multiply(&m, &out, &out, &word);
            CHECK(equals(&out, i * j % order));
        }
        number a = {{i, 0, 0, 0}};
        CHECK(number_is_zero(&a) == (i == 0));
        enter(&m, &a, &a);
        leave(&m, &a, &a);
        CHECK(equals(&a, i));
    }
    const number full = {{UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX}};
    uint64_t expected = 0;
    for (int i = 0; i < 256; i++) {
        expected = (2 * expected + 1) % order;
    }
    number out;
    enter(&m, &out, &full);
    leave(&m, &out, &out);
    CHECK(equals(&out, expected));
}

/* -a * -b = a * b, for small a and b, modulo 2^256 - below. */
static void test_every_carry(uint64_t below)
{
    const number zero = {{0}}, full = {{UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX}};
    number value, out, less = {{below - 1, 0, 0, 0}};
    number_subtract(&value, &full, &less);
    modulus m = of(value);
    for (uint64_t i = 0; i < SMALL; i++) {
        for (uint64_t j = 0; j < SMALL; j++) {
            number a = {{i, 0, 0, 0}}, b = {{j, 0, 0, 0}}, minus_a, minus_b;
            subtract(&m, &minus_a, &zero, &a);
            subtract(&m, &minus_b, &zero, &b);
            CHECK(number_is_zero(&minus_a) == (i == 0));
            multiply(&m, &out, &minus_a, &minus_b);
            enter(&m, &out, &out);
            CHECK(equals(&out, i * j));
            add(&m, &out, &minus_a, &minus_b);
            subtract(&m, &out, &zero, &out);
            CHECK(equals(&out, i + j));
            subtract(&m, &out, &minus_a, &minus_b);
            add(&m, &out, &out, &a);
            CHECK(equals(&out, j));
        }
        number a = {{i, 0, 0, 0}}, word = {{0, 1, 0, 0}};
        enter(&m, &word, &word);
        subtract(&m, &a, &zero, &a);
        multiply_word(&m, &out, &a, UINT64_MAX); /* -i * (2^64 - 1) / 2^64 * 2^64 = i - i * 2^64 */
        multiply(&m, &out, &out, &word);
        number shifted = {{0, i, 0, 0}};
        add(&m, &out, &out, &shifted);
        CHECK(equals(&out, i));
    }
    number reduced;
    enter(&m, &reduced, &full);
    leave(&m, &reduced, &reduced);
    CHECK(equals(&reduced, below - 1));
}

int main(void)
{
    for (uint64_t order = 3; order < SMALL; order += 2) {
        test_every_pair(order);
    }
    for (uint64_t below = 1; below < 1000; below += 2) {
        test_every_carry(below);
    }
    puts("native: all small moduli, all carries");
    return 0;
}
