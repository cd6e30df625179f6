// SPDX-License-Identifier: Apache-2.0
//
// What has to be done to a directory so that it is as its checkpoint says. Pure: it looks at a
// listing and decides; nothing has been touched when it refuses. With file N cut at length L:
//
//   open files before N   sealed: the checkpoint covers them, the renaming was cut short
//   file N                cut to L
//   open files behind N   removed: nothing of them was ever committed
//   sealed files          never touched; one behind N, or an N of another length, is refused

import ChangeModel

/// The name of an event file: its number, and whether it can still change.
struct EventFileName: Hashable {
    var number: UInt64
    var isSealed: Bool

    init(number: UInt64, isSealed: Bool) {
        self.number = number
        self.isSealed = isSealed
    }

    /// Parses `000000000001.ndjson` and `000000000001.ndjson.open`; `nil` for anything else.
    init?(parsing text: String) {
        let digits = text.utf8.prefix(12)
        guard digits.count == 12, digits.allSatisfy({ (0x30...0x39).contains($0) }),
            let number = UInt64(text.prefix(12)), number > 0
        else { return nil }
        switch text.dropFirst(12) {
        case ".ndjson": isSealed = true
        case ".ndjson.open": isSealed = false
        default: return nil
        }
        self.number = number
    }

    /// The name as it stands in the directory.
    var text: String {
        let digits = String(number)
        return String(repeating: "0", count: max(0, 12 - digits.count)) + digits
            + (isSealed ? ".ndjson" : ".ndjson.open")
    }
}

/// An event file as a listing of the directory shows it.
struct EventFileFound: Hashable {
    var name: EventFileName
    var length: Int64
}

/// A place in the run of event files: so many bytes of the file with this number.
struct FileMark: Hashable {
    var number: UInt64
    var length: Int64

    /// The beginning of a file.
    static func start(of number: UInt64) -> FileMark {
        FileMark(number: number, length: 0)
    }

    /// The file's name for as long as it is written.
    var openName: String { EventFileName(number: number, isSealed: false).text }
}

/// What makes a directory fit its checkpoint.
struct RecoveryPlan: Equatable {
    /// Numbers of open files that get their sealed name, ascending.
    var seal: [UInt64] = []
    /// Numbers of open files that are removed, the last one first.
    var remove: [UInt64] = []
    /// Whether the marked file exists, is open and so is cut (it may have its length already).
    var cut = false
    /// Where writing goes on.
    var mark: FileMark

    /// Decides what to do, or refuses with `sink.files_mismatch`.
    init(
        of files: [EventFileFound],
        at mark: FileMark,
        in directory: String
    ) throws(WalrelayError) {
        self.mark = mark
        let sealed = Set(files.lazy.filter(\.name.isSealed).map(\.name.number))
        var markedFound = false
        for file in files {
            if file.name.isSealed {
                try Self.verify(sealed: file, at: mark, in: directory)
                if file.name.number == mark.number {
                    markedFound = true
                    self.mark = .start(of: mark.number + 1)
                }
                continue
            }
            try Self.verify(open: file, sealed: sealed, at: mark, in: directory)
            switch file.name.number {
            case ..<mark.number: seal.append(file.name.number)
            case mark.number:
                markedFound = true
                cut = true
            default: remove.append(file.name.number)
            }
        }
        guard markedFound || mark.length == 0 else {
            throw .filesMismatch(
                directory,
                mark.openName,
                expected: "\(mark.length) bytes",
                found: "no such file",
                mark
            )
        }
        seal.sort()
        remove.sort(by: >)
    }

    /// A sealed file never changes: one that does not fit the mark cannot be mended.
    private static func verify(
        sealed file: EventFileFound,
        at mark: FileMark,
        in directory: String
    ) throws(WalrelayError) {
        let isLater = file.name.number > mark.number
        let isMarked = file.name.number == mark.number
        guard isLater || (isMarked && file.length != mark.length) else { return }
        throw .filesMismatch(
            directory,
            file.name.text,
            expected: isLater ? "no sealed file after it to exist" : "\(mark.length) bytes",
            found: "a sealed file of \(file.length) bytes",
            mark
        )
    }

    /// An open file has no sealed twin, and the marked one has at least the length of the mark.
    private static func verify(
        open file: EventFileFound,
        sealed: Set<UInt64>,
        at mark: FileMark,
        in directory: String
    ) throws(WalrelayError) {
        if file.name.number <= mark.number, sealed.contains(file.name.number) {
            throw .filesMismatch(
                directory,
                file.name.text,
                expected: "one file of this number",
                found: "a sealed file beside it",
                mark
            )
        }
        if file.name.number == mark.number, file.length < mark.length {
            throw .filesMismatch(
                directory,
                file.name.text,
                expected: "at least \(mark.length) bytes",
                found: "\(file.length) bytes",
                mark
            )
        }
    }

    /// Where writing begins in a directory that holds no checkpoint.
    ///
    /// Sealed files are an earlier task's and are kept. An open file that is not empty cannot come
    /// from this sink, which puts a checkpoint beside its first byte: somebody took it away.
    static func markWithoutCheckpoint(
        of files: [EventFileFound],
        in directory: String
    ) throws(WalrelayError) -> FileMark {
        let withContent = files.filter { !$0.name.isSealed && $0.length > 0 }
        if let orphan = withContent.min(by: { $0.name.number < $1.name.number }) {
            throw .checkpointMissing(directory, orphan.name.text, length: orphan.length)
        }
        let last = files.lazy.filter(\.name.isSealed).map(\.name.number).max() ?? 0
        return .start(of: last + 1)
    }
}
