//! `pyapns check-config`: reports the faults of a configuration as `serve` would, and starts nothing.

use super::print::{self, Colour, in_colour};
use super::settings::Settings;
use std::io::{stderr, stdout};
use std::process::ExitCode;

pub const EXAMPLES: &str = "\
Examples:
  pyapns check-config --config /etc/pyapns/pyapns.toml && systemctl reload pyapns
  PYAPNS_LISTEN=127.0.0.1:8099 pyapns check-config

One run reports all faults, one a line on stderr: of the settings, and of the files that they name (authorities, keys,
folders). A doubtful setting is only a warning. Exit codes: 0 no fault; 1 faults; 2 wrong usage.";

#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    settings: Settings,
}

pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let source = arguments.settings.source();
    let (loaded, mut warnings) = (arguments.settings.origin().load_and_check_files(), Settings::warnings());
    warnings.extend(loaded.iter().flat_map(|config| config.notices.clone()));
    warnings.iter().try_for_each(|warning| {
        print::line(format_args!("{} {warning}", in_colour("warning:", Colour::Yellow, &stdout())))
    })?;
    match loaded {
        Ok(_) => {
            let verdict = in_colour("nothing is wrong", Colour::Green, &stdout());
            print::line(format_args!("{source}: {verdict}"))?;
            Ok(ExitCode::SUCCESS)
        }
        Err(faults) => {
            let count = faults.0.len();
            let count = format!("{count} fault{}", if count == 1 { "" } else { "s" });
            print::note(format_args!("{faults}\n{source}: {}", in_colour(&count, Colour::Red, &stderr())));
            Ok(ExitCode::FAILURE)
        }
    }
}
