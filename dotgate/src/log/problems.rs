//! Problems of the configuration, which are known before the log has started.

use std::io::{self, Write};

use dotgate_config::{LogFormat, Problem, Problems};
use serde_json::json;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};

use super::lines::priority;
use super::messages::CONFIG_INVALID;
use super::output::Output;

/// Writes all problems in the format of the log: for people with lines of their own for each, as JSON in one object.
///
/// # Errors
/// Those of writing.
pub fn write_problems(
    problems: &Problems,
    format: LogFormat,
    output: Output,
    err: &mut dyn Write,
) -> io::Result<()> {
    let prefix = match output {
        Output::Journal => priority(CONFIG_INVALID.level),
        Output::Color | Output::Plain => "",
    };
    match (format, output) {
        (LogFormat::Json, _) => {
            let each: Vec<String> = problems.iter().map(Problem::to_string).collect();
            let object = json!({
                "timestamp": timestamp(),
                "level": CONFIG_INVALID.level.as_str(),
                "message": CONFIG_INVALID.text,
                "problems": each,
            });
            writeln!(err, "{prefix}{object}")
        }
        (LogFormat::Text, Output::Journal) => {
            let text = problems.to_string();
            let mut lines = text.lines().filter(|line| !line.is_empty());
            lines.try_for_each(|line| writeln!(err, "{prefix}{line}"))
        }
        (LogFormat::Text, Output::Color | Output::Plain) => write!(err, "{problems}"),
    }
}

/// The time as in every other line.
fn timestamp() -> String {
    let mut text = String::new();
    let written = SystemTime.format_time(&mut Writer::new(&mut text));
    written.map(|()| text).unwrap_or_default()
}
