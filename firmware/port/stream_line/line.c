/* SPDX-License-Identifier: Apache-2.0 */

/* A process's line that is a stream: a TCP connection, or standard input and output. */

#define _POSIX_C_SOURCE 200809L

#include "line.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

const char line_usage[] =
    "  --connect HOST:PORT the line is a TCP connection to this address\n"
    "  --stdio             the line is standard input and output (the default)\n";

/* One process has one line. */
static struct {
    const char *connect; /* HOST:PORT; NULL: stdin and stdout */
    int in;
    int out;
    bool refused;
} line = {.in = STDIN_FILENO, .out = STDOUT_FILENO};

int line_option(int argc, char **argv, int at) {
    if (strcmp(argv[at], "--stdio") == 0) {
        line.connect = NULL;
        return 1;
    }
    if (strcmp(argv[at], "--connect") == 0 && at + 1 < argc) {
        line.connect = argv[at + 1];
        return 2;
    }
    return 0;
}

static void dial(void) {
    char host[256];
    const char *colon = strrchr(line.connect, ':');
    const size_t length = colon == NULL ? 0U : (size_t)(colon - line.connect);
    if (length == 0U || length >= sizeof host) {
        die(EXIT_USAGE, "expected HOST:PORT", line.connect);
    }
    memcpy(host, line.connect, length);
    host[length] = '\0';
    const struct addrinfo wanted = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    const int failure = getaddrinfo(host, colon + 1, &wanted, &found);
    if (failure != 0) {
        die(EXIT_LINE, gai_strerror(failure), line.connect);
    }
    int file = -1;
    for (const struct addrinfo *a = found; a != NULL && file < 0; a = a->ai_next) {
        file = socket(a->ai_family, a->ai_socktype, a->ai_protocol);
        if (file >= 0 && connect(file, a->ai_addr, a->ai_addrlen) != 0) {
            (void)close(file);
            file = -1;
        }
    }
    if (file < 0) {
        die(EXIT_LINE, "cannot connect", line.connect);
    }
    freeaddrinfo(found);
    const int on = 1; /* frames are short and answers are waited for */
    (void)setsockopt(file, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    line.in = file;
    line.out = file;
}

static void make_nonblocking(int file) {
    const int flags = fcntl(file, F_GETFL);
    if (flags < 0 || fcntl(file, F_SETFL, flags | O_NONBLOCK) != 0) {
        die(EXIT_LINE, "cannot set the line up", "fcntl");
    }
}

void line_open(void) {
    if (line.connect != NULL) {
        dial();
    }
    make_nonblocking(line.in);
    make_nonblocking(line.out);
}

static bool would_block(void) {
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
}

size_t line_read(uint8_t *bytes, size_t capacity) {
    const ssize_t count = read(line.in, bytes, capacity);
    if (count > 0) {
        return (size_t)count;
    }
    if (count == 0 || !would_block()) {
        exit(count == 0 || errno == ECONNRESET ? EXIT_CLOSED : EXIT_LINE);
    }
    return 0U;
}

size_t line_write(const uint8_t *bytes, size_t count) {
    if (count == 0U) {
        line.refused = false;
        return 0U;
    }
    const ssize_t taken = write(line.out, bytes, count);
    if (taken < 0 && !would_block()) {
        exit(errno == EPIPE || errno == ECONNRESET ? EXIT_CLOSED : EXIT_LINE);
    }
    const size_t done = taken < 0 ? 0U : (size_t)taken;
    line.refused = done < count;
    return done;
}

void line_wait(uint32_t milliseconds) {
    struct pollfd lines[2] = {{.fd = line.in, .events = POLLIN, .revents = 0},
                              {.fd = line.out, .events = POLLOUT, .revents = 0}};
    const int timeout = milliseconds > 60000U ? 60000 : (int)milliseconds;
    (void)poll(lines, line.refused ? 2U : 1U, timeout);
}
