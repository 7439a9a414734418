/* SPDX-License-Identifier: Apache-2.0 */

/* The second stage of the RP2040's boot: the first 256 bytes of the flash, which the ROM copies to
 * RAM, checks and runs. It sets the flash interface up for plain reads (command 03h, which every
 * serial flash knows), so that the rest runs in place, and enters it through its vectors. */

/* CRC-32 of the 252 bytes before it (polynomial 0x04C11DB7, most significant bit first, initially
 * ones): without it the ROM stays in its USB boot loader. A test computes it anew. */
#define BOOT2_CRC "0x678956b0"

__asm(".section .boot2, \"ax\"\n"
      ".syntax unified\n"
      ".thumb\n"
      ".balign 4\n"
      "1:\n"
      "    ldr r3, 2f\n"
      "    movs r0, #0\n"
      "    str r0, [r3, #0x08]\n" /* off while it changes */
      "    movs r1, #4\n"
      "    str r1, [r3, #0x14]\n" /* a quarter of the system clock: below the 50 MHz of 03h */
      "    ldr r1, 3f\n"
      "    str r1, [r3, #0x00]\n"
      "    str r0, [r3, #0x04]\n" /* one word at a time */
      "    ldr r1, 4f\n"
      "    movs r2, #0xF4\n"
      "    str r1, [r3, r2]\n"
      "    movs r1, #1\n"
      "    str r1, [r3, #0x08]\n"
      "    ldr r0, 5f\n"
      "    ldr r1, 6f\n"
      "    str r0, [r1]\n" /* vectors */
      "    ldmia r0!, {r1, r2}\n"
      "    msr msp, r1\n"
      "    bx r2\n"
      ".balign 4\n"
      "2:  .word 0x18000000\n" /* the flash interface (SSI) */
      "3:  .word 0x001F0300\n" /* CTRLR0: frames of 32 bits, one line, a command and then data */
      "4:  .word 0x03000218\n" /* SPI_CTRLR0: command 03h of 8 bits, an address of 24 */
      "5:  .word 0x10000100\n" /* what follows this stage */
      "6:  .word 0xE000ED08\n" /* VTOR */
      ".fill 252 - (. - 1b), 1, 0\n"
      ".word " BOOT2_CRC "\n"
      ".text\n");
