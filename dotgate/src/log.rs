//! The log: lines on standard error, as text or JSON, that nothing ever waits for.
//!
//! For the journal each line begins with its priority and has no time of its own, unless it is JSON.
//!
//! Lines go through a bounded queue to a thread of their own, so that a full disk or a blocked pipe costs lines
//! and nothing else; those that did not fit are counted and reported later. No line above `debug` holds a
//! query's name or a client's address (RFC 9076 section 6.1).
//! Limit: `QUEUE_MAX` lines, of which those at `debug` and `trace` take half.

mod lines;
pub(crate) mod message;
pub(crate) mod messages;
mod output;
mod page;
mod problems;

use std::fmt;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, LazyLock, OnceLock};
use std::thread;
use std::time::Duration;

use dotgate_config::{LogConfig, LogFormat, LogLevel, Word as _};
use dotgate_core::LogDetail;
use tracing::level_filters::LevelFilter;
use tracing::{Level, Metadata};
use tracing_subscriber::filter::FilterFn;
use tracing_subscriber::fmt::{MakeWriter, layer};
use tracing_subscriber::layer::Layered;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer, Registry, reload};

use self::lines::Lines;
use self::message::say;
pub use self::output::Output;
pub use self::page::reference_page;
pub use self::problems::write_problems;

/// Lines that may wait to be written.
const QUEUE_MAX: usize = 1_024;

/// How long the end of the program waits for the last lines.
const FLUSH_WAIT: Duration = Duration::from_millis(500);

enum Line {
    Text(Vec<u8>),
    Flush(SyncSender<()>),
    Seal,
}

#[derive(Clone)]
struct Queue {
    lines: SyncSender<Line>,
    /// Lines that wait.
    waiting: Arc<AtomicUsize>,
    dropped: Arc<AtomicU64>,
}

static QUEUE: LazyLock<Option<Queue>> = LazyLock::new(|| {
    let (queue, lines) = sync_channel(QUEUE_MAX);
    let queue = Queue {
        lines: queue,
        waiting: Arc::default(),
        dropped: Arc::default(),
    };
    let counts = queue.clone();
    let writer = thread::Builder::new().name("log".to_owned());
    writer.spawn(move || write_lines(&lines, &counts)).ok()?;
    Some(queue)
});

/// The current filter, once the log has started.
static FILTER: OnceLock<reload::Handle<LevelFilter, Registry>> = OnceLock::new();

