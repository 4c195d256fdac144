//! Settings of what the process gives up before it serves.

use std::marker::PhantomData;

use crate::kinds::{OneOf, UserName};
use crate::setting::{Entry, Names, Reload, Setting, Unset};
use crate::words::SandboxPolicy;

/// `DOTGATE_SERVER_USER`.
pub static SERVER_USER: Setting<UserName> = Setting {
    entry: Entry {
        names: Names::Prefixed {
            section: "server",
            key: "user",
        },
        reload: Reload::Restart,
        unset: Unset::Nothing,
        doc: "User to run as once all sockets are bound: a name of `/etc/passwd`, or the numbers of a user and a group. \
              Only root can change its user. All files of the configuration must be readable for this user, because \
              a reload reads them again. With systemd, use `User=` or `DynamicUser=` instead.",
        example: "dotgate",
    },
    kind: UserName,
};

/// `DOTGATE_SERVER_SANDBOX`.
pub static SERVER_SANDBOX: Setting<OneOf<SandboxPolicy>> = Setting {
    entry: Entry {
        names: Names::Prefixed {
            section: "server",
            key: "sandbox",
        },
        reload: Reload::Restart,
        unset: Unset::Default("auto"),
        doc: "Whether the process gives up access to files, TCP ports and system calls that it does not need \
              (`docs/sandbox.md`). `auto`: as far as the kernel can enforce it; the log lists missing parts. \
              `require`: do not start if a part cannot be enforced. `off`: no sandbox.",
        example: "require",
    },
    kind: OneOf(PhantomData),
};
