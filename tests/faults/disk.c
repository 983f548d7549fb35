/* A disk that fails on demand, under a process that is told to preload this: node.db and its log are on it.
 *
 * The file that QUORATE_TEST_DISK names says what is wrong: "full", "read-only", "hung", or nothing. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

static int on_the_disk(int fd) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return strstr(path, "/node.db") != NULL;
}

static int fault(void) { /* its first letter, or 0 */
    char said = 0;
    const char *name = getenv("QUORATE_TEST_DISK");
    int fd = name ? open(name, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0) return 0;
    if (read(fd, &said, 1) != 1) said = 0;
    close(fd);
    return said;
}

static int refused(int fd) {
    int kept = errno, said = on_the_disk(fd) ? fault() : 0;
    errno = said == 'f' ? ENOSPC : said == 'r' ? EROFS : kept;
    return said == 'f' || said == 'r';
}

static void wait_for_the_disk(int fd) {
    while (on_the_disk(fd) && fault() == 'h') usleep(20000);
}

#define REAL(type, name, ...) ((type (*)(__VA_ARGS__))dlsym(RTLD_NEXT, name))

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
    if (refused(fd)) return -1;
    return REAL(ssize_t, "pwrite64", int, const void *, size_t, off64_t)(fd, data, size, at);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t at) {
    if (refused(fd)) return -1;
    return REAL(ssize_t, "pwrite", int, const void *, size_t, off_t)(fd, data, size, at);
}

int fdatasync(int fd) {
    wait_for_the_disk(fd);
    return REAL(int, "fdatasync", int)(fd);
}

int fsync(int fd) {
    wait_for_the_disk(fd);
    return REAL(int, "fsync", int)(fd);
}

static int described(int failed, struct statvfs *disk) {
    int said = failed ? 0 : fault();
    if (said == 'r') disk->f_flag |= ST_RDONLY;
    if (said == 'f') disk->f_bavail = 0;
    return failed;
}

int statvfs(const char *path, struct statvfs *disk) {
    return described(REAL(int, "statvfs", const char *, struct statvfs *)(path, disk), disk);
}

int statvfs64(const char *path, struct statvfs64 *disk) {
    int failed = REAL(int, "statvfs64", const char *, struct statvfs64 *)(path, disk);
    return described(failed, (struct statvfs *)disk);
}
