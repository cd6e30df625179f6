// SPDX-License-Identifier: Apache-2.0

extension Array where Element == UInt8 {
    /// Appends borrowed bytes, such as the payload whose cells were just decoded, in one copy.
    @inlinable
    public mutating func append(copying bytes: Span<UInt8>) {
        append(addingCapacity: bytes.count) { output in
            for index in bytes.indices { output.append(bytes[index]) }
        }
    }
}
