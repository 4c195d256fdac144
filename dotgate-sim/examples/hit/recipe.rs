//! Messages made of a few bytes, so that a search can change them and the worst can be stored.
//!
//! A recipe is a list of steps of [`STEP`] bytes, each of which adds one record; it is repeated until the message is full.
//! Any bytes are a recipe. What they make is well formed as far as its records go: what they contain may be wrong.

use dotgate_sim::message::question;

/// Bytes of one step: section and TTL, type, owner, two names or what stands in their place.
pub(crate) const STEP: usize = 8;

/// Where the question's name stands in a message.
const QNAME: usize = 12;

/// Compression pointers reach no further.
const POINTERS_END: usize = 0x4000;

const OPT: u16 = 41;

/// Types with a different layout of RDATA, or a rule of their own.
const TYPES: [u16; 20] = [
    1, 2, 5, 6, 10, 12, 15, 16, 17, 24, 26, 28, 33, 35, 39, OPT, 46, 47, 65, 1_000,
];

/// Makes messages of recipes.
pub(crate) struct Cook<'r> {
    recipe: &'r [u8],
    at: usize,
    out: Vec<u8>,
    /// Where names and labels stand.
    places: Vec<usize>,
    counts: [u16; 3],
    section: usize,
    has_opt: bool,
}

impl<'r> Cook<'r> {
    /// The response to this query, of at most so many bytes.
    pub(crate) fn response(recipe: &'r [u8], query: &[u8], most: usize) -> Vec<u8> {
        let id = query.get(..2).unwrap_or_default();
        let flags: &[u8] = &[0x81, 0x80];
        Cook::message(recipe, &[id, flags].concat(), question(query), most)
    }

    /// A query with the question of this one, of at most so many bytes.
    pub(crate) fn query(recipe: &'r [u8], query: &[u8], most: usize) -> Vec<u8> {
        let id = query.get(..2).unwrap_or_default();
        Cook::message(recipe, &[id, &[0x01, 0]].concat(), question(query), most)
    }

    fn message(recipe: &'r [u8], start: &[u8], question: &[u8], most: usize) -> Vec<u8> {
        let mut cook = Cook {
            recipe,
            at: 0,
            out: [start, &[0, 1, 0, 0, 0, 0, 0, 0], question].concat(),
            places: (QNAME..QNAME + question.len().saturating_sub(5))
                .step_by(2)
                .collect(),
            counts: [0; 3],
            section: 0,
            has_opt: false,
        };
        // A recipe may make records that are left out, so its steps are counted.
        for _ in 0..most / 11 {
            let before = cook.out.len();
            let placed = cook.places.len();
            let added = cook.add_record();
            if cook.out.len() > most {
                cook.out.truncate(before);
                cook.places.truncate(placed);
                break;
            }
            if let Some(section) = added {
                cook.counts[section] += 1;
            }
        }
        for (count, at) in cook.counts.iter().zip([6, 8, 10]) {
            cook.out[at..at + 2].copy_from_slice(&count.to_be_bytes());
        }
        cook.out
    }

    fn next(&mut self) -> usize {
        let byte = self.recipe.get(self.at % self.recipe.len().max(1));
        self.at += 1;
        usize::from(byte.copied().unwrap_or(0))
    }

    /// Adds the record of the next step. Returns its section, or none if it may not stand here.
    fn add_record(&mut self) -> Option<usize> {
        let end = self.at + STEP;
        let [control, kind] = [self.next(), self.next()];
        if control % 32 == 31 {
            self.section = (self.section + 1).min(2);
        }
        let rtype = TYPES[kind % TYPES.len()];
        let is_opt = rtype == OPT;
        if is_opt && (self.section < 2 || std::mem::replace(&mut self.has_opt, true)) {
            self.at = end;
            return None;
        }
        if is_opt {
            self.out.push(0);
        } else {
            self.put_name();
        }
        self.out.extend(rtype.to_be_bytes());
        let ttl = if control & 32 == 0 {
            300
        } else {
            300 + self.at as u32
        };
        self.out.extend([0, 1]);
        self.out.extend(if is_opt { 0 } else { ttl }.to_be_bytes());
        let length_at = self.out.len();
        self.out.extend([0, 0]);
        self.put_rdata(rtype);
        let length = (self.out.len() - length_at - 2).min(usize::from(u16::MAX)) as u16;
        self.out[length_at..length_at + 2].copy_from_slice(&length.to_be_bytes());
        self.at = end;
        Some(self.section)
    }

