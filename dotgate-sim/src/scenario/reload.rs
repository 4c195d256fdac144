//! What a reload brings in a scenario: lists, rebinding protection, DNS64, local data.

use std::sync::Arc;

use dotgate_core::{
    Dns64Prefix, Filter, ListAction, ListScope, ListsBuilder, LocalDataBuilder, Rebinding,
    Settings, Substitute,
};

use dotgate_wire::Nat64Prefix;

use super::words::{Line, Mistake};
use crate::message::{A, DNS64_PREFIX, right_data, wire_name};

/// The TTL of local data, in seconds.
const LOCAL_TTL: u32 = 60;

/// What is set from some step on, in place of what was set before.
#[derive(Clone, Debug, Default)]
pub(super) struct ReloadForm {
    blocks: Vec<String>,
    allows: Vec<String>,
    local: Vec<String>,
    has_protection: bool,
    has_dns64: bool,
}

impl ReloadForm {
    /// Reads what stands behind `RELOAD`.
    pub(super) fn read(line: &mut Line<'_>) -> Result<ReloadForm, Mistake> {
        const WORDS: &str = "BLOCKS NAME, ALLOWS NAME, LOCAL NAME, PRIVATE_ADDRESSES or DNS64";
        let mut form = ReloadForm::default();
        while line.peek().is_some() {
            if line.takes("BLOCKS") {
                form.blocks.push(line.word("a name")?.to_owned());
            } else if line.takes("ALLOWS") {
                form.allows.push(line.word("a name")?.to_owned());
            } else if line.takes("LOCAL") {
                form.local.push(line.word("a name")?.to_owned());
            } else if line.takes("PRIVATE_ADDRESSES") {
                form.has_protection = true;
            } else if line.takes("DNS64") {
                form.has_dns64 = true;
            } else {
                return Err(line.mistake(WORDS));
            }
        }
        Ok(form)
    }

    /// Changes the settings of a running engine.
    pub(super) fn apply(&self, settings: &mut Settings) {
        let mut lists = ListsBuilder::new(7);
        let blocks = self.blocks.iter().map(|name| (name, ListAction::Block));
        let allows = self.allows.iter().map(|name| (name, ListAction::Allow));
        for (name, action) in blocks.chain(allows) {
            let added = lists.add(&wire_name(name), ListScope::Subtree, action);
            assert_eq!(added, Ok(()), "{name}");
        }
        let mut prefix = [0; 16];
        prefix[..DNS64_PREFIX.len()].copy_from_slice(&DNS64_PREFIX);
        let prefix = Nat64Prefix::new(prefix.into(), 96).filter(|_| self.has_dns64);
        let prefix = prefix.map(Dns64Prefix::Fixed);
        settings.groups[0].dns64 = prefix;
        settings.filter = Filter {
            generation: settings.filter.generation + 1,
            lists: (!lists.is_empty()).then(|| Arc::new(lists.finish())),
            rebinding: self.has_protection.then_some(Rebinding {
                substitute: Substitute::NxDomain,
                except: None,
            }),
            dns64: prefix,
            ..Filter::off()
        };
        let mut data = LocalDataBuilder::new();
        for name in &self.local {
            let name = wire_name(name);
            // The same as upstreams have, so that it counts as right.
            let right = right_data(&[&name[..], &[0, 1, 0, 1]].concat());
            let added = data.add(&name, A, LOCAL_TTL, &right, 0);
            assert_eq!(added, Ok(()), "{name:?}");
        }
        settings.local = (!data.is_empty())
            .then(|| data.finish(7, LOCAL_TTL).ok().map(Arc::new))
            .flatten();
    }
}
