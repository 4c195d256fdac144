//! `dotgate query` of upstreams that answer with errors.

use dotgate_testbed::certificates::TestAuthority;

use crate::world::program::{authority_file, command};
use crate::world::together;
use crate::world::upstream::{Form, Step, Upstream};

#[test]
fn an_error_of_the_upstream_is_said_to_be_its_answer() {
    let _processors = together();
    let authority = TestAuthority::new().unwrap();
    let upstream = Upstream::start(&authority);
    let file = authority_file(&authority);
    for (form, rcode) in [
        (Form::ServerFailure, "SERVFAIL"),
        (Form::Prohibited, "REFUSED"),
    ] {
        upstream.script(|script| script.all = vec![Step::Send(form)]);
        let written = upstream.written();
        let output = command(&[])
            .env("DOTGATE_TLS_CA_FILE", file.path())
            .args(["query", "a.test", "--upstream", &written])
            .output()
            .unwrap();
        let (shown, complaints) = (output.stdout, output.stderr);
        let complaints = String::from_utf8(complaints).unwrap();
        let expected =
            format!("dotgate query: the upstream {written} answered {rcode}, no records");
        assert!(complaints.starts_with(&expected), "{complaints}");
        assert_eq!(output.status.code(), Some(1));
        let server = format!(";; SERVER: {written} (DNS over TLS)\n");
        assert!(String::from_utf8(shown).unwrap().contains(&server));
    }
}
