/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FG_TARGET_H
#define FG_TARGET_H

/* Which instructions kernels may use, and how their inner loops are compiled. Kernels that exist
 * several times, here, in dsp/ and in mve/, compute the same bits; the macros below pick one. */

/* Armv7E-M's arithmetic on pairs of int16: Cortex-M4, M7, M33 and up. FG_EMULATE_DSP runs the same
 * sources anywhere, instruction by instruction in C, for tests. */
#if defined(__ARM_FEATURE_DSP) || defined(FG_EMULATE_DSP)
#define FG_DSP 1
#else
#define FG_DSP 0
#endif

/* Armv8.1-M's vectors of integers: Cortex-M55. They replace the kernels of dsp/ where both are
 * there. FG_EMULATE_MVE as above. */
#if defined(__ARM_FEATURE_MVE) || defined(FG_EMULATE_MVE)
#define FG_MVE 1
#else
#define FG_MVE 0
#endif

/* FG_WIDE_LOOPS: a large processor, whose compiler turns plain loops into vectors. Where a loop is
 * written for a small one, by hand, there is a plain one for that. */
#if defined(FG_WIDE_LOOPS)
#define FG_WIDE 1
#else
#define FG_WIDE 0
#endif

/* Inner loops are inlined, and the loops themselves are not, even when optimising for size. */
#if defined(__GNUC__)
#define FG_INLINE   inline __attribute__((always_inline))
#define FG_NOINLINE __attribute__((noinline))
#else
#define FG_INLINE inline
#define FG_NOINLINE
#endif

#endif
