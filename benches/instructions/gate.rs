//! Counts each shape under valgrind, and compares with the counts that are kept beside this file.

use crate::run;
use crate::shapes::{self, Shape};
use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, ExitCode};

/// The excess over the recorded count that is a failure.
const MARGIN: f64 = 0.03;
const COUNTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/instructions/counts.txt");
const RENEW: &str = "cargo bench --profile gate --bench instructions -- --renew";
/// Lets libc choose the same copying on every processor.
const TUNABLES: (&str, &str) =
    ("GLIBC_TUNABLES", "glibc.cpu.hwcaps=-AVX2,-AVX512F,-AVX512VL,-AVX_Fast_Unaligned_Load,-ERMS,-FSRM");

/// Fails if a shape costs more than it did.
pub fn check() -> ExitCode {
    let kept = std::fs::read_to_string(COUNTS).expect("counts are kept");
    let (made_by, compiler) = (kept.lines().next().unwrap_or_default(), compiler());
    if made_by != compiler {
        println!("NOT CHECKED: the counts are from {made_by}, this is {compiler}. To renew them: {RENEW}");
        return ExitCode::SUCCESS;
    }
    let before = |shape: &Shape| -> f64 {
        let mut lines = kept.lines().filter_map(|line| line.split_once(' '));
        let (_, count) = lines.find(|(name, _)| *name == shape.name).expect("every shape has a count");
        count.trim().parse().expect("a number")
    };
    let mut worse = false;
    for shape in &shapes::ALL {
        let (now, before) = (count(shape, "/dev/null"), before(shape));
        let change = now / before - 1.0;
        let says = match change {
            change if change > MARGIN => "  TOO MUCH",
            change if change < -MARGIN => "  less than before: keep it so by renewing the counts",
            _ => "",
        };
        worse |= change > MARGIN;
        println!("{:14} {now:8.0} instructions a notification, {:+.1} %{says}", shape.name, change * 100.0);
    }
    if worse {
        println!("See where they go: … -- --profile SHAPE. If they are worth it: {RENEW}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// Keeps what is counted now.
pub fn renew() -> ExitCode {
    let mut text = compiler();
    for shape in &shapes::ALL {
        let _ = write!(text, "\n{:14} {:.0}", shape.name, count(shape, "/dev/null"));
        println!("{}", text.lines().next_back().unwrap_or_default());
    }
    std::fs::write(COUNTS, text + "\n").expect("the counts can be written");
    ExitCode::SUCCESS
}

/// Leaves a profile for callgrind_annotate.
pub fn profile(shape: &Shape) -> ExitCode {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("target/{}.callgrind", shape.name));
    let count = count(shape, file.to_str().expect("text"));
    println!("{:14} {count:8.0} instructions a notification; now: callgrind_annotate {}", shape.name, file.display());
    ExitCode::SUCCESS
}

/// Instructions a notification.
fn count(shape: &Shape, profile: &str) -> f64 {
    let program = std::env::current_exe().expect("this program");
    let mut valgrind = Command::new("valgrind");
    valgrind.env(TUNABLES.0, TUNABLES.1).args(["--tool=callgrind", &format!("--callgrind-out-file={profile}")]);
    valgrind.args(run::SWITCHES.map(|switch| format!("--toggle-collect={switch}")));
    let output = valgrind.arg(program).args([run::ARGUMENT, shape.name]).output().expect("valgrind is installed");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let collected = said.lines().find_map(|line| line.split_once("Collected :")).expect("a sum").1;
    let collected: f64 = collected.trim().parse().expect("a number");
    collected / (shape.callers * shape.counted * shape.notifications) as f64
}

/// The environment that the counts depend on.
fn compiler() -> String {
    let rustc = Command::new("rustc").arg("--version").output().expect("rustc is installed");
    format!("{} on {}", String::from_utf8_lossy(&rustc.stdout).trim(), std::env::consts::ARCH)
}
