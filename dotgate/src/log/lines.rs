//! How an event is written: as text or JSON, for the journal with its priority.

use std::fmt;

use dotgate_config::LogFormat;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::{Format, Full, Json, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::output::Output;

/// Formats one line for each event.
#[derive(Debug)]
pub(super) struct Lines {
    has_priority: bool,
    form: Form,
}

#[derive(Debug)]
enum Form {
    Text(Format<Full>),
    /// For the journal, which adds the time.
    TextWithoutTime(Format<Full, ()>),
    Json(Format<Json>),
}

impl Lines {
    pub(super) fn new(format: LogFormat, output: Output) -> Lines {
        let text = tracing_subscriber::fmt::format().with_target(false);
        let is_journal = output == Output::Journal;
        Lines {
            has_priority: is_journal,
            form: match format {
                LogFormat::Json => Form::Json(text.json().flatten_event(true)),
                LogFormat::Text if is_journal => Form::TextWithoutTime(text.without_time()),
                LogFormat::Text => Form::Text(text),
            },
        }
    }
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'l> LookupSpan<'l>,
    N: for<'l> FormatFields<'l> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        if self.has_priority {
            writer.write_str(priority(*event.metadata().level()))?;
        }
        match &self.form {
            Form::Text(form) => form.format_event(context, writer, event),
            Form::TextWithoutTime(form) => form.format_event(context, writer, event),
            Form::Json(form) => form.format_event(context, writer, event),
        }
    }
}

/// The priority of a line for the journal (sd-daemon(3), syslog(3)).
pub(super) fn priority(level: Level) -> &'static str {
    match level {
        Level::ERROR => "<3>",
        Level::WARN => "<4>",
        Level::INFO => "<6>",
        Level::DEBUG | Level::TRACE => "<7>",
    }
}
