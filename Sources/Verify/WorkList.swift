// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// Work that several threads take from, in order.
final class WorkList<Item: Sendable>: Sendable {
    private let items: [Item]
    private let next = Atomic(0)

    init(_ items: [Item]) {
        self.items = items
    }

    /// The next item; nil when none is left.
    func take() -> Item? {
        let index = next.add(1, ordering: .relaxed).oldValue
        return index < items.count ? items[index] : nil
    }
}
