//! A new configuration for a process that runs: what only a restart changes stays as it was, and the table of settings
//! says what that is.

use std::path::Path;

use super::problem::Problems;
use super::setting::Reload;
use super::spec::Spec;
use super::{Config, Effective, Environment, Loaded, from_spec};

/// Finds out a new configuration for a process that started with the settings `started_with`. Its settings are the new
/// ones; what it means is that of the start where only a restart changes it.
///
/// # Errors
/// All that is wrong with the new settings, or with those that apply now together with those of the start.
pub fn reload(
    environment: &Environment,
    file: Option<&Path>,
    started_with: &[Effective],
) -> Result<Loaded, Problems> {
    let mut problems = Vec::new();
    let mut spec = Spec::collect(environment, file, &mut problems);
    let mut loaded = from_spec(&spec, problems)?;
    let of_restart = started_with
        .iter()
        .filter(|it| it.subject.entry().reload == Reload::Restart);
    for setting in of_restart {
        spec.replace(setting.subject, setting.written());
    }
    let mut problems = Vec::new();
    let config = Config::from_spec(&spec, &mut problems);
    loaded.config = config.ok_or_else(|| Problems::new(problems))?;
    Ok(loaded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load;
    use crate::settings::TABLE;

    const BASE: [(&str, &str); 5] = [
        ("HOST", "127.0.0.1"),
        ("PORT", "5300"),
        ("DNS_HOST", "192.0.2.1"),
        ("DNS_PORT", "853"),
        ("DOTGATE_BOOTSTRAP_ADDRESSES", "192.0.2.53"),
    ];

    #[test]
    fn a_reload_changes_what_the_table_says_and_nothing_else() {
        let base: Environment = BASE.into_iter().collect();
        let base = load(&base, None).unwrap();
        let (mut live, mut restart) = (0, 0);
        for subject in TABLE {
            let entry = subject.entry();
            let variable = entry.variable();
            let changed = (&*variable, entry.example);
            let changed: Environment = BASE.into_iter().chain([changed]).collect();
            let Ok(started) = load(&changed, None) else {
                continue;
            };
            let meaning = |loaded: &Loaded| format!("{:?}", loaded.config);
            if meaning(&started) == meaning(&base) {
                continue;
            }
            let reloaded = reload(&changed, None, &base.effective).unwrap();
            let (expected, count) = match entry.reload {
                Reload::Live => (&started, &mut live),
                Reload::Restart => (&base, &mut restart),
            };
            assert_eq!(meaning(&reloaded), meaning(expected), "{variable}");
            *count += 1;
            // Back to what was not set.
            let environment: Environment = BASE.into_iter().collect();
            let reloaded = reload(&environment, None, &started.effective).unwrap();
            let expected = match entry.reload {
                Reload::Live => &base,
                Reload::Restart => &started,
            };
            assert_eq!(meaning(&reloaded), meaning(expected), "{variable}");
        }
        assert!(
            live > 25 && restart > 8,
            "{live} and {restart} settings were tried"
        );
    }
}
