//! DNS cookies towards dig and kdig, and the secrets that make them: over a reload, and over a change of processes.

use std::net::SocketAddr;
use std::process::Command;

use crate::reload::reload;
use crate::world::World;
use crate::world::house::House;
use crate::world::peer::{are_installed, find};
use crate::world::program::Program;

/// Runs dig with these further arguments.
fn dig(address: SocketAddr, arguments: &[&str]) -> String {
    let output = Command::new(find("dig").unwrap())
        .args(["-p", &address.port().to_string()])
        .arg(format!("@{}", address.ip()))
        .args(["+tries=1", "+timeout=5", "a.test", "A"])
        .args(arguments)
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// The cookie that dig got, which it finds `good` if it has its own client cookie.
fn good_cookie(text: &str) -> String {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("; COOKIE: "));
    let cookie = line.and_then(|line| line.strip_suffix(" (good)"));
    cookie.unwrap_or_else(|| panic!("{text}")).to_owned()
}

#[test]
fn dig_and_kdig_get_cookies_that_are_valid_when_they_come_back() {
    if !are_installed(&[], &["dig", "kdig"]) {
        return;
    }
    let world = World::new(1);
    let address = world.address();
    let counted = |result: &str| {
        let series = format!("dotgate_client_cookies_total{{result=\"{result}\"}}");
        world.metric(&series)
    };
    let cookie = good_cookie(&dig(address, &["+cookie"]));
    assert_eq!((cookie.len(), &cookie[16..18]), (48, "01"), "{cookie}");
    // It is recent, and so comes back as it is.
    let again = good_cookie(&dig(address, &[&format!("+cookie={cookie}")]));
    assert_eq!((again, counted("valid")), (cookie, Some(1.0)));
    let malformed = dig(address, &["+ednsopt=10:aabb", "+nocookie"]);
    assert!(malformed.contains("FORMERR"), "{malformed}");
    let over_tcp = good_cookie(&dig(address, &["+tcp", "+cookie"]));
    assert_eq!(over_tcp.len(), 48);
    let output = Command::new(find("kdig").unwrap())
        .args(["-p", &address.port().to_string()])
        .arg(format!("@{}", address.ip()))
        .args(["+cookie", "a.test", "A"])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains("COOKIE") && text.contains("status: NOERROR"),
        "{text}"
    );
    assert_eq!(counted("client_only"), Some(3.0));
    assert_eq!(counted("invalid"), Some(0.0));
}

fn counted(program: &Program, result: &str) -> usize {
    let series = format!("dotgate_client_cookies_total{{result=\"{result}\"}}");
    crate::world::http::metric(program.admin(), &series) as usize
}

#[test]
fn cookies_outlive_a_reload_and_the_process_that_made_them() {
    if !are_installed(&[], &["dig"]) {
        return;
    }
    let house = House::new();
    let old = house.serve("0", &[]);
    let address = old.address();
    let cookie = good_cookie(&dig(address, &["+cookie"]));
    let (port, file) = (address.port().to_string(), house.path("cookies"));
    std::fs::write(&file, "e5e973e5a6b2a43f48e7dc849e37bfcf\n").unwrap();
    let shared = [("DOTGATE_SERVER_COOKIE_SECRET_FILE", file.to_str().unwrap())];
    let next = house.serve(&port, &shared);
    old.wait_for_line("another process serves");
    let returning = format!("+cookie={cookie}");
    // A cookie of another secret is valid still, but is replaced.
    let renewed = good_cookie(&dig(address, &[&returning]));
    assert_ne!(renewed, cookie);
    assert_eq!(counted(&next, "valid"), 1);
    std::fs::write(&file, "445536bcd2513298075a5d379663c962\n").unwrap();
    reload(&next);
    dig(address, &[&format!("+cookie={renewed}")]);
    assert_eq!(counted(&next, "valid"), 2);
    // That of the first process is two secrets old by now.
    dig(address, &[&returning]);
    assert_eq!(counted(&next, "invalid"), 1);
    std::fs::write(&file, "nothing\n").unwrap();
    next.signal("HUP");
    next.wait_for_line("expected 1 to 8 lines of 32 hexadecimal digits");
}
