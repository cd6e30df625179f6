// SPDX-License-Identifier: Apache-2.0
//
// Tables of another PostgreSQL, kept equal to the source's.

import ChangeModel
