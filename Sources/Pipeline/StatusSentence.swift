// SPDX-License-Identifier: Apache-2.0
//
// What a task does, as one would tell a colleague: the page and the terminal say the same. Receives
// a status, gives one or two plain sentences; of numbers only those that the phase is about.

import ChangeModel

extension TaskStatus {
    /// The phase in plain words, with what to do where something is to be done.
    ///
    /// A phase that this version does not know is told by its name.
    package var sentence: String {
        switch phase.rawValue {
        case "checking": "Looking at the source and the sink; nothing is read yet."
        case "snapshotting": snapshotSentence
        case "streaming": streamSentence
        case "reconnecting":
            "Trying again until it works. Nothing is lost meanwhile: the slot keeps what is committed."
        case "stopping": "Bringing what was received to the sink, and then ending."
        case "failed":
            "Ended by an error that trying again does not mend. What helps is said with the error."
        case "standby":
            "Waiting: \(standby?.text ?? "another walrelay runs the task"). "
                + "This one takes over when that ends."
        default: "The task is \(phase.rawValue)."
        }
    }

    private var snapshotSentence: String {
        var text = "Copying the rows that are there"
        guard !snapshot.tables.isEmpty else { return text + "." }
        text += ": \(Quantity.count(snapshot.tablesDone)) of "
        text += "\(Prose.count(snapshot.tables.count, "table")) done"
        if let share = snapshot.share, share < 1 { text += ", \(Int(share * 100)) %" }
        if let seconds = snapshot.secondsLeft {
            text += ", about \(Quantity.estimate(seconds: seconds)) left"
        }
        return text + ". Changes wait in the slot until then."
    }

    private var streamSentence: String {
        guard let lag = stream.lagMilliseconds else {
            return "Following the stream; no change has come yet."
        }
        guard lag > 0 else {
            return "Following the stream; all that was committed is durable in the sink."
        }
        guard lag >= 10_000 else {
            return "Following the stream; what is committed is durable in the sink "
                + "\(Quantity.time(milliseconds: Int64(lag))) later."
        }
        return "Catching up: what is written now was committed "
            + "\(Quantity.time(milliseconds: Int64(lag))) ago."
    }
}
