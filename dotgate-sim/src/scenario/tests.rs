use super::*;

const HEAD: &str = "It shows something.\nfault: one\nupstream a:\n";

/// What is said about a scenario with this line after its head.
fn mistake(line: &str) -> String {
    let text = format!("{HEAD}{line}\nCHECK_SESSIONS 0\n");
    match Scenario::read("x.scenario", &text) {
        Ok(_) => format!("nothing about {line}"),
        Err(mistake) => mistake.to_string(),
    }
}

/// What fails in a scenario with these steps.
fn failures(steps: &str) -> Vec<String> {
    let scenario = Scenario::read("x.scenario", &format!("{HEAD}{steps}")).unwrap();
    run(&scenario, 1, false).failures
}

#[test]
fn an_invalid_line_is_reported_with_its_position_and_what_is_expected() {
    let rows = [
        (
            "TIME_PASES 1s",
            "QUERY, LOAD, TIME_PASSES, SUSPEND, STALL, START, RELOAD, PORTAL, UPSTREAM, REPLY, CLIENT, RESET_COUNTS or a CHECK_..., found \"TIME_PASES\"",
        ),
        (
            "TIME_PASSES 1",
            "a time such as 2ms, or a range such as 1ms..3ms, found \"1\"",
        ),
        (
            "TIME_PASSES 3s..1s",
            "a time such as 2ms, or a range such as 1ms..3ms, found \"3s..1s\"",
        ),
        ("TIME_PASSES 1s 2s", "nothing more, found \"2s\""),
        (
            "QUERY",
            "a name, or the beginning of names such as slow* at its end",
        ),
        ("QUERY 3 name*", "names, found \"name*\""),
        (
            "QUERY a.example BY carol",
            "a client that a line before CONNECTS, found \"carol\"",
        ),
        (
            "QUERY a.example AT_WORKER 2",
            "the number of a worker, found \"2\"",
        ),
        (
            "LOAD 50 unique names for 1s",
            "a rate such as 50/s, found \"50\"",
        ),
        ("LOAD 50/s unique names", "for at its end"),
        (
            "UPSTREAM b CLOSES",
            "the name of an upstream of the head, found \"b\"",
        ),
        (
            "UPSTREAM a FAILS tls: certificate old",
            "a cause in the words of an EDE, such as \"tls: certificate expired\", found \"tls: certificate old\"",
        ),
        (
            "UPSTREAM a CLOSES BEFORE x*",
            "INSTEAD_OF_ANSWERING, AMID_ANSWERING, AFTER_ANSWERING or nothing more, found \"BEFORE\"",
        ),
        (
            "UPSTREAM a CLOSES AFTER 0 ANSWERS",
            "a number from 1, found \"0\"",
        ),
        (
            "UPSTREAM a MISLEADS x* WITH 3 lies",
            "frames of garbage, found \"lies\"",
        ),
        (
            "UPSTREAM a ANSWERS x* WITH LIES",
            "NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED or BADCOOKIE, found \"LIES\"",
        ),
        (
            "CHECK_LONGEST_WAIT <= 3",
            "a time such as 300ms or 1.5s, found \"3\"",
        ),
        (
            "CHECK_COUNT responses_lost 1",
            "the name of a counter, found \"responses_lost\"",
        ),
        ("CHECK_SESSIONS OF x* 1", "a number, found \"OF\""),
        (
            "setting deadline: 4s",
            "strategy:, hedge:, query_deadline:, session_age_max:, queries_max:, queries_per_client_max:, streams_max:, streams_per_client_max:, stream_queries_max:, stream_queries_total:, stream_age_max:, stream_idle:, client_memory:, rate_queries:, rate_responses:, rate_slip:, rate_connections:, rate_handshakes:, cookies:, or one of the cache: ttl_min:, ttl_max:, negative_ttl_max:, failure_ttl_max:, stale_max:, stale_after:, prefetch:, nxdomain_all_types: or except:, found \"deadline:\"",
        ),
        (
            "upstream a:",
            "another name: this one is taken, found \"a\"",
        ),
        (
            "faults: two",
            "fault:, upstream NAME:, setting NAME:, cache:, workers:, seed: or seeds:, found \"faults:\"",
        ),
    ];
    for (line, expected) in rows {
        assert_eq!(
            mistake(line),
            format!("x.scenario, line 4: expected {expected}")
        );
    }
}

