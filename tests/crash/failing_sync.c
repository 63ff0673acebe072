/* Preloaded. fsync and fdatasync of files whose path contains FAILING_SYNC_PATH fail with EIO, from the
 * FAILING_SYNC_FIRST-th to the FAILING_SYNC_LAST-th of the process; FAILING_SYNC_LOG gets number and path of each of them.
 * After each sync that succeeds, the file is copied into the folder FAILING_SYNC_DISK, with % for each / of its path:
 * so that folder has what a power cut leaves, at the worst. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int calls;

static int path_of(int fd, char *path, size_t size) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, size - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return 1;
}

static int fails(const char *path) {
    const char *wanted = getenv("FAILING_SYNC_PATH"), *log = getenv("FAILING_SYNC_LOG");
    if (!wanted || !strstr(path, wanted)) return 0;
    int number = ++calls;
    int out = log ? open(log, O_WRONLY | O_CREAT | O_APPEND, 0600) : -1;
    if (out >= 0) { dprintf(out, "%d %s\n", number, path); close(out); }
    return number >= atoi(getenv("FAILING_SYNC_FIRST")) && number <= atoi(getenv("FAILING_SYNC_LAST"));
}

static void keep(int fd, const char *path) {
    const char *disk = getenv("FAILING_SYNC_DISK");
    struct stat facts;
    if (!disk || fstat(fd, &facts) || !S_ISREG(facts.st_mode)) return;
    char name[8192];
    int length = snprintf(name, sizeof name, "%s/", disk);
    for (const char *each = path; *each && length < (int)sizeof name - 1; each++) name[length++] = *each == '/' ? '%' : *each;
    name[length] = 0;
    int out = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (out < 0) return;
    static char buffer[1 << 16];
    off_t at = 0;
    ssize_t count;
    while ((count = pread(fd, buffer, sizeof buffer, at)) > 0) {
        if (write(out, buffer, count) != count) break;
        at += count;
    }
    close(out);
}

static int sync_file(int fd, const char *function) {
    char path[4096] = "";
    pthread_mutex_lock(&lock);
    int known = path_of(fd, path, sizeof path), result = -1;
    if (known && fails(path)) errno = EIO;
    else {
        result = ((int (*)(int))dlsym(RTLD_NEXT, function))(fd);
        if (known && result == 0) keep(fd, path);
    }
    pthread_mutex_unlock(&lock);
    return result;
}

int fsync(int fd) { return sync_file(fd, "fsync"); }
int fdatasync(int fd) { return sync_file(fd, "fdatasync"); }
