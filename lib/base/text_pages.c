/* SPDX-License-Identifier: BSD-2-Clause */
#include "text_pages.h"

#include <link.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

static int give_back(struct dl_phdr_info *of, size_t size, void *page)
{
	(void)size;
	uintptr_t mask = *(const uintptr_t *)page - 1;
	for (size_t i = 0; i < of->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &of->dlpi_phdr[i];
		uintptr_t from = (of->dlpi_addr + p->p_vaddr) & ~mask;
		uintptr_t to = (of->dlpi_addr + p->p_vaddr + p->p_filesz + mask) & ~mask;
		/* Never what may have been relocated: the file does not have that. */
		if (p->p_type == PT_LOAD && !(p->p_flags & PF_W))
			madvise((void *)from, to - from, MADV_DONTNEED);
	}
	return 0;
}

void text_pages_give_back(void)
{
	uintptr_t page = sysconf(_SC_PAGESIZE);
	dl_iterate_phdr(give_back, &page);
}