#[test]
fn a_scenario_says_what_it_shows_who_is_there_and_checks_something() {
    let rows = [
        (
            "no sentence",
            1,
            "a sentence that says what the scenario shows",
        ),
        (
            "A sentence.\nQUERY a.example",
            2,
            "a line \"fault: ...\" before the first step",
        ),
        (
            "A sentence.\nfault: x\nQUERY a.example",
            3,
            "a line \"upstream NAME:\" before the first step",
        ),
        (
            "A sentence.\nfault: x\nupstream a:\nQUERY a.example",
            4,
            "a CHECK_... after what happens",
        ),
        (
            "A sentence.\nfault: x\nupstream a:\nQUERY a.example\nfault: y",
            5,
            "a step, which begins with a word in capitals",
        ),
    ];
    for (text, line, expected) in rows {
        let mistake = Scenario::read("x.scenario", text).unwrap_err();
        assert_eq!(
            (mistake.line, mistake.expected),
            (line, expected),
            "{mistake}"
        );
    }
}

#[test]
fn what_is_not_so_is_found_with_its_line_and_what_is_so_instead() {
    let rows = [
        ("CHECK_LOST 1", "line 6: lost: wanted 1, seen 0"),
        (
            "CHECK_ANSWERED >= 2",
            "line 6: answered: wanted ≥ 2, seen 1",
        ),
        ("CHECK_WAITING 1", "line 6: waiting: wanted 1, seen 0"),
        (
            "CHECK_ATTEMPTS OF b* 1",
            "line 6: attempts of `b*`: wanted 1, seen 0",
        ),
        (
            "CHECK_CONNECTS AT a 2",
            "line 6: connects at a: wanted 2, seen 1",
        ),
        ("CHECK_HANDSHAKES 0", "line 6: handshakes: wanted 0, seen 1"),
        ("CHECK_SESSIONS 0", "line 6: sessions: wanted 0, seen 1"),
        (
            "CHECK_COUNT datagrams 0",
            "line 6: `datagrams`: wanted 0, seen 1",
        ),
        (
            "CHECK_LOST OF b* 0",
            "line 6: lost of `b*`: there is nothing to measure",
        ),
        (
            "CHECK_LONGEST_WAIT <= 1ms",
            "line 6: longest wait: wanted ≤ 1 ms, seen 4 ms",
        ),
        (
            "CHECK_ANSWER a.example SERVFAIL",
            "line 6: a.example. 1 was answered NOERROR None",
        ),
        (
            "CHECK_ANSWER a.example NOERROR TC",
            "line 6: a.example. 1 was answered with TC=0",
        ),
        (
            "CHECK_ANSWER a.example NOERROR EDE 22",
            "line 6: a.example. 1 was answered with EDE None",
        ),
        (
            "CHECK_ANSWER b.example NOERROR",
            "line 6: nobody has asked for b.example",
        ),
        (
            "CHECK_NO_ANSWER b.example",
            "line 6: nobody has asked for b.example",
        ),
        (
            "CHECK_OUT_QUERY a b.example",
            "line 6: the upstream was not asked for b.example",
        ),
        (
            "CHECK_ANSWER a.example NOERROR TTL 299",
            "line 6: a.example. 1 was answered with TTL Some(300)",
        ),
        (
            "CHECK_ANSWER a.example NOERROR VERSION 1",
            "line 6: a.example. 1 was answered with the data [[b0, cd, d7, 22]]",
        ),
        ("CHECK_UPSTREAM a down", "line 6: the upstream is Healthy"),
        (
            "REPLY a a.example",
            "line 6: the upstream holds no query for a.example",
        ),
    ];
    for (check, expected) in rows {
        let steps = format!("QUERY a.example\nTIME_PASSES 1s\n{check}\nCHECK_LOST 0\n");
        assert_eq!(failures(&steps), [expected], "{check}");
    }
}

#[test]
fn reset_counts_forgets_what_was_before() {
    let steps = "\
        QUERY a.example\n\
        TIME_PASSES 1s\n\
        RESET_COUNTS later\n\
        CHECK_ATTEMPTS 0\n\
        CHECK_HANDSHAKES 0\n\
        CHECK_COUNT datagrams 0\n\
        QUERY b.example\n\
        TIME_PASSES 1s\n\
        CHECK_ANSWERED 1\n";
    assert_eq!(failures(steps), [""; 0]);
}

#[test]
fn an_upstream_ends_a_connection_behind_as_many_answers_as_it_gives() {
    for end in ["CLOSES", "RESETS"] {
        let steps = format!(
            "UPSTREAM a {end} AFTER 3 ANSWERS\n\
             LOAD 10/s unique names for 1s\n\
             TIME_PASSES 2s\n\
             CHECK_LOST 0\n\
             CHECK_ATTEMPTS 10\n\
             CHECK_HANDSHAKES 4\n\
             CHECK_DOWN_EVENTS 0\n"
        );
        assert_eq!(failures(&steps), [""; 0], "{end}");
    }
}

