/* SPDX-License-Identifier: Apache-2.0 */

/* The node as a process of the host: the line is a TCP connection or standard input and output, the
 * flash is a file. Ends when the line does. */

#define _POSIX_C_SOURCE 200809L

#include "fleetgrad/fg_port.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "fleetgrad/fg_image.h"

/* Exit codes: the line is closed; wrong use or a file that cannot be read; the line broke. */
enum { EXIT_CLOSED = 0, EXIT_USAGE = 2, EXIT_LINE = 1 };

/* One process is one board. */
static struct {
    const char *connect; /* HOST:PORT; NULL: stdin and stdout */
    const char *image_path;
    const char *boots_path;
    int in;
    int out;
    bool refused;
    struct timespec start;
    const uint8_t *image;
    size_t image_bytes;
    uint32_t boot_count;
} port = {.in = STDIN_FILENO, .out = STDOUT_FILENO};

_Noreturn static void die(int code, const char *what, const char *where) {
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

static void dial(void) {
    char host[256];
    const char *colon = strrchr(port.connect, ':');
    const size_t length = colon == NULL ? sizeof host : (size_t)(colon - port.connect);
    if (length == 0U || length >= sizeof host) {
        die(EXIT_USAGE, "expected HOST:PORT", port.connect);
    }
    memcpy(host, port.connect, length);
    host[length] = '\0';
    const struct addrinfo wanted = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    const int failure = getaddrinfo(host, colon + 1, &wanted, &found);
    if (failure != 0) {
        die(EXIT_LINE, gai_strerror(failure), port.connect);
    }
    int line = -1;
    for (const struct addrinfo *a = found; a != NULL && line < 0; a = a->ai_next) {
        line = socket(a->ai_family, a->ai_socktype, a->ai_protocol);
        if (line >= 0 && connect(line, a->ai_addr, a->ai_addrlen) != 0) {
            (void)close(line);
            line = -1;
        }
    }
    if (line < 0) {
        die(EXIT_LINE, "cannot connect", port.connect);
    }
    freeaddrinfo(found);
    const int on = 1; /* frames are short and answers are waited for */
    (void)setsockopt(line, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    port.in = line;
    port.out = line;
}

static void make_nonblocking(int file) {
    const int flags = fcntl(file, F_GETFL);
    if (flags < 0 || fcntl(file, F_SETFL, flags | O_NONBLOCK) != 0) {
        die(EXIT_LINE, "cannot set the line up", "fcntl");
    }
}

void fg_port_init(void) {
    (void)signal(SIGPIPE, SIG_IGN);
    open_image();
    count_boot();
    if (port.connect != NULL) {
        dial();
    }
    make_nonblocking(port.in);
    make_nonblocking(port.out);
    (void)clock_gettime(CLOCK_MONOTONIC, &port.start);
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

static bool would_block(void) {
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
}

size_t fg_port_read(uint8_t *bytes, size_t capacity) {
    const ssize_t count = read(port.in, bytes, capacity);
    if (count > 0) {
        return (size_t)count;
    }
    if (count == 0 || !would_block()) {
        exit(count == 0 || errno == ECONNRESET ? EXIT_CLOSED : EXIT_LINE);
    }
    return 0U;
}

size_t fg_port_write(const uint8_t *bytes, size_t count) {
    if (count == 0U) {
        port.refused = false;
        return 0U;
    }
    const ssize_t taken = write(port.out, bytes, count);
    if (taken < 0 && !would_block()) {
        exit(errno == EPIPE || errno == ECONNRESET ? EXIT_CLOSED : EXIT_LINE);
    }
    const size_t done = taken < 0 ? 0U : (size_t)taken;
    port.refused = done < count;
    return done;
}

void fg_port_wait(uint32_t milliseconds) {
    struct pollfd lines[2] = {{.fd = port.in, .events = POLLIN, .revents = 0},
                              {.fd = port.out, .events = POLLOUT, .revents = 0}};
    const int timeout = milliseconds > 60000U ? 60000 : (int)milliseconds;
    (void)poll(lines, port.refused ? 2U : 1U, timeout);
}

static void usage(FILE *stream) {
    fputs("usage: fleetgrad-node [--connect HOST:PORT | --stdio] [--image FILE] [--boots FILE]\n"
          "  --connect  the line is a TCP connection to this address\n"
          "  --stdio    the line is standard input and output (the default)\n"
          "  --image    the data image of this device\n"
          "  --boots    keeps the boot counter from one start to the next\n",
          stream);
}

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        const char *name = argv[i];
        const bool last = i + 1 == argc;
        if (strcmp(name, "--help") == 0) {
            usage(stdout);
            return EXIT_CLOSED;
        }
        if (strcmp(name, "--stdio") == 0) {
            port.connect = NULL;
        } else if (strcmp(name, "--connect") == 0 && !last) {
            port.connect = argv[++i];
        } else if (strcmp(name, "--image") == 0 && !last) {
            port.image_path = argv[++i];
        } else if (strcmp(name, "--boots") == 0 && !last) {
            port.boots_path = argv[++i];
        } else {
            usage(stderr);
            return EXIT_USAGE;
        }
    }
    fg_app_run();
    return EXIT_CLOSED;
}
