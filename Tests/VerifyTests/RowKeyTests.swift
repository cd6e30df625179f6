// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import Verify

@Suite struct RowKeyTests {
    private static let two = KeyShape(parts: [
        KeyShape.Part(name: "n", isNumber: true), KeyShape.Part(name: "t", isNumber: false),
    ])

    @Test func `keys sort as numbers and bytes do`() throws {
        let texts = ["", "a", "a\u{1}", "aa", "b", "é", "\u{1F680}"]
        let numbers = [Int64.min, -256, -1, 0, 1, 255, 256, Int64.max]
        var keys: [RowKey] = []
        for number in numbers {
            for text in texts {
                keys.append(try #require(Self.two.key(of: [String(number), text])))
            }
        }
        for first in keys.indices {
            for second in keys.indices {
                let order = KeyShape.compare(keys[first], keys[second])
                #expect(order.signum() == (first - second).signum())
            }
        }
    }

    @Test func `keys give their texts back`() throws {
        for number in [Int64.min, -1, 0, 77, Int64.max] {
            let key = try #require(Self.two.key(of: [String(number), "x,y"]))
            #expect(Self.two.texts(of: key) == [String(number), "x,y"])
            #expect(Self.two.text(of: key) == "(\(number),x,y)")
            #expect(KeyShape.number(key) == number)
        }
    }

    @Test(arguments: ["", "-", "1x", "9223372036854775808", "-9223372036854775809", "+1", " 1"])
    func `what is no whole number of 64 bits is none`(text: String) {
        #expect(KeyShape.parse(text.utf8) == nil)
        #expect(Self.two.key(of: [text, ""]) == nil)
    }
}
