/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FG_STATUS_H
#define FG_STATUS_H

/* Every function that can fail returns one of these, and every caller looks at it. */
typedef enum fg_status {
    FG_OK = 0,
    FG_ERR_ARGUMENT = -1,   /* a caller broke the documented contract */
    FG_ERR_SIZE = -2,       /* a length does not fit its buffer or its declared size */
    FG_ERR_CRC = -3,        /* bytes arrived, but not the ones that were sent */
    FG_ERR_FORMAT = -4,     /* the bytes are intact and mean nothing here */
    FG_ERR_VERSION = -5,    /* a format or protocol version this build does not speak */
    FG_ERR_STATE = -6,      /* a valid request at the wrong time */
    FG_ERR_MODEL = -7,      /* meant for another model */
    FG_ERR_UNSUPPORTED = -8 /* the generated model cannot do this: it does not train */
} fg_status;

#if defined(__GNUC__) || defined(__clang__)
#define FG_MUST_CHECK __attribute__((warn_unused_result))
#else
#define FG_MUST_CHECK
#endif

#endif
