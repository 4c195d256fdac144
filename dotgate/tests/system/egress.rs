//! Source address, interface and mark of connections to upstreams, as the kernel routes them.

use dotgate_testbed::certificates::TestAuthority;

use crate::namespaces::{FIRST, Network};

#[test]
fn connections_leave_as_the_parameters_of_their_upstream_say() {
    let Some(network) =
        Network::enter("egress::connections_leave_as_the_parameters_of_their_upstream_say")
    else {
        return;
    };
    // Of two addresses, two interfaces and two marks only one each leads to the upstream.
    network.near("address add 10.78.0.3/24 dev first");
    network.set("far", "net/ipv4/conf/all/rp_filter", "1");
    network.far("route add blackhole 10.78.0.3/32");
    // Else the far side would say on its second link as well that it has the address of the first.
    network.set("far", "net/ipv4/conf/all/arp_ignore", "1");
    network.near("rule add fwmark 7 unreachable");
    let authority = TestAuthority::new().unwrap();
    let upstream = network.upstream(FIRST, &authority);
    for (works, fails, reason) in [
        (
            "source=10.78.0.2",
            "source=10.99.0.1",
            "source 10.99.0.1: Cannot assign requested address",
        ),
        ("source=10.78.0.2", "source=10.78.0.3", "connect: timed out"),
        ("interface=first", "interface=second", "No route to host"),
        (
            "interface=first",
            "interface=third",
            "interface third: No such device",
        ),
        ("mark=8", "mark=0x7", "Network is unreachable"),
    ] {
        let before = upstream.queries();
        let hosts = format!("{};{works}", upstream.written());
        let program = network.serve_at(&authority, &hosts, &[]);
        program.udp().ask("works.test").assert_right();
        assert_eq!(upstream.queries(), before + 1, "{works}");
        drop(program);
        let hosts = format!("{};{fails}", upstream.written());
        let program = network.serve_at(&authority, &hosts, &[]);
        let line = program.wait_for_line("upstream is down");
        assert!(line.contains(reason), "{fails}: {line}");
        assert_eq!(upstream.queries(), before + 1, "{fails}");
    }
}
