// SPDX-License-Identifier: Apache-2.0
// libpq's public header, found through pkg-config (Debian: libpq-dev).
#include <libpq-fe.h>
