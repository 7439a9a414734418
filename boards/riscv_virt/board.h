/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FG_BOARD_H
#define FG_BOARD_H

/* QEMU's RISC-V board `virt`. */

#define BOARD_CLOCK_HZ      10000000U /* of the machine timer */
#define BOARD_UART_CLOCK_HZ 3686400U

#define BOARD_RESET 0x00100000U
#define BOARD_CLINT 0x02000000U
#define BOARD_PLIC  0x0C000000U
#define BOARD_UART  0x10000000U

#define BOARD_UART_INTERRUPT 10U
#define BOARD_RESET_VALUE    0x7777U /* the test device's word for a reset */

#endif
