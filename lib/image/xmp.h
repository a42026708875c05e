/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef IMAGE_XMP_H
#define IMAGE_XMP_H

#include "../base/str.h"

/*
 * What of an XMP packet (ISO 16684-1, RDF in XML) goes into an answer. rights_only keeps the properties that speak of
 * rights and credit (dc:rights, dc:creator, xmpRights:*, plus:*, photoshop:Credit...), else all is kept but what is no
 * longer true: orientation, thumbnails, the original's size in pixels. The rest of the packet stays byte for byte.
 *
 * Empty where nothing is left, and for packets that are no UTF-8 XML, or declare a document type.
 */
struct str xmp_keep(struct arena *a, struct str packet, bool rights_only);

#endif
