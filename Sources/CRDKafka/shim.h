// SPDX-License-Identifier: Apache-2.0
// librdkafka's public headers, found through pkg-config (Debian: librdkafka-dev); the second one
// is its mock cluster, which only tests use.
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