/// Lines of one format or the other, and how to go over.
type Format = Box<dyn Layer<Filtered> + Send + Sync>;
type ByLevel = Layered<reload::Layer<LevelFilter, Registry>, Registry>;
type Filtered = Layered<FilterFn<fn(&Metadata<'_>) -> bool>, ByLevel>;
static FORMAT: OnceLock<reload::Handle<Format, Filtered>> = OnceLock::new();

static OUTPUT: OnceLock<Output> = OnceLock::new();

/// Starts to log. Later calls change nothing.
pub fn start(config: &LogConfig, output: Output) {
    let (filter, level_handle) = reload::Layer::new(filter_of(config.level));
    let (lines, format_handle) = reload::Layer::new(lines(config.format, output));
    let registry = tracing_subscriber::registry().with(filter);
    let registry = registry.with(FilterFn::new(is_ours as fn(&Metadata<'_>) -> bool));
    // A second start in one process (tests, `dotgate demo`) keeps the first one's log.
    if registry.with(lines).try_init().is_ok() {
        FILTER.get_or_init(|| level_handle);
        FORMAT.get_or_init(|| format_handle);
        OUTPUT.get_or_init(|| output);
    }
}

/// Whether an event is of dotgate. The crate of QUIC has some of its own, with addresses of clients.
fn is_ours(metadata: &Metadata<'_>) -> bool {
    !metadata.target().starts_with("quinn")
}

fn lines(format: LogFormat, output: Output) -> Format {
    let lines = layer()
        .with_ansi(output == Output::Color && format == LogFormat::Text)
        .with_writer(LineWriter)
        .event_format(Lines::new(format, output));
    Box::new(lines)
}

/// Switches to another level and format, if the log has started.
pub fn set(config: &LogConfig) {
    set_level(config.level);
    if let (Some(handle), Some(output)) = (FORMAT.get(), OUTPUT.get()) {
        // It fails only where the log itself is gone.
        drop(handle.reload(lines(config.format, *output)));
    }
}

/// The current level; none before the start.
pub fn level() -> Option<LogLevel> {
    let filter = FILTER.get()?.clone_current()?;
    let levels = LogLevel::ALL.iter().copied();
    levels.into_iter().find(|level| filter_of(*level) == filter)
}

/// Logs this level and what is more important from now on, if the log has started.
pub fn set_level(level: LogLevel) {
    if let Some(filter) = FILTER.get() {
        // It fails only where the log itself is gone.
        drop(filter.reload(filter_of(level)));
    }
}

/// What the workers are to report, for the current level. They read it once a turn.
pub(crate) fn detail() -> LogDetail {
    match LevelFilter::current() {
        LevelFilter::TRACE => LogDetail::Trace,
        LevelFilter::DEBUG => LogDetail::Debug,
        _ => LogDetail::Usual,
    }
}

fn filter_of(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}

/// The two parts of an error's text: what is wrong, in its first line, and what to do, in all others.
pub(crate) fn with_hint(problem: &dyn fmt::Display) -> (String, Option<String>) {
    let text = problem.to_string();
    match text.split_once('\n') {
        Some((reason, rest)) => {
            let lines: Vec<&str> = rest.lines().map(str::trim).collect();
            (reason.to_owned(), Some(lines.join("; ")))
        }
        None => (text, None),
    }
}

/// Waits a moment for the lines that are still queued.
pub fn flush() {
    let Some(queue) = QUEUE.as_ref() else { return };
    let (done, wait) = sync_channel(1);
    if queue.lines.try_send(Line::Flush(done)).is_ok() {
        // Half a second is all a blocked pipe gets.
        let (Ok(()) | Err(_)) = wait.recv_timeout(FLUSH_WAIT);
    }
}

/// Takes every file and port from the thread of the log, which runs before the sandbox is entered.
pub fn seal() {
    if let Some(queue) = QUEUE.as_ref() {
        // The first lines of a start do not fill the queue.
        drop(queue.lines.try_send(Line::Seal));
    }
}

/// Lines that did not fit so far.
pub fn dropped_lines() -> u64 {
    QUEUE
        .as_ref()
        .map_or(0, |queue| queue.dropped.load(Ordering::Relaxed))
}

fn write_lines(lines: &Receiver<Line>, queue: &Queue) {
    let mut reported = 0;
    for line in lines {
        match line {
            Line::Text(text) => {
                queue.waiting.fetch_sub(1, Ordering::Relaxed);
                write_all(&text);
            }
            // The one who asked may have stopped waiting.
            Line::Flush(done) => drop(done.try_send(())),
            Line::Seal => dotgate_net::sandbox::seal_thread(),
        }
        let lost = queue.dropped.load(Ordering::Relaxed);
        if lost != reported {
            // It goes through the queue like any other, and is counted again if it does not fit.
            say!(LINES_DROPPED, lines = lost - reported);
            reported = lost;
        }
    }
}

fn write_all(text: &[u8]) {
    // There is no other place to complain to.
    drop(io::stderr().lock().write_all(text));
}

/// Makes a writer for each line.
struct LineWriter;

impl MakeWriter<'_> for LineWriter {
    type Writer = QueuedLine;

    fn make_writer(&self) -> QueuedLine {
        QueuedLine {
            text: Vec::new(),
            room: QUEUE_MAX,
        }
    }

    fn make_writer_for(&self, event: &Metadata<'_>) -> QueuedLine {
        let is_detail = *event.level() >= Level::DEBUG;
        QueuedLine {
            text: Vec::new(),
            room: if is_detail { QUEUE_MAX / 2 } else { QUEUE_MAX },
        }
    }
}

/// One line, queued when complete.
struct QueuedLine {
    text: Vec<u8>,
    /// How many lines may wait before it: fewer for those at `debug` and `trace`.
    room: usize,
}

impl Write for QueuedLine {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for QueuedLine {
    fn drop(&mut self) {
        let mut text = std::mem::take(&mut self.text);
        escape_line_feeds(&mut text);
        let Some(queue) = QUEUE.as_ref().filter(|_| !text.is_empty()) else {
            return;
        };
        let is_queued = queue.waiting.fetch_add(1, Ordering::Relaxed) < self.room
            && queue.lines.try_send(Line::Text(text)).is_ok();
        if !is_queued {
            queue.waiting.fetch_sub(1, Ordering::Relaxed);
            queue.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// One event is one line: the journal would give a second one no priority, and a collector would take it for another.
fn escape_line_feeds(text: &mut Vec<u8>) {
    let within = text.len().saturating_sub(1);
    let is_within = |(at, byte): (usize, &u8)| *byte == b'\n' && at < within;
    if text.iter().enumerate().any(is_within) {
        let line = String::from_utf8_lossy(text);
        *text = line.trim_end().replace('\n', "\\n").into_bytes();
        text.push(b'\n');
    }
}
