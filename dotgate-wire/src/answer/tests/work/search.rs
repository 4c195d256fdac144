//! A search for messages that cost more than those we know: changes that cost more steps for each byte are built upon.

use super::*;

/// Messages tried in each of the searches, which begin with different random numbers.
const TRIES: usize = 400;
const SEARCHES: u64 = 4;

/// Records that a message is made of, again and again until it has [`MESSAGE_LEN`] bytes.
const RECORDS_FEWEST: usize = 3;
const RECORDS_MOST: usize = 40;
const MESSAGE_LEN: usize = 24_000;

/// Random numbers (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize % end
    }
}

/// How a name is written.
#[derive(Clone, Copy, Debug)]
struct NameForm {
    /// Its own labels, all of one length.
    labels: u8,
    label_length: u8,
    /// Where the pointer behind them leads: as a share of the message so far, in 1/256; the root if odd and small.
    target: u8,
    /// Leads to a place where a name was written, rather than anywhere.
    to_name: bool,
}

/// One record of a message.
#[derive(Clone, Copy, Debug)]
struct RecordForm {
    owner: NameForm,
    kind: u8,
    names: [NameForm; 2],
    opaque: u8,
}

fn name_form(random: &mut Random) -> NameForm {
    NameForm {
        labels: [0, 0, 0, 1, 2, 5, 100][random.below(7)],
        label_length: [1, 1, 2, 30, 63][random.below(5)],
        target: random.below(256) as u8,
        to_name: random.below(4) > 0,
    }
}

fn record_form(random: &mut Random) -> RecordForm {
    RecordForm {
        owner: name_form(random),
        kind: random.below(9) as u8,
        names: [name_form(random), name_form(random)],
        opaque: random.below(256) as u8,
    }
}

/// Writes a name at the end of a message; `places` are those where names were written.
fn put_name(out: &mut Vec<u8>, places: &mut Vec<usize>, form: NameForm) {
    let start = out.len();
    for number in 0..form.labels {
        out.push(form.label_length);
        out.extend(std::iter::repeat_n(
            b'a' + number % 2,
            form.label_length.into(),
        ));
        if out.len() - start > 200 {
            break;
        }
    }
    let share = |whole: usize| whole * usize::from(form.target) / 256;
    let target = if form.to_name {
        places
            .get(share(places.len()))
            .copied()
            .unwrap_or(HEADER_LEN)
    } else {
        HEADER_LEN + share(start - HEADER_LEN)
    };
    if target < start && target < 0x4000 {
        out.extend(pointer(target));
    } else {
        out.push(0);
    }
    places.push(start);
    if form.labels > 0 {
        places.push(start + 1 + usize::from(form.label_length));
    }
}

/// Makes a message of these records.
fn made(forms: &[RecordForm]) -> Vec<u8> {
    let question = [&b"\x01a".repeat(60)[..], b"\0\0\x01\0\x01"].concat();
    let mut out = [header(RESPONSE, [1, 0, 0, 0]), question].concat();
    let mut places: Vec<usize> = (0..60).map(|label| HEADER_LEN + 2 * label).collect();
    let mut counts = [0_u16; 3];
    for form in forms.iter().cycle().take(MESSAGE_LEN / 11) {
        if out.len() > MESSAGE_LEN {
            break;
        }
        let rtype = [
            rtype::A,
            rtype::NS,
            rtype::CNAME,
            rtype::DNAME,
            rtype::RP,
            rtype::SOA,
            rtype::NULL,
            rtype::OPT,
            rtype::NSEC,
        ][usize::from(form.kind)];
        if rtype == rtype::OPT && counts[2] > 0 {
            continue;
        }
        let section = usize::from(rtype == rtype::OPT || counts[2] > 0) * 2;
        counts[section] += 1;
        if rtype == rtype::OPT {
            out.push(0);
        } else {
            put_name(&mut out, &mut places, form.owner);
        }
        out.extend(rtype.to_be_bytes());
        out.extend([0, 1, 0, 0, 0, form.opaque, 0, 0]);
        let rdata_at = out.len();
        match rtype {
            rtype::NS | rtype::CNAME | rtype::DNAME => {
                put_name(&mut out, &mut places, form.names[0]);
            }
            rtype::RP | rtype::SOA => {
                put_name(&mut out, &mut places, form.names[0]);
                put_name(&mut out, &mut places, form.names[1]);
            }
            rtype::NULL => out.extend([&b"\x01a".repeat(form.opaque.into())[..], b"\0"].concat()),
            rtype::OPT => {}
            _ => out.extend([0; 4]),
        }
        if rtype == rtype::SOA {
            out.extend([0; 20]);
        }
        let rdlength = u16::try_from(out.len() - rdata_at).unwrap();
        out[rdata_at - 2..rdata_at].copy_from_slice(&rdlength.to_be_bytes());
    }
    for (count, at) in counts.iter().zip([6, 8, 10]) {
        out[at..at + 2].copy_from_slice(&count.to_be_bytes());
    }
    out
}

/// Changes some records, or repeats a run of them.
fn changed(forms: &[RecordForm], random: &mut Random) -> Vec<RecordForm> {
    let mut forms = forms.to_vec();
    for _ in 0..1 + random.below(4) {
        let at = random.below(forms.len());
        match random.below(6) {
            0 => forms[at] = record_form(random),
            1 => forms[at].owner = name_form(random),
            2 => forms[at].names[0] = name_form(random),
            3 => forms[at].kind = random.below(9) as u8,
            4 => {
                let end = (at + 1 + random.below(20)).min(forms.len());
                let run = forms[at..end].to_vec();
                forms.splice(at..at, run);
            }
            _ => {
                forms.remove(at);
            }
        }
        forms.truncate(RECORDS_MOST);
        while forms.len() < RECORDS_FEWEST {
            forms.push(record_form(random));
        }
    }
    forms
}

#[test]
fn no_message_is_found_that_costs_more_steps_than_are_allowed() {
    let mut answer = UpstreamResponse::new();
    let (mut accepted, mut most) = (0, 0);
    for seed in 1..=SEARCHES {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut best: Vec<RecordForm> = (0..RECORDS_FEWEST)
            .map(|_| record_form(&mut random))
            .collect();
        let mut best_steps = 0;
        for _ in 0..TRIES {
            let forms = changed(&best, &mut random);
            let message = made(&forms);
            let mut is_accepted = false;
            let steps = steps::taken_by(|| is_accepted = answer.load(&message).is_ok());
            assert!(
                steps <= steps_allowed(message.len()),
                "{steps} steps for {} bytes, search {seed}: {message:02x?}",
                message.len()
            );
            accepted += usize::from(is_accepted);
            if steps >= best_steps {
                (best, best_steps) = (forms, steps);
            }
        }
        most = best_steps.max(most);
    }
    // Searches among messages that are refused at once, or that cost little, would find nothing.
    assert!(
        accepted > TRIES / 10 && most > 3 * MESSAGE_LEN,
        "{accepted} loaded, {most} steps"
    );
}
