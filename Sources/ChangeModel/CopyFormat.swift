// SPDX-License-Identifier: Apache-2.0

/// The format of COPY's rows.
public enum CopyFormat: String, Sendable {
    /// Readable by every version and every type.
    case text
    /// For types whose binary form is the same on both sides.
    case binary
}
