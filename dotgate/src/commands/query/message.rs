//! A response in the form that users of `dig` know.
//!
//! It is the last step of the output. Text from others is printed with its control characters
//! escaped, and what cannot be parsed is said to be so. It never judges. RFC 1035 section 5.1 (presentation
//! format), RFC 3597 (unknown types), RFC 8914 (Extended DNS Errors).

use std::fmt;
use std::io::{self, Write};
use std::time::Duration;

use domain::base::iana::{ExtendedErrorCode, OptionCode, Rtype};
use domain::base::message::RecordSection;
use domain::base::opt::{OptRecord, UnknownOptData};
use domain::base::zonefile_fmt::{DisplayKind, ZonefileFmt};
use domain::base::{Header, Message, ParsedName, ParsedRecord, ToName};
use domain::rdata::AllRecordData;
use dotgate_config::Escaped;

use super::client::{Response, Transport};

/// A time in milliseconds with one decimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Millis(pub Duration);

impl fmt::Display for Millis {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:.1} ms", self.0.as_secs_f64() * 1_000.0)
    }
}

/// Writes a response as `dig` does: header, EDNS, question, the three sections, and how it came.
///
/// # Errors
/// Those of writing to `out`.
pub fn write_response(out: &mut dyn Write, response: &Response) -> io::Result<()> {
    let transport = match response.transport {
        Transport::Udp => "UDP",
        Transport::Tcp => "TCP",
    };
    let (ip, port) = (response.server.ip(), response.server.port());
    write_response_of(out, response, &format!("{ip}#{port} ({transport})"))
}

/// Writes a response of this server.
///
/// # Errors
/// Those of writing to `out`.
pub(super) fn write_response_of(
    out: &mut dyn Write,
    response: &Response,
    server: &str,
) -> io::Result<()> {
    let message = &response.message;
    write_header(out, message)?;
    if let Some(opt) = message.opt() {
        write_opt(out, &opt)?;
    }
    writeln!(out, ";; QUESTION SECTION:")?;
    for question in message.question() {
        match question {
            Ok(question) => {
                let name = question.qname().fmt_with_dot().to_string();
                let (class, rtype) = (question.qclass(), question.qtype());
                writeln!(out, ";{}\t\t{class}\t{rtype}", Escaped(&name))?;
            }
            Err(_) => return writeln!(out, ";; the message cannot be parsed from here on"),
        }
    }
    let sections = [
        ("ANSWER", message.answer()),
        ("AUTHORITY", message.authority()),
        ("ADDITIONAL", message.additional()),
    ];
    for (title, section) in sections {
        match section {
            Ok(section) => write_section(out, title, section)?,
            Err(_) => writeln!(out, ";; {title} cannot be parsed")?,
        }
    }
    writeln!(out, "\n;; Query time: {}", Millis(response.took))?;
    writeln!(out, ";; SERVER: {server}")?;
    writeln!(out, ";; MSG SIZE rcvd: {}", message.as_slice().len())
}

/// Writes the data of the answer's records, a line each.
pub(super) fn write_short(out: &mut dyn Write, message: &Message<Vec<u8>>) -> io::Result<()> {
    if let Ok(answer) = message.answer() {
        for record in answer.map_while(Result::ok) {
            writeln!(out, "{}", data_text(&record))?;
        }
    }
    Ok(())
}

fn write_header(out: &mut dyn Write, message: &Message<Vec<u8>>) -> io::Result<()> {
    let (header, counts) = (message.header(), message.header_counts());
    let opcode = header.opcode().to_mnemonic_str().unwrap_or("RESERVED");
    let (status, id) = (message.opt_rcode(), header.id());
    writeln!(
        out,
        ";; ->>HEADER<<- opcode: {opcode}, status: {status}, id: {id}"
    )?;
    writeln!(
        out,
        ";; flags:{}; QUERY: {}, ANSWER: {}, AUTHORITY: {}, ADDITIONAL: {}\n",
        flags(header),
        counts.qdcount(),
        counts.ancount(),
        counts.nscount(),
        counts.arcount()
    )
}

/// The flags that are set, each after a space.
fn flags(header: Header) -> String {
    flag_names(header).map(|name| format!(" {name}")).collect()
}

/// The flags that are set.
pub(super) fn flag_names(header: Header) -> impl Iterator<Item = &'static str> {
    let flags = [
        (header.qr(), "qr"),
        (header.aa(), "aa"),
        (header.tc(), "tc"),
        (header.rd(), "rd"),
        (header.ra(), "ra"),
        (header.ad(), "ad"),
        (header.cd(), "cd"),
    ];
    let set = flags.into_iter().filter(|(is_set, _)| *is_set);
    set.map(|(_, name)| name)
}

fn write_opt(out: &mut dyn Write, opt: &OptRecord<&[u8]>) -> io::Result<()> {
    let dnssec_ok = if opt.dnssec_ok() { " do" } else { "" };
    let (version, size) = (opt.version(), opt.udp_payload_size());
    writeln!(out, ";; OPT PSEUDOSECTION:")?;
    writeln!(
        out,
        "; EDNS: version: {version}, flags:{dnssec_ok}; udp: {size}"
    )?;
    for option in opt.opt().iter::<UnknownOptData<_>>() {
        match option {
            Ok(option) => writeln!(out, "; {}", option_text(option.code(), option.data()))?,
            Err(_) => writeln!(out, "; an option cannot be parsed")?,
        }
    }
    writeln!(out)
}

