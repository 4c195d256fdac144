use std::collections::BTreeSet;

use dotgate_wire::{NameCase, Question};
use proptest::prelude::*;

use super::*;
use crate::keys::UpstreamId;

const START: Moment = Moment::from_nanos(1_000_000_000);

/// A session with its model: which IDs may still be answered, which never again.
struct Model {
    session: Session,
    random: Random,
    question: Question,
    in_flight: BTreeSet<u16>,
    retired: BTreeSet<u16>,
}

impl Model {
    fn new(seed: u8) -> Model {
        let mut session = Session::new(UpstreamId(0), Purpose::Shared, true, START);
        session.on_open(START);
        Model {
            session,
            random: Random::new([seed; 32]),
            question: Question::root(dotgate_wire::rtype::NS),
            in_flight: BTreeSet::new(),
            retired: BTreeSet::new(),
        }
    }

    /// Sends one query; tells whether its ID was free.
    fn send(&mut self) -> bool {
        let query = UpstreamQuery {
            id: 0,
            question: &self.question,
            dnssec_ok: false,
            checking_disabled: false,
            edns: true,
            pads: true,
            name_case: NameCase::LOWER,
            asks_keepalive: false,
        };
        let owner = QueryOwner::Exchange(ExchangeKey::default());
        let id = self.session.send(owner, query, &mut self.random, START);
        self.session.outgoing.clear();
        self.in_flight.insert(id) && !self.retired.contains(&id)
    }

    /// The ID in flight at this place, counted round.
    fn pick(&self, place: usize) -> Option<u16> {
        let count = self.in_flight.len().max(1);
        self.in_flight.iter().nth(place % count).copied()
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Send,
    Answer(usize),
    GiveUp(usize),
    AnswerLate(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => Just(Step::Send),
        1 => any::<usize>().prop_map(Step::Answer),
        1 => any::<usize>().prop_map(Step::GiveUp),
        1 => any::<usize>().prop_map(Step::AnswerLate),
    ];
    proptest::collection::vec(step, 1..300)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    /// With nearly half of all IDs taken, every second draw hits one that is.
    #[test]
    fn an_id_in_use_or_given_up_is_never_given_out_again(
        seed in any::<u8>(),
        taken in 0..31_000_usize,
        steps in steps(),
    ) {
        let mut model = Model::new(seed);
        for _ in 0..taken {
            prop_assert!(model.send());
        }
        for step in steps {
            match step {
                Step::Send => {
                    prop_assert!(model.session.takes_queries());
                    prop_assert!(model.send());
                }
                Step::Answer(place) => {
                    if let Some(id) = model.pick(place) {
                        model.session.on_response(id, START);
                        model.in_flight.remove(&id);
                        prop_assert_eq!(model.session.owner(id), None, "free again");
                    }
                }
                Step::GiveUp(place) => {
                    if let Some(id) = model.pick(place) {
                        model.session.retire(id, 7, START);
                        model.in_flight.remove(&id);
                        model.retired.insert(id);
                    }
                }
                Step::AnswerLate(place) => {
                    let count = model.retired.len().max(1);
                    if let Some(id) = model.retired.iter().nth(place % count).copied() {
                        model.session.on_late_response(id);
                        model.retired.remove(&id);
                        prop_assert_eq!(model.session.owner(id), None, "free again");
                    }
                }
            }
            prop_assert_eq!(model.session.in_flight() as usize, model.in_flight.len());
        }
        for id in model.retired {
            prop_assert_eq!(model.session.owner(id), Some(QueryOwner::Retired(7)));
        }
    }
}

#[test]
fn half_of_all_ids_are_given_out_at_most_and_each_once() {
    let mut model = Model::new(7);
    while model.session.takes_queries() {
        assert!(model.send());
    }
    assert_eq!(model.in_flight.len(), 32_768);
    let id = model.pick(0).unwrap();
    model.session.on_response(id, START);
    assert!(model.session.takes_queries());
}

#[test]
fn ids_use_all_sixteen_bits_and_follow_no_sequence() {
    let mut model = Model::new(7);
    let mut ids = Vec::new();
    for _ in 0..256 {
        let before = model.in_flight.clone();
        assert!(model.send());
        ids.extend(model.in_flight.difference(&before));
    }
    assert_eq!(ids.iter().fold(0, |bits, id| bits | id), u16::MAX);
    assert_eq!(ids.iter().fold(u16::MAX, |bits, id| bits & id), 0);
    let steps: BTreeSet<u16> = ids
        .windows(2)
        .map(|pair| pair[1].wrapping_sub(pair[0]))
        .collect();
    assert!(steps.len() > 240, "{} different steps", steps.len());
}

#[test]
fn a_session_with_4096_ids_given_up_drains() {
    let mut model = Model::new(7);
    for n in 0..limits::SESSION_RETIRED_IDS {
        assert!(model.session.takes_queries(), "{n}");
        assert!(model.send());
        let id = model.pick(0).unwrap();
        model.session.retire(id, 7, START);
        model.in_flight.remove(&id);
        model.retired.insert(id);
    }
    assert!(!model.session.takes_queries());
    assert_eq!(model.session.poll_timeout(START), Some(Timeout::Idle));
}
