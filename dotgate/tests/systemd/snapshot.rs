//! The cache across a restart of the service, whose user does not exist in between.

use crate::machine::Machine;
use crate::page::blocks;
use crate::world::wait::until;

#[test]
fn the_cache_lasts_through_a_reload_and_a_restart_of_the_service() {
    let Some(machine) =
        Machine::boot("snapshot::the_cache_lasts_through_a_reload_and_a_restart_of_the_service")
    else {
        return;
    };
    machine.install();
    machine.edit_unit(&blocks("host.md", "The cache across restarts")[0]);
    machine.start();
    for name in ["first.test", "second.test"] {
        machine.udp().ask(name).assert_right();
    }
    let user = "stat --dereference --format=%u /var/lib/dotgate/cache";
    let changes = ["reload", "restart", "restart", "reload"];
    for (number, change) in changes.into_iter().enumerate() {
        machine.run(&format!("systemctl {change} dotgate"));
        // It serves before it has read the snapshot.
        until("the snapshot", || {
            let restored = machine.journal();
            restored.matches("cache restored from its snapshot").count() > number
        });
        for name in ["first.test", "second.test"] {
            machine.udp().ask(name).assert_right();
            assert_eq!(machine.upstream.queries_for(name), 1, "{change}");
        }
        assert_ne!(machine.run(user), "0\n");
    }
    machine.run("systemctl stop dotgate");
    let mode = machine.run("stat --dereference --format=%a /var/lib/dotgate/cache");
    assert_eq!(mode, "600\n");
}
