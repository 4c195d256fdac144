//! The settings about the file of settings.

use crate::config::kinds::{FilePath, Switch};
use crate::config::setting::{Absent, Entry, Names, Reload, Setting};

/// `DOTGATE_CONFIG_FILE`.
pub static CONFIG_FILE: Setting<FilePath> = Setting {
    entry: Entry {
        names: Names::VariableOnly("DOTGATE_CONFIG_FILE"),
        reload: Reload::Restart,
        absent: Absent::Nothing,
        doc: "The TOML file to read settings from; `--config` names another, and without both it is \
              `/etc/dotgate/dotgate.toml` where that exists. The environment wins over the file.",
        example: "/etc/dotgate/dotgate.toml",
    },
    kind: FilePath,
};

/// `DOTGATE_CONFIG_WATCH`.
pub static CONFIG_WATCH: Setting<Switch> = Setting {
    entry: Entry {
        names: Names::Prefixed {
            section: "config",
            key: "watch",
        },
        reload: Reload::Live,
        absent: Absent::Default("true"),
        doc: "Whether the configuration is read anew when its file, or a file of certificates or the token that it \
              names, has other content; SIGHUP has it read anew at any time.",
        example: "false",
    },
    kind: Switch,
};
