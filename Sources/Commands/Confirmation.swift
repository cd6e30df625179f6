// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import ChangeModel
import Glibc

/// `--yes`, and the question that is asked without it.
struct Confirmation: ParsableArguments {
    @Flag(name: .long, help: "Do not ask; needed where there is no terminal to ask on.")
    var yes = false

    /// Throws, exit 64, where nobody can be asked; to be called before anything is touched.
    func requireAnswerable() throws(WalrelayError) {
        guard !yes, isatty(STDIN_FILENO) == 0 else { return }
        throw WalrelayError(
            "confirmation.needed",
            exit: .usage,
            "There is no terminal to ask on, so nothing was dropped",
            hint: "add --yes"
        )
    }

    /// Asks on the terminal; anything but y or yes is a no.
    ///
    /// Blocks until there is an answer.
    func isGiven(_ question: String) -> Bool {
        if yes { return true }
        print("\(question.shown) [y/N] ", terminator: "")
        fflush(nil)
        return ["y", "yes"].contains((readLine() ?? "").lowercased())
    }
}
