use super::*;

#[test]
fn every_role_is_read_as_it_is_written() {
    let [v4, v6] = ["192.0.2.1:53", "[fe80::1%2]:53"].map(|text| text.parse().unwrap());
    for role in [
        Role::Udp(v4),
        Role::Tcp(v6),
        Role::Admin(v4),
        Role::TakeOver,
    ] {
        assert_eq!(role.to_string().parse(), Ok(role));
    }
    for line in [
        "",
        "udp",
        "udp 192.0.2.1",
        "quic 192.0.2.1:53",
        "take-over 1",
    ] {
        assert_eq!(line.parse::<Role>(), Err(NoRole), "{line}");
    }
}

#[test]
fn every_refusal_is_recognized_and_anything_else_is_no_response() {
    for refusal in Refusal::ALL {
        assert_eq!(Refusal::of_line(refusal.line()), refusal);
    }
    assert_eq!(Refusal::of_line("HTTP/1.1 400"), Refusal::NoResponse);
}

#[test]
fn lines_are_cut_where_they_end_and_have_a_bound() {
    let mut received = b"one\n\ntwo\nthr".to_vec();
    let lines: Vec<_> = std::iter::from_fn(|| next_line(&mut received).unwrap()).collect();
    assert_eq!(
        (lines, received),
        (
            vec!["one".to_owned(), String::new(), "two".to_owned()],
            b"thr".to_vec()
        )
    );
    assert!(next_line(&mut vec![b'x'; LINE_MAX + 1]).is_err());
    assert!(next_line(&mut b"\xff\n".to_vec()).is_err());
}
