//! The settings about the file of settings.

use crate::kinds::{FilePath, Switch};
use crate::setting::{Entry, Names, Reload, Setting, Unset};

/// `DOTGATE_CONFIG_FILE`.
pub static CONFIG_FILE: Setting<FilePath> = Setting {
    entry: Entry {
        names: Names::VariableOnly("DOTGATE_CONFIG_FILE"),
        reload: Reload::Restart,
        unset: Unset::Nothing,
        doc: "TOML configuration file. `--config` takes precedence. If neither is given, \
              `/etc/dotgate/dotgate.toml` is read if it exists. The environment takes precedence over the file.",
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
        unset: Unset::Default("true"),
        doc: "Reload the configuration when the file changes, or a CA or token file that it names. SIGHUP always \
              reloads.",
        example: "false",
    },
    kind: Switch,
};
