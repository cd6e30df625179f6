// SPDX-License-Identifier: Apache-2.0
// libpq's public header, found through pkg-config (Debian: libpq-dev), and the two calls that a
// thread which waits on libpq needs and that Swift's Glibc module leaves out.
#include <libpq-fe.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>

static inline int walrelay_eventfd(void) {
    return eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
}

static inline void walrelay_name_thread(const char *name) {
    prctl(PR_SET_NAME, name, 0, 0, 0);
}
