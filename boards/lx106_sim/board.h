/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FG_BOARD_H
#define FG_BOARD_H

/* QEMU's Xtensa simulator. */

#define BOARD_CLOCK_HZ 40000000U

/* The console never interrupts: it is looked at before every read, and at least every two
 * milliseconds. */
#define BOARD_POLLS_UART    1
#define BOARD_LONGEST_SLEEP (BOARD_CLOCK_HZ / 500U)

#endif
