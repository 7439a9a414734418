/* SPDX-License-Identifier: Apache-2.0 */

/* The node as a process of the host: the flash is a file, and the line another part's. Ends when
 * the line does. */

#define _POSIX_C_SOURCE 200809L

#include "fleetgrad/fg_port.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "flash.h"
#include "fleetgrad/fg_image.h"
#include "line.h"

/* One process is one board. */
static struct {
    const char *image_path;
    const char *boots_path;
    const char *flash_path;
    const fg_flash *flash;
    struct timespec start;
    const uint8_t *image;
    size_t image_bytes;
    uint32_t boot_count;
} port;

_Noreturn void die(int code, const char *what, const char *where) {
    fprintf(stderr, "fleetgrad-node: %s: %s", where, what);
    fprintf(stderr, errno != 0 ? ": %s\n" : "\n", strerror(errno));
    exit(code);
}

static void open_image(void) {
    struct stat info;
    if (port.image_path == NULL) {
        return;
    }
    const int file = open(port.image_path, O_RDONLY | O_CLOEXEC);
    if (file < 0 || fstat(file, &info) != 0) {
        die(EXIT_USAGE, "cannot read the data image", port.image_path);
    }
    if (info.st_size > 0) {
        void *bytes = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, file, 0);
        if (bytes == MAP_FAILED) {
            die(EXIT_USAGE, "cannot map the data image", port.image_path);
        }
        port.image = bytes;
        port.image_bytes = (size_t)info.st_size;
    }
    (void)close(file);
}

/* Counts this start in the file before anything else happens, through a temporary name: a process
 * that is killed here counts a start too many, never one too few. */
static void count_boot(void) {
    unsigned long count = fg_image_boot_base(port.image, port.image_bytes);
    if (port.boots_path == NULL) {
        port.boot_count = (uint32_t)count + 1U;
        return;
    }
    FILE *file = fopen(port.boots_path, "r");
    if (file != NULL) {
        unsigned long kept = 0UL;
        if (fscanf(file, "%lu", &kept) != 1) {
            die(EXIT_USAGE, "not a boot counter", port.boots_path);
        }
        count = kept > count ? kept : count;
        (void)fclose(file);
    } else if (errno != ENOENT) {
        die(EXIT_USAGE, "cannot read the boot counter", port.boots_path);
    }
    char fresh[4096];
    const int length = snprintf(fresh, sizeof fresh, "%s.new", port.boots_path);
    if (length < 0 || (size_t)length >= sizeof fresh) {
        die(EXIT_USAGE, "the path is too long", port.boots_path);
    }
    file = fopen(fresh, "w");
    if (file == NULL || fprintf(file, "%lu\n", count + 1UL) < 0 || fflush(file) != 0 ||
        fsync(fileno(file)) != 0 || fclose(file) != 0 || rename(fresh, port.boots_path) != 0) {
        die(EXIT_USAGE, "cannot write the boot counter", port.boots_path);
    }
    errno = 0;
    port.boot_count = (uint32_t)(count + 1UL);
}

void fg_port_init(void) {
    (void)clock_gettime(CLOCK_MONOTONIC, &port.start);
    (void)signal(SIGPIPE, SIG_IGN);
    open_image();
    count_boot();
    if (port.flash_path != NULL) {
        port.flash = flash_open(port.flash_path);
    }
    line_open();
}

uint32_t fg_port_millis(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    const int64_t seconds = (int64_t)now.tv_sec - port.start.tv_sec;
    const int64_t millis = seconds * 1000 + (now.tv_nsec - port.start.tv_nsec) / 1000000;
    return (uint32_t)millis;
}

uint64_t fg_port_ticks(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

uint32_t fg_port_boot_count(void) {
    return port.boot_count;
}

const uint8_t *fg_port_image(size_t *bytes) {
    *bytes = port.image_bytes;
    return port.image;
}

const fg_flash *fg_port_flash(void) {
    return port.flash;
}

size_t fg_port_read(uint8_t *bytes, size_t capacity) {
    return line_read(bytes, capacity);
}

size_t fg_port_write(const uint8_t *bytes, size_t count) {
    return line_write(bytes, count);
}

void fg_port_wait(uint32_t milliseconds) {
    line_wait(milliseconds);
}

static void usage(FILE *stream) {
    fputs("usage: fleetgrad-node [OPTIONS]\n"
          "  --image FILE        the data image of this device\n"
          "  --boots FILE        keeps the boot counter from one start to the next\n"
          "  --flash FILE        keeps what a reset must not lose: updates, parameters\n",
          stream);
    fputs(line_usage, stream);
}

int main(int argc, char **argv) {
    for (int i = 1; i < argc;) {
        const char *name = argv[i];
        const bool last = i + 1 == argc;
        const int taken = line_option(argc, argv, i);
        if (strcmp(name, "--help") == 0) {
            usage(stdout);
            return EXIT_CLOSED;
        }
        if (taken > 0) {
            i += taken;
        } else if (strcmp(name, "--image") == 0 && !last) {
            port.image_path = argv[i + 1];
            i += 2;
        } else if (strcmp(name, "--boots") == 0 && !last) {
            port.boots_path = argv[i + 1];
            i += 2;
        } else if (strcmp(name, "--flash") == 0 && !last) {
            port.flash_path = argv[i + 1];
            i += 2;
        } else {
            usage(stderr);
            return EXIT_USAGE;
        }
    }
    fg_app_run();
    return EXIT_CLOSED;
}
