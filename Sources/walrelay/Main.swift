// SPDX-License-Identifier: Apache-2.0
import Commands

@main
enum Main {
    static func main() async {
        await Walrelay.start()
    }
}
