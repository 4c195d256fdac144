//! `dotgate top`: what the running instance does, again and again, in a terminal of 80 columns and 24 lines or more.
//!
//! It asks at the admin socket, or at the admin endpoint's address, once a second. Rates are those between two looks. What is
//! shown is drawn by one function, for the terminal, for `--once` and for a pipe.

mod look;
mod screen;

use std::io::{self, IsTerminal as _, Write};
use std::path::Path;
use std::thread;
use std::time::Duration;

use dotgate_config::{ClientConfig, Environment};
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use ratatui::{DefaultTerminal, Terminal, TerminalOptions, Viewport};

use self::look::{History, Look};
use super::client::{self, CommandError};
use super::exit::{Ended, ExitStatus};
use super::status;

/// The time between two looks.
const BETWEEN: Duration = Duration::from_secs(1);

/// The size of the text where there is no terminal.
const COLUMNS: u16 = 80;
const LINES: u16 = 24;

/// How it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Again and again until a key ends it; once if standard output is no terminal.
    Screen,
    /// Once, as text.
    Once,
    /// Once, as a JSON document.
    Json,
}

/// Runs the command and returns the exit status: 0, 1 where nothing answers.
///
/// # Errors
/// [`Ended`]: the configuration is wrong, or the output cannot be written.
pub(super) fn run(
    environment: &Environment,
    file: Option<&Path>,
    form: Form,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<ExitStatus, Ended> {
    client::run(environment, file, out, err, |config, out| {
        match form {
            Form::Screen if io::stdout().is_terminal() => follow(config)?,
            Form::Screen | Form::Once => out.write_all(text(&measured(config)?)?.as_bytes())?,
            Form::Json => {
                serde_json::to_writer_pretty(&mut *out, &measured(config)?)?;
                out.write_all(b"\n")?;
            }
        }
        out.flush()?;
        Ok(ExitStatus::Success)
    })
}

/// What happens within one second.
fn measured(config: &ClientConfig) -> Result<Look, CommandError> {
    let earlier = status::overview(config)?;
    thread::sleep(BETWEEN);
    Ok(Look::of(&status::overview(config)?, Some(&earlier)))
}

/// The screen as text.
fn text(look: &Look) -> Result<String, CommandError> {
    let backend = ratatui::backend::TestBackend::new(COLUMNS, LINES);
    let options = TerminalOptions {
        viewport: Viewport::Fullscreen,
    };
    let drawn = Terminal::with_options(backend, options).and_then(|mut terminal| {
        terminal.draw(|frame| screen::draw(frame, look, &History::default()))?;
        Ok(screen::rows(terminal.backend().buffer()))
    });
    // Memory takes everything.
    drawn.map_err(|never| match never {})
}

/// Continues until a key ends it, or the instance does.
fn follow(config: &ClientConfig) -> Result<(), CommandError> {
    let mut terminal = ratatui::try_init()?;
    let shown = show(config, &mut terminal);
    ratatui::try_restore()?;
    shown
}

fn show(config: &ClientConfig, terminal: &mut DefaultTerminal) -> Result<(), CommandError> {
    let mut history = History::default();
    let mut earlier = None;
    loop {
        let now = status::overview(config)?;
        let look = Look::of(&now, earlier.as_ref());
        // The first look is an average since the start.
        if earlier.is_some() {
            history.add(look.queries_per_second);
        }
        terminal.draw(|frame| screen::draw(frame, &look, &history))?;
        earlier = Some(now);
        if is_ended_within(BETWEEN)? {
            return Ok(());
        }
    }
}

/// Whether a key ends it; any other event has the screen drawn again.
fn is_ended_within(time: Duration) -> io::Result<bool> {
    if !event::poll(time)? {
        return Ok(false);
    }
    Ok(match event::read()? {
        Event::Key(key) if key.kind == KeyEventKind::Press => match key.code {
            KeyCode::Char('q') | KeyCode::Esc => true,
            KeyCode::Char('c') => key.modifiers.contains(KeyModifiers::CONTROL),
            _ => false,
        },
        _ => false,
    })
}

#[cfg(test)]
mod tests;
