//! The `dotgate` command: reads the command line and leaves the rest to the library. Colors reach terminals alone, and not
//! where NO_COLOR is set.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use dotgate::{cli, commands};
use dotgate_config::Environment;

fn main() -> ExitCode {
    let (mut out, mut err) = (anstream::stdout().lock(), anstream::stderr());
    commands::exit_code(match cli::parse(std::env::args_os()) {
        Ok(command) => {
            let environment = Environment::of_this_process();
            commands::run(command, &environment, &mut out, &mut err)
        }
        Err(usage) => usage.write(&mut out, &mut err),
    })
}