fn option_text(code: OptionCode, data: &[u8]) -> String {
    match (code, data) {
        (OptionCode::EXTENDED_ERROR, [high, low, text @ ..]) => {
            let code = ExtendedErrorCode::from_int(u16::from_be_bytes([*high, *low]));
            let text = String::from_utf8_lossy(text);
            let name = code.to_mnemonic_str().unwrap_or("not assigned");
            format!("EDE: {} ({name}): {}", code.to_int(), Escaped(&text))
        }
        (OptionCode::TCP_KEEPALIVE, [high, low]) => {
            let tenths = u16::from_be_bytes([*high, *low]);
            format!("TCP KEEPALIVE: {}.{} s", tenths / 10, tenths % 10)
        }
        (OptionCode::PADDING, _) => format!("PADDING: {} bytes", data.len()),
        (code, _) => {
            let hex = data_encoding::HEXLOWER.encode(data);
            format!("OPT={}: {hex}", code.to_int())
        }
    }
}

/// Writes a section unless it is empty; the OPT record has been shown already.
fn write_section(
    out: &mut dyn Write,
    title: &str,
    section: RecordSection<'_, Vec<u8>>,
) -> io::Result<()> {
    let mut has_title = false;
    for record in section {
        if record
            .as_ref()
            .is_ok_and(|record| record.rtype() == Rtype::OPT)
        {
            continue;
        }
        if !std::mem::replace(&mut has_title, true) {
            writeln!(out, "\n;; {title} SECTION:")?;
        }
        match record {
            Ok(record) => writeln!(out, "{}", record_text(&record))?,
            Err(_) => return writeln!(out, ";; the rest cannot be parsed"),
        }
    }
    Ok(())
}

/// A record in the form of a zone file.
pub(crate) fn record_text(record: &ParsedRecord<'_, Vec<u8>>) -> String {
    let owner = record.owner().fmt_with_dot().to_string();
    let (ttl, class, rtype) = (record.ttl().as_secs(), record.class(), record.rtype());
    let (owner, data) = (Escaped(&owner), data_text(record));
    format!("{owner}\t{ttl}\t{class}\t{rtype}\t{data}")
}

/// A record's data in the form of a zone file.
pub(super) fn data_text(record: &ParsedRecord<'_, Vec<u8>>) -> String {
    let data = match record.to_any_record::<AllRecordData<_, ParsedName<_>>>() {
        Ok(record) => record
            .data()
            .display_zonefile(DisplayKind::Simple)
            .to_string(),
        Err(_) => "; its data cannot be parsed".to_owned(),
    };
    Escaped(&data).to_string()
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use domain::base::iana::{Class, Rcode};
    use domain::base::{MessageBuilder, Name, Question, Ttl, UnknownRecordData};
    use domain::rdata::A;

    use super::*;

    fn shown(message: Message<Vec<u8>>) -> String {
        let response = Response {
            message,
            server: (Ipv4Addr::LOCALHOST, 5300).into(),
            transport: Transport::Udp,
            took: Duration::from_micros(1_250),
        };
        let mut out = Vec::new();
        write_response(&mut out, &response).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_response_is_shown_with_flags_edns_sections_and_how_it_came() {
        let mut builder = MessageBuilder::new_vec();
        let header = builder.header_mut();
        header.set_id(7);
        header.set_qr(true);
        header.set_ad(true);
        header.set_rcode(Rcode::SERVFAIL);
        let name: Name<Vec<u8>> = "a.test".parse().unwrap();
        let mut question = builder.question();
        question.push(Question::new_in(&name, Rtype::A)).unwrap();
        let mut answer = question.answer();
        let address = A::new(Ipv4Addr::new(192, 0, 2, 1));
        answer.push((&name, Ttl::from_secs(5), address)).unwrap();
        let odd = UnknownRecordData::from_octets(Rtype::from_int(65_280), [1, 2]).unwrap();
        let mut additional = answer.additional();
        additional
            .push((&name, Class::IN, Ttl::from_secs(5), odd))
            .unwrap();
        additional
            .opt(|opt| {
                opt.set_dnssec_ok(true);
                opt.set_udp_payload_size(1232);
                let error = b"\0\x16no \x1b[31mway";
                opt.push_raw_option(OptionCode::EXTENDED_ERROR, error.len() as u16, |out| {
                    out.extend_from_slice(error);
                    Ok(())
                })?;
                opt.padding(3)
            })
            .unwrap();
        let expected = "\
;; ->>HEADER<<- opcode: QUERY, status: SERVFAIL, id: 7
;; flags: qr ad; QUERY: 1, ANSWER: 1, AUTHORITY: 0, ADDITIONAL: 2

;; OPT PSEUDOSECTION:
; EDNS: version: 0, flags: do; udp: 1232
; EDE: 22 (No Reachable Authority): no \\u{1b}[31mway
; PADDING: 3 bytes

;; QUESTION SECTION:
;a.test.\t\tIN\tA

;; ANSWER SECTION:
a.test.\t5\tIN\tA\t192.0.2.1

;; ADDITIONAL SECTION:
a.test.\t5\tIN\tTYPE65280\t\\# 2 01 02

;; Query time: 1.2 ms
;; SERVER: 127.0.0.1#5300 (UDP)
;; MSG SIZE rcvd: 101
";
        assert_eq!(shown(additional.into_message()), expected);
    }

    #[test]
    fn what_cannot_be_parsed_is_said_to_be_so() {
        let mut bytes = vec![0, 7, 0x80, 0, 0, 1, 0, 1, 0, 0, 0, 0];
        bytes.extend([1, b'a', 0, 0, 1, 0, 1]);
        bytes.extend([1, b'a', 0, 0, 1, 0, 1, 0, 0, 0, 5, 0, 4, 192]);
        let shown = shown(Message::from_octets(bytes).unwrap());
        assert!(shown.contains(";a.\t\tIN\tA\n"), "{shown}");
        let expected = "\n;; ANSWER SECTION:\n;; the rest cannot be parsed\n";
        assert!(shown.contains(expected), "{shown}");
    }
}
