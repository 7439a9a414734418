/* SPDX-License-Identifier: Apache-2.0 */

/* Flash in a file. Each byte of the file is the complement of a cell, so that what was never
 * written takes no room on disk and reads as erased. */

#define _POSIX_C_SOURCE 200809L

#include "flash.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "line.h"

#define SECTOR_BYTES 4096U
#define SECTORS      8192U /* 16 MiB for each slot; a file with holes */
#define UNIT         32U
#define PIECE        256U

/* One process has one flash. */
static struct {
    fg_flash flash;
    int file;
} port;

static fg_status flash_read(void *context, uint32_t address, uint8_t *bytes, uint32_t count) {
    (void)context;
    for (uint32_t done = 0U; done < count;) {
        const ssize_t got = pread(port.file, bytes + done, count - done, (off_t)address + done);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            return FG_ERR_STATE;
        }
        done += (uint32_t)got;
    }
    for (uint32_t i = 0U; i < count; i++) {
        bytes[i] = (uint8_t)~bytes[i];
    }
    return FG_OK;
}

static fg_status flash_program(void *context, uint32_t address, const uint8_t *bytes,
                               uint32_t count) {
    uint8_t piece[PIECE];
    (void)context;
    for (uint32_t done = 0U; done < count;) {
        const uint32_t part = count - done < PIECE ? count - done : PIECE;
        for (uint32_t i = 0U; i < part; i++) {
            piece[i] = (uint8_t)~bytes[done + i];
        }
        const ssize_t put = pwrite(port.file, piece, part, (off_t)address + done);
        if (put < 0 && errno != EINTR) {
            return FG_ERR_STATE;
        }
        done += put < 0 ? 0U : (uint32_t)put;
    }
    return FG_OK;
}

static fg_status flash_erase(void *context, uint32_t sector) {
    static const uint8_t erased[PIECE] = {0};
    (void)context;
    for (uint32_t done = 0U; done < SECTOR_BYTES;) {
        const off_t address = (off_t)sector * SECTOR_BYTES + done;
        const uint32_t left = SECTOR_BYTES - done;
        const ssize_t put = pwrite(port.file, erased, left < PIECE ? left : PIECE, address);
        if (put < 0 && errno != EINTR) {
            return FG_ERR_STATE;
        }
        done += put < 0 ? 0U : (uint32_t)put;
    }
    return FG_OK;
}

static fg_status flash_sync(void *context) {
    (void)context;
    return fdatasync(port.file) == 0 ? FG_OK : FG_ERR_STATE;
}

const fg_flash *flash_open(const char *path) {
    const off_t size = (off_t)SECTOR_BYTES * SECTORS;
    struct stat info;
    port.file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (port.file < 0 || fstat(port.file, &info) != 0) {
        die(EXIT_USAGE, "cannot open the flash", path);
    }
    if (info.st_size == 0 && (ftruncate(port.file, size) != 0 || fsync(port.file) != 0)) {
        die(EXIT_USAGE, "cannot make the flash", path);
    }
    if (info.st_size != 0 && info.st_size != size) {
        errno = 0;
        die(EXIT_USAGE, "not a flash: its size is another", path);
    }
    port.flash = (fg_flash){.sector_bytes = SECTOR_BYTES,
                            .sectors = SECTORS,
                            .unit = UNIT,
                            .read = flash_read,
                            .program = flash_program,
                            .erase = flash_erase,
                            .sync = flash_sync};
    return &port.flash;
}