#[test]
fn an_upstream_that_serves_one_query_at_a_time_lets_others_wait_on_the_same_connection() {
    let text = "It shows something.\nfault: one\nupstream a: one query at a time, answers in 2ms\n\
        UPSTREAM a ANSWERS slow* AFTER 100ms\n\
        QUERY slow.example\n\
        TIME_PASSES 5ms\n\
        QUERY 5 names busy*\n\
        TIME_PASSES 50ms\n\
        CHECK_WAITING 6\n\
        TIME_PASSES 1s\n\
        CHECK_LOST 0\n\
        CHECK_LONGEST_WAIT OF slow.example <= 108ms\n\
        CHECK_LONGEST_WAIT OF busy* >= 108ms\n\
        CHECK_LONGEST_WAIT OF busy* <= 115ms\n";
    let scenario = Scenario::read("x.scenario", text).unwrap();
    assert_eq!(run(&scenario, 1, false).failures, [""; 0]);
}

#[test]
fn a_connection_that_went_unresponsive_at_a_name_answers_nothing_more() {
    let steps = "\
        UPSTREAM a GOES_UNRESPONSIVE_AT stuck* 1 TIMES\n\
        QUERY before.example\n\
        TIME_PASSES 100ms\n\
        CHECK_WAITING 0\n\
        QUERY stuck.example\n\
        TIME_PASSES 20ms\n\
        QUERY 5 names behind*\n\
        TIME_PASSES 100ms\n\
        CHECK_WAITING OF behind* 5\n\
        CHECK_HANDSHAKES 1\n\
        TIME_PASSES 10s\n\
        CHECK_HANDSHAKES <= 10\n\
        CHECK_LOST 0\n";
    assert_eq!(failures(steps), [""; 0]);
}

#[test]
fn an_upstream_sends_as_many_wrong_ids_and_errors_as_late_as_a_scenario_says() {
    let steps = "\
        UPSTREAM a MISLEADS id* WITH 60 wrong ids THEN_ANSWERS AFTER 10ms\n\
        UPSTREAM a ANSWERS broken* WITH SERVFAIL AFTER 700ms\n\
        QUERY id.example\n\
        TIME_PASSES 1s\n\
        CHECK_LOST 0\n\
        CHECK_COUNT responses_invalid = 60\n\
        RESET_COUNTS late\n\
        QUERY broken.example\n\
        TIME_PASSES 699ms\n\
        CHECK_WAITING 1\n\
        TIME_PASSES 10ms\n\
        CHECK_WAITING 0\n\
        CHECK_LOST 1\n";
    assert_eq!(failures(steps), [""; 0]);
}

#[test]
fn waits_of_nine_queries_in_ten_and_stale_answers_are_figures() {
    let text = "It shows something.\nfault: one\nupstream a:\ncache: 100000\n\
        UPSTREAM a ANSWERS *\n\
        UPSTREAM a ANSWERS short* WITH TTL 1\n\
        UPSTREAM a ANSWERS slow* AFTER 100ms\n\
        QUERY 18 names busy*\n\
        QUERY 2 names slow*\n\
        QUERY short.example\n\
        TIME_PASSES 1.5s\n\
        CHECK_USUAL_WAIT <= 10ms\n\
        CHECK_LONGEST_WAIT >= 100ms\n\
        CHECK_STALE 0\n\
        UPSTREAM a ANSWERS short* WITH SERVFAIL\n\
        QUERY short.example\n\
        TIME_PASSES 1s\n\
        CHECK_STALE 1\n\
        CHECK_STALE OF busy* 0\n\
        RESET_COUNTS in an outage\n\
        UPSTREAM a DIES\n\
        QUERY late.example\n\
        TIME_PASSES 5s\n\
        CHECK_USUAL_WAIT >= 3s\n";
    let scenario = Scenario::read("x.scenario", text).unwrap();
    assert_eq!(run(&scenario, 1, false).failures, [""; 0]);
}

#[test]
fn events_that_an_upstream_is_down_are_counted() {
    let text = "It shows something.\nfault: one\nupstream a:\nupstream b:\n\
        UPSTREAM a REFUSES\n\
        LOAD 20/s unique names for 1s\n\
        TIME_PASSES 2s\n\
        CHECK_DOWN_EVENTS 1\n\
        CHECK_DOWN_EVENTS AT a = 1\n\
        CHECK_DOWN_EVENTS AT b = 0\n";
    let scenario = Scenario::read("x.scenario", text).unwrap();
    assert_eq!(run(&scenario, 1, false).failures, [""; 0]);
}
