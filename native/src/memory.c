#include "quorate.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>
#if defined(__GLIBC__)
#include <malloc.h>
#endif

/* What fits a slot comes out of shared arenas; anything larger has a mapping of its own, some of which are kept for
 * the next of their size, since mapping and locking pages takes long. Memory is zero whenever it is not in use: fresh
 * pages are, and freeing wipes. */
enum { SLOT = 64, ARENA_BLOCKS = 819, SPARES = 16, SPARE_SIZE = 128 * 1024 };

typedef struct block {
    size_t size;
    struct block *next; /* while it is free */
    _Alignas(16) uint8_t data[];
} block;

enum { STRIDE = sizeof(block) + SLOT };

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static block *free_blocks;
static block *spares[SPARES]; /* mappings, each as large as its block's size says */
static int locked = 1;

static void *map(size_t size)
{
    void *pages = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED) {
        return NULL;
    }
    if (mlock(pages, size) != 0) {
        pthread_mutex_lock(&mutex);
        locked = 0;
        pthread_mutex_unlock(&mutex);
    }
#ifdef MADV_DONTDUMP
    (void)madvise(pages, size, MADV_DONTDUMP);
#endif
    return pages;
}

static block *take_free_block(void)
{
    pthread_mutex_lock(&mutex);
    block *taken = free_blocks;
    if (taken != NULL) {
        free_blocks = taken->next;
    }
    pthread_mutex_unlock(&mutex);
    return taken;
}

static void add_free_blocks(block *first, block *last)
{
    pthread_mutex_lock(&mutex);
    last->next = free_blocks;
    free_blocks = first;
    pthread_mutex_unlock(&mutex);
}

/* A new arena; its first block is the caller's, the others are free. Arenas are never given back. */
static block *new_arena(void)
{
    uint8_t *arena = map((size_t)ARENA_BLOCKS * STRIDE);
    if (arena == NULL) {
        return NULL;
    }
    block *first = NULL, *last = NULL;
    for (size_t i = ARENA_BLOCKS - 1; i > 0; i--) {
        block *added = (block *)(void *)(arena + i * STRIDE);
        added->next = first;
        first = added;
        last = last == NULL ? added : last;
    }
    add_free_blocks(first, last);
    return (block *)(void *)arena;
}

static size_t mapping_size(size_t size)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    return (sizeof(block) + size + page - 1) / page * page;
}

static block *take_spare(size_t mapping)
{
    block *taken = NULL;
    pthread_mutex_lock(&mutex);
    for (size_t i = 0; i < SPARES && taken == NULL; i++) {
        if (spares[i] != NULL && mapping_size(spares[i]->size) == mapping) {
            taken = spares[i];
            spares[i] = NULL;
        }
    }
    pthread_mutex_unlock(&mutex);
    return taken;
}

static int keep_spare(block *freed, size_t mapping)
{
    int kept = 0;
    pthread_mutex_lock(&mutex);
    for (size_t i = 0; i < SPARES && mapping <= SPARE_SIZE && !kept; i++) {
        if (spares[i] == NULL) {
            spares[i] = freed;
            kept = 1;
        }
    }
    pthread_mutex_unlock(&mutex);
    return kept;
}

void *quorate_secret_new(size_t size)
{
    if (size > SIZE_MAX / 2) {
        return NULL;
    }
    block *given = NULL;
    if (size <= SLOT) {
        given = take_free_block();
        given = given == NULL ? new_arena() : given;
    } else {
        given = take_spare(mapping_size(size));
        given = given == NULL ? map(mapping_size(size)) : given;
    }
    if (given == NULL) {
        return NULL;
    }
    given->size = size;
    return given->data;
}

void quorate_secret_free(void *secret)
{
    if (secret == NULL) {
        return;
    }
    block *freed = (block *)(void *)((uint8_t *)secret - offsetof(block, data));
    quorate_wipe(secret, freed->size);
    if (freed->size <= SLOT) {
        add_free_blocks(freed, freed);
    } else if (!keep_spare(freed, mapping_size(freed->size))) {
        (void)munmap(freed, mapping_size(freed->size));
    }
}

void quorate_wipe(void *memory, size_t size)
{
    memset(memory, 0, size);
    __asm__ volatile("" : : "r"(memory) : "memory"); /* the zeros are read, as far as the compiler knows */
}

int quorate_equal(const void *a, const void *b, size_t size)
{
    const volatile uint8_t *x = a, *y = b;
    unsigned difference = 0;
    for (size_t i = 0; i < size; i++) {
        difference |= (unsigned)(x[i] ^ y[i]);
    }
    return (int)(1 & ((difference - 1) >> 8));
}

int quorate_random(void *memory, size_t size)
{
    for (size_t done = 0; done < size;) {
        size_t part = size - done < 256 ? size - done : 256; /* what one call may ask for */
        if (getentropy((uint8_t *)memory + done, part) != 0) {
            return 0;
        }
        done += part;
    }
    return 1;
}

int quorate_memory_is_locked(void)
{
    pthread_mutex_lock(&mutex);
    int answer = locked;
    pthread_mutex_unlock(&mutex);
    return answer;
}

void quorate_keep_heap(void)
{
#if defined(__GLIBC__)
    enum { KEPT = 16 << 20, AT_ONCE = 1 << 20, ARENAS = 2 };
    (void)mallopt(M_TRIM_THRESHOLD, KEPT);
    (void)mallopt(M_TOP_PAD, AT_ONCE);
    (void)mallopt(M_ARENA_MAX, ARENAS); // each keeps what its threads once needed
#endif
}
