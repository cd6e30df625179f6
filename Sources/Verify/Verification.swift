// SPDX-License-Identifier: Apache-2.0
//
// Compares the tables of the source with those that a task keeps in another PostgreSQL.

import ChangeModel
