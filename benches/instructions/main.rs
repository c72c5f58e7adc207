//! The instructions per notification, from the caller's bytes to the outcome's, as valgrind counts them.
//!
//! A whole node runs on one thread; its callers and Apple are pipes in memory of which hardly anything is counted; there is
//! no TLS. So the count is the same on any machine, however busy. Without arguments each shape is compared with `counts.txt`:
//! more than 3 % above is a failure. `-- --renew` writes what is measured now; `-- --profile SHAPE` leaves a profile.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "a benchmark blocks, prints and starts tasks"
)]

mod apple;
mod caller;
mod gate;
mod run;
mod shapes;

use shapes::Shape;
use std::process::ExitCode;

fn main() -> ExitCode {
    // Cargo adds a flag.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        [] => gate::check(),
        ["--renew"] => gate::renew(),
        ["--profile", shape] => gate::profile(named(shape)),
        [run::ARGUMENT, shape] => {
            run::run(named(shape));
            ExitCode::SUCCESS
        }
        _ => panic!("usage: cargo bench --profile gate --bench instructions [-- --renew | --profile SHAPE]"),
    }
}

fn named(name: &str) -> &'static Shape {
    let known = shapes::ALL.iter().find(|shape| shape.name == name);
    known.unwrap_or_else(|| panic!("no shape is called {name}"))
}
