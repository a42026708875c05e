/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TEST_CHECK_H
#define TEST_CHECK_H

/* cmocka with what it needs before it, and without its fail(), which is our own word (base/error.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#undef fail
#undef fail_msg
#define fail_msg(...) (print_error(__VA_ARGS__), print_error("\n"), _fail(__FILE__, __LINE__))

#endif
