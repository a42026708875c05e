/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef IMAGE_JPEG_WORDS_H
#define IMAGE_JPEG_WORDS_H

/* The second byte of markers (ITU-T T.81, table B.1); the first one is 0xff. */
#define JPEG_WORD_SOF0 0xc0     /* baseline */
#define JPEG_WORD_DHT 0xc4
#define JPEG_WORD_RST0 0xd0
#define JPEG_WORD_RST7 0xd7
#define JPEG_WORD_SOI 0xd8
#define JPEG_WORD_EOI 0xd9
#define JPEG_WORD_SOS 0xda
#define JPEG_WORD_DQT 0xdb
#define JPEG_WORD_DRI 0xdd
#define JPEG_WORD_APP0 0xe0
#define JPEG_WORD_APP15 0xef
#define JPEG_WORD_COM 0xfe

#endif
