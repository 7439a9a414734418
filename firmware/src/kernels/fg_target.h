/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FG_TARGET_H
#define FG_TARGET_H

/* Which instructions kernels may use, and how their inner loops are compiled. Kernels that exist
 * twice, here and in dsp/, compute the same bits; the macro below picks one of each pair. */

/* Armv7E-M's arithmetic on pairs of int16: Cortex-M4, M7, M33 and up. FG_EMULATE_DSP runs the same
 * sources anywhere, instruction by instruction in C, for tests. */
#if defined(__ARM_FEATURE_DSP) || defined(FG_EMULATE_DSP)
#define FG_DSP 1
#else
#define FG_DSP 0
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