    /// Two bytes of the recipe say what the name is.
    fn put_name(&mut self) {
        let [form, more] = [self.next(), self.next()];
        let start = self.out.len();
        let (labels, length) = match form % 8 {
            0 | 1 => (0, 0),
            2 => (1, 1),
            3 => (1 + more % 16, 1),
            4 => (100, 1),
            5 => (5, 2),
            6 => (7, 30),
            _ => (3, 63),
        };
        for number in 0..labels {
            if self.out.len() - start + length > 220 {
                break;
            }
            self.places.push(self.out.len());
            self.out.push(length as u8);
            let letter = b'a' + ((number + more) % 2) as u8;
            self.out.extend(std::iter::repeat_n(letter, length));
        }
        let target = match form / 8 % 4 {
            0 => QNAME,
            1 => self
                .places
                .get(more * self.places.len() / 256)
                .copied()
                .unwrap_or(QNAME),
            2 => QNAME + more * (start - QNAME) / 256,
            _ => self
                .places
                .iter()
                .rev()
                .nth(more % 16)
                .copied()
                .unwrap_or(QNAME),
        };
        if form == 0 || target >= start.min(POINTERS_END) {
            self.out.push(0);
        } else {
            self.places.push(self.out.len());
            self.out.extend((0xc000 | target as u16).to_be_bytes());
        }
    }

    fn put_rdata(&mut self, rtype: u16) {
        let (before, names, behind) = match rtype {
            1 => (4, 0, 0),
            28 => (16, 0, 0),
            2 | 5 | 12 | 39 => (0, 1, 0),
            6 => (0, 2, 20),
            15 => (2, 1, 0),
            17 => (0, 2, 0),
            26 => (2, 2, 0),
            33 => (6, 1, 0),
            35 => (7, 1, 0),
            24 | 46 => (18, 1, 64),
            47 => (0, 1, 8),
            OPT => return self.put_options(),
            _ => return self.put_opaque(),
        };
        self.out.extend(std::iter::repeat_n(0, before));
        for _ in 0..names {
            self.put_name();
        }
        self.out.extend(std::iter::repeat_n(0, behind));
    }

    /// Bytes that no rule of names holds for, with names in them that others may lead to.
    fn put_opaque(&mut self) {
        let [count, what] = [self.next(), self.next()];
        for number in 0..count {
            self.places.push(self.out.len());
            match what % 3 {
                0 => self.out.extend(b"\x01a"),
                1 => self.out.extend([&b"\x01a"[..], &self.back(2)].concat()),
                _ => self.out.extend(self.back(if number == 0 { 1 } else { 2 })),
            }
        }
        self.out.push(0);
    }

    /// A pointer to the place `number` places ago.
    fn back(&self, number: usize) -> [u8; 2] {
        let place = self.places.iter().rev().nth(number - 1);
        let place = place.copied().filter(|place| *place < POINTERS_END);
        (0xc000 | place.unwrap_or(QNAME) as u16).to_be_bytes()
    }

    /// Options of EDNS: extended errors, padding, and those that nobody knows.
    fn put_options(&mut self) {
        let [count, what] = [self.next(), self.next()];
        for _ in 0..count * 16 {
            let code = [15_u16, 12, 11, 10, 8, 65_001][what % 6];
            let text = [0, 2, 12, 40][what / 8 % 4];
            self.out.extend(code.to_be_bytes());
            self.out.extend((text as u16).to_be_bytes());
            self.out.extend(std::iter::repeat_n(7_u8, text));
        }
    }
}
