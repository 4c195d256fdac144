//! The rules every forwarder keeps: IDs, questions, flags, matching, names that are never forwarded.

use super::lab::{Lab, MS, SECOND, query, query_with_edns};
use super::message::{Message, QR, RA, RD, error_with_ede};

#[test]
fn an_error_without_a_question_reaches_the_client_with_its_own_question() {
    let mut lab = Lab::opened(1);
    lab.send(&query_with_edns(7, "Blocked.example"));
    let asked = lab.next_asked();
    let mut bare = error_with_ede(&asked.message[..], 5, 17, "family filter");
    bare.drain(12..12 + 21);
    bare[5] = 0;
    lab.respond(asked.session, &bare);
    let told = Message::read(&lab.responses[0]);
    assert_eq!((told.id, told.flags), (7, QR | RD | RA | 5));
    assert_eq!(told.question, query(7, "Blocked.example")[12..]);
    assert_eq!(told.ede(), Some((17, "from up0: family filter".to_owned())));
}

#[test]
fn an_attempt_beside_on_the_same_session_leaves_nothing_in_flight() {
    let mut lab = Lab::opened(1);
    lab.ask("stuck.example");
    let stuck = lab.next_asked();
    for n in 0..30 {
        lab.pass(50 * MS);
        lab.ask(&format!("n{n}.example"));
        while let Some(place) = lab.asked.iter().position(|asked| asked.message[13] == b'n') {
            let asked = lab.asked.remove(place);
            lab.answer(&asked);
        }
    }
    let beside = lab.next_asked();
    assert_eq!((beside.session, beside.message[13]), (stuck.session, b's'));
    lab.answer(&beside);
    assert_eq!(lab.rcodes(), [0; 31]);
    lab.answer(&stuck);
    assert_eq!(lab.responses.len(), 31);
    assert_eq!(
        lab.count(crate::Count::ResponsesLate),
        1,
        "known, but too late"
    );
    lab.pass(8 * SECOND);
    assert_eq!(
        lab.closed,
        [stuck.session],
        "idle, so nothing is in flight on it"
    );
}
