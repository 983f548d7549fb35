/* Preloaded into a process whose stores must lose what was not made durable.
 *
 * Whenever a file below the watched folder is synced, a copy of it is put beside it, FILE.durable: what a disk would hold
 * if the power failed now. Nothing is really synced, which also makes the runs fast. A fault is one folder's: its next
 * syncs fail with EIO, or its next writes with ENOSPC.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

enum { SOUND, SYNC_FAILS, DISK_FULL };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char watched[PATH_MAX];
static char faulty[PATH_MAX];
static int fault = SOUND;
static long faults_left;
static long failed;
static long synced;

void powercut_watch(const char *folder) { snprintf(watched, sizeof watched, "%s", folder); }

/* While frozen no durable copy changes. */
void powercut_freeze(void) { pthread_mutex_lock(&lock); }
void powercut_thaw(void) { pthread_mutex_unlock(&lock); }

void powercut_fault(const char *folder, int kind, long count) {
    pthread_mutex_lock(&lock);
    snprintf(faulty, sizeof faulty, "%s", folder);
    fault = kind, faults_left = count, failed = 0;
    pthread_mutex_unlock(&lock);
}

long powercut_failed(void) { return failed; }
long powercut_synced(void) { return synced; }

static int below(const char *path, const char *folder) {
    size_t length = strlen(folder);
    return length > 0 && strncmp(path, folder, length) == 0 && path[length] == '/';
}

/* The path of a watched file, or 0. */
static int path_of(int fd, char path[PATH_MAX]) {
    char link[64];
    if (!watched[0])
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    if (length <= 0)
        return 0;
    path[length] = 0;
    return below(path, watched);
}

/* With the lock held: whether this call is to fail. */
static int fails(const char *path, int kind) {
    if (fault != kind || faults_left == 0 || !below(path, faulty))
        return 0;
    faults_left--, failed++;
    return 1;
}

static ssize_t real_pwrite(int fd, const void *data, size_t size, off_t at) {
    static ssize_t (*next)(int, const void *, size_t, off_t);
    if (!next)
        next = (ssize_t(*)(int, const void *, size_t, off_t))dlsym(RTLD_NEXT, "pwrite64");
    return next(fd, data, size, at);
}

static int copy_aside(int fd, const char *path) {
    char beside[PATH_MAX + 16], fresh[PATH_MAX + 16], block[1 << 16];
    snprintf(beside, sizeof beside, "%s.durable", path);
    snprintf(fresh, sizeof fresh, "%s.durable.new", path);
    int to = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (to < 0)
        return -1;
    off_t at = 0;
    ssize_t got;
    while ((got = pread(fd, block, sizeof block, at)) > 0) {
        if (real_pwrite(to, block, (size_t)got, at) != got)
            got = -1;
        if (got < 0)
            break;
        at += got;
    }
    close(to);
    return got < 0 ? -1 : rename(fresh, beside);
}

static int sync_file(int fd, const char *name) {
    char path[PATH_MAX];
    if (!path_of(fd, path)) {
        int (*next)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
        return next(fd);
    }
    pthread_mutex_lock(&lock);
    int result = 0;
    if (fails(path, SYNC_FAILS))
        result = -1, errno = EIO;
    else {
        synced++;
        int directory = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (directory >= 0)
            close(directory);
        else
            result = copy_aside(fd, path);
    }
    pthread_mutex_unlock(&lock);
    return result;
}

int fsync(int fd) { return sync_file(fd, "fsync"); }
int fdatasync(int fd) { return sync_file(fd, "fdatasync"); }

ssize_t pwrite64(int fd, const void *data, size_t size, off_t at) {
    if (fault == DISK_FULL) {
        char path[PATH_MAX];
        if (path_of(fd, path)) {
            pthread_mutex_lock(&lock);
            int full = fails(path, DISK_FULL);
            pthread_mutex_unlock(&lock);
            if (full) {
                errno = ENOSPC;
                return -1;
            }
        }
    }
    return real_pwrite(fd, data, size, at);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t at) { return pwrite64(fd, data, size, at); }
