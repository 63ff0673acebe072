/* Preloaded: makes every fsync and fdatasync cost FSYNC_MICROSECONDS instead of what the disk takes (unset: the disk's
   own time), and counts them in the file FSYNC_COUNTER, so that two programs are measured on the same disk. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

static long cost = -1;
static unsigned long unheard, *counter = &unheard;

__attribute__((constructor)) static void start(void)
{
    const char *text = getenv("FSYNC_MICROSECONDS"), *path = getenv("FSYNC_COUNTER");
    if (text != NULL)
        cost = atol(text);
    int fd = path == NULL ? -1 : open(path, O_RDWR);
    if (fd >= 0) {
        void *shared = mmap(NULL, sizeof *counter, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (shared != MAP_FAILED)
            counter = shared;
        close(fd);
    }
}

static int sync_with(const char *name, int fd)
{
    __atomic_fetch_add(counter, 1, __ATOMIC_RELAXED);
    if (cost < 0)
        return ((int (*)(int))dlsym(RTLD_NEXT, name))(fd);
    if (cost > 0) {
        struct timespec left = {cost / 1000000, cost % 1000000 * 1000};
        prctl(PR_SET_TIMERSLACK, 1000UL); /* of this thread; 50 us by default */
        while (nanosleep(&left, &left) != 0)
            ;
    }
    return 0;
}

int fsync(int fd) { return sync_with("fsync", fd); }
int fdatasync(int fd) { return sync_with("fdatasync", fd); }
