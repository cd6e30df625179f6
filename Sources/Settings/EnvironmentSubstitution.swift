// SPDX-License-Identifier: Apache-2.0
//
// `${NAME}` in a scalar takes an environment variable, `$$` is a dollar, any other dollar stands
// for itself. It works on the value of a scalar after YAML was read, so a variable's text can hold
// anything and never becomes a key, a list or a comment.

/// A scalar's value, with the environment in it.
struct SubstitutedText {
    let text: String
    /// Whether any of it came from the environment; then it is not shown in a fault.
    let usesEnvironment: Bool

    /// Replaces the references in a scalar; the rejection completes a sentence on the setting.
    init(_ raw: String, environment: [String: String]) throws(Rejection) {
        var rest = raw.unicodeScalars[...]
        var text = String.UnicodeScalarView()
        var usesEnvironment = false
        while let scalar = rest.popFirst() {
            guard scalar == "$", let next = rest.first else {
                text.append(scalar)
                continue
            }
            switch next {
            case "$":
                rest.removeFirst()
                text.append("$")
            case "{":
                rest.removeFirst()
                guard let end = rest.firstIndex(of: "}") else {
                    throw Rejection("\"${\" lacks its \"}\"; a dollar itself is written $$")
                }
                let name = String(rest[..<end])
                guard Self.isName(name) else {
                    throw Rejection(
                        "what stands in \"${}\" is not the name of an environment variable;"
                            + " a dollar itself is written $$"
                    )
                }
                guard let value = environment[name] else {
                    throw Rejection("the environment variable \(name) is not set")
                }
                text.append(contentsOf: value.unicodeScalars)
                usesEnvironment = true
                rest = rest[rest.index(after: end)...]
            default:
                text.append(scalar)
            }
        }
        self.text = String(text)
        self.usesEnvironment = usesEnvironment
    }

    private static func isName(_ name: String) -> Bool {
        name.utf8.enumerated().allSatisfy { index, byte in
            switch byte {
            case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"),
                UInt8(ascii: "_"):
                true
            case UInt8(ascii: "0")...UInt8(ascii: "9"): index > 0
            default: false
            }
        } && !name.isEmpty
    }
}
