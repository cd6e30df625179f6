// SPDX-License-Identifier: Apache-2.0
//
// Where a password comes from. A file is read each time it is asked for, so that a rotated
// password is taken up at the next connection without a restart.

public import ChangeModel

/// Where a password comes from.
public enum SecretSource: Sendable, Equatable {
    /// The settings themselves, usually through an environment variable.
    case literal(Secret)
    /// A file, by its path.
    case file(String)
    /// A systemd credential: a file of that name in `$CREDENTIALS_DIRECTORY`.
    case credential(String)

    /// The most bytes that a password file may have.
    static let byteLimit = 64 << 10

    /// The password as it is now, without one trailing newline of the file.
    ///
    /// Blocks on the file system. Throws `settings.secret_file`, exit 78, when the file cannot be
    /// read, is empty, larger than 64 KiB or not UTF-8; `noun` says what it holds.
    public func read(
        environment: [String: String],
        noun: String = "password"
    ) throws(WalrelayError) -> String {
        switch self {
        case .literal(let secret):
            return secret.reveal()
        case .file(let path):
            return try Self.read(file: path, noun: noun)
        case .credential(let name):
            guard let directory = environment["CREDENTIALS_DIRECTORY"], !directory.isEmpty else {
                throw Self.error(
                    "The credential \(name) cannot be read: CREDENTIALS_DIRECTORY is not set.",
                    hint: "start walrelay from a systemd unit with LoadCredential=\(name):PATH"
                )
            }
            return try Self.read(file: directory + "/" + name, noun: noun)
        }
    }

    private static func read(
        file path: String,
        noun: String
    ) throws(WalrelayError) -> String {
        let content: BoundedFile
        do {
            content = try BoundedFile(path: path, byteLimit: byteLimit)
        } catch {
            throw Self.error(
                "The \(noun) file \(path) cannot be read: \(error.reason).",
                hint:
                    "name a readable file in \(noun == "password" ? "passwordFile or keyPasswordFile" : "\(noun)File")"
            )
        }
        var bytes = content.bytes[...]
        if bytes.last == UInt8(ascii: "\n") {
            bytes.removeLast()
            if bytes.last == UInt8(ascii: "\r") { bytes.removeLast() }
        }
        guard let text = String(validating: bytes, as: UTF8.self), !bytes.contains(0) else {
            throw Self.error("The \(noun) file \(path) is not UTF-8 text.")
        }
        guard !text.isEmpty else {
            throw Self.error("The \(noun) file \(path) is empty.")
        }
        return text
    }

    /// A warning where somebody else may read the file that the secret, a `noun`, stands in.
    ///
    /// Blocks on the file system.
    func fileWarning(noun: String) -> String? {
        guard case .file(let path) = self else { return nil }
        return BoundedFile.warning(ofSecretFile: path, noun: noun)
    }

    private static func error(_ message: String, hint: String = "") -> WalrelayError {
        WalrelayError("settings.secret_file", exit: .settings, message, hint: hint)
    }
}
