//! What is printed of a message: `-F`, `-v` and the plain payload.

use core::fmt::Write as _;
use core::time::Duration;
use std::time::{SystemTime, UNIX_EPOCH};

use mqtt_client::Message;

use crate::failure::Failure;

/// A format, taken apart once and then applied to each message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Format(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(Vec<u8>),
    Field(Field),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Topic,
    Payload,
    LowerHex,
    UpperHex,
    Length,
    Qos,
    Retain,
    DateTime,
    UnixTime,
    Json,
    ContentType,
    CorrelationData,
    MessageExpiry,
    PayloadFormat,
    UserProperties,
    ResponseTopic,
    SubscriptionIdentifiers,
}

impl Format {
    /// The payload as it is.
    pub(crate) fn payload() -> Self {
        Self(vec![Piece::Field(Field::Payload)])
    }

    /// `-v`: the topic, a space, the payload.
    pub(crate) fn verbose() -> Self {
        Self(vec![Piece::Field(Field::Topic), Piece::Text(b" ".to_vec()), Piece::Field(Field::Payload)])
    }

    /// `-F`.
    pub(crate) fn read(typed: &str) -> Result<Self, Failure> {
        let mut pieces = Vec::new();
        let mut text = Vec::new();
        let mut characters = typed.chars();
        while let Some(character) = characters.next() {
            match character {
                '%' => match characters.next() {
                    Some('%') => text.push(b'%'),
                    letter => {
                        pieces.push(Piece::Text(core::mem::take(&mut text)));
                        pieces.push(Piece::Field(field(letter)?));
                    }
                },
                '@' => match characters.next() {
                    Some('@') => text.push(b'@'),
                    _ => {
                        return Err(wrong(
                            "times by @ are not supported; use %I or %U, or @@ for the character",
                        ));
                    }
                },
                '\\' => text.push(escaped(characters.next())?),
                other => text.extend(other.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        pieces.push(Piece::Text(text));
        pieces.retain(|piece| !matches!(piece, Piece::Text(text) if text.is_empty()));
        Ok(Self(pieces))
    }

    /// Appends the message in this form.
    pub(crate) fn render(&self, message: &Message, out: &mut Vec<u8>) {
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => out.extend_from_slice(text),
                Piece::Field(field) => field.render(message, out),
            }
        }
    }
}

fn field(letter: Option<char>) -> Result<Field, Failure> {
    Ok(match letter {
        Some('t') => Field::Topic,
        Some('p') => Field::Payload,
        Some('x') => Field::LowerHex,
        Some('X') => Field::UpperHex,
        Some('l') => Field::Length,
        Some('q') => Field::Qos,
        Some('r') => Field::Retain,
        Some('I') => Field::DateTime,
        Some('U') => Field::UnixTime,
        Some('j') => Field::Json,
        Some('C') => Field::ContentType,
        Some('D') => Field::CorrelationData,
        Some('E') => Field::MessageExpiry,
        Some('F') => Field::PayloadFormat,
        Some('P') => Field::UserProperties,
        Some('R') => Field::ResponseTopic,
        Some('S') => Field::SubscriptionIdentifiers,
        Some('m' | 'A') => {
            return Err(wrong("%m and %A: packet identifiers and aliases are the client's own"));
        }
        Some('J') => return Err(wrong("%J is not supported; use %j, which quotes the payload")),
        Some('0'..='9' | '-' | '.') => return Err(wrong("field widths are not supported")),
        Some(other) => return Err(wrong(&format!("there is no %{other}; %% is the percent sign"))),
        None => return Err(wrong("nothing follows the last %; %% is the percent sign")),
    })
}

fn escaped(letter: Option<char>) -> Result<u8, Failure> {
    Ok(match letter {
        Some('\\') => b'\\',
        Some('0') => 0,
        Some('a') => 0x07,
        Some('e') => 0x1b,
        Some('n') => b'\n',
        Some('r') => b'\r',
        Some('t') => b'\t',
        Some('v') => 0x0b,
        Some(other) => return Err(wrong(&format!("there is no \\{other}; \\\\ is the backslash"))),
        None => return Err(wrong("nothing follows the last \\; \\\\ is the backslash")),
    })
}

fn wrong(why: &str) -> Failure {
    Failure::wrong(format!("-F: {why}"))
}

impl Field {
    fn render(self, message: &Message, out: &mut Vec<u8>) {
        let properties = message.properties.view();
        match self {
            Self::Topic => out.extend_from_slice(message.topic().as_bytes()),
            Self::Payload => out.extend_from_slice(message.payload()),
            Self::LowerHex => put(out, hex(message.payload())),
            Self::UpperHex => put(out, hex(message.payload()).to_ascii_uppercase()),
            Self::Length => put(out, message.payload().len()),
            Self::Qos => put(out, message.qos.as_u8()),
            Self::Retain => put(out, u8::from(message.retain)),
            Self::DateTime => put(out, date_time(since_epoch(), false)),
            Self::UnixTime => {
                let now = since_epoch();
                put(out, format_args!("{}.{:09}", now.as_secs(), now.subsec_nanos()));
            }
            Self::Json => put(out, json(message, since_epoch())),
            Self::ContentType => put(out, properties.content_type().unwrap_or_default()),
            Self::CorrelationData => out.extend_from_slice(properties.correlation_data().unwrap_or_default()),
            Self::MessageExpiry => put_some(out, properties.message_expiry_interval()),
            Self::PayloadFormat => put_some(out, properties.payload_format_indicator().map(u8::from)),
            Self::UserProperties => {
                let pairs = properties.user_properties().map(|(name, value)| format!("{name}:{value}"));
                put(out, pairs.collect::<Vec<_>>().join(" "));
            }
            Self::ResponseTopic => put(out, properties.response_topic().unwrap_or_default()),
            Self::SubscriptionIdentifiers => {
                let identifiers =
                    properties.subscription_identifiers().map(|identifier| identifier.to_string());
                put(out, identifiers.collect::<Vec<_>>().join(" "));
            }
        }
    }
}

fn put(out: &mut Vec<u8>, value: impl core::fmt::Display) {
    out.extend_from_slice(value.to_string().as_bytes());
}

fn put_some(out: &mut Vec<u8>, value: Option<impl core::fmt::Display>) {
    if let Some(value) = value {
        put(out, value);
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

#[expect(clippy::disallowed_methods, reason = "the time that is printed is the user's, not the protocol's")]
fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// ISO 8601 in UTC. Days to a date by the 400-year cycle of the calendar, with years that begin in March.
pub(crate) fn date_time(since_epoch: Duration, with_micros: bool) -> String {
    let (days, second) = (since_epoch.as_secs() / 86_400, since_epoch.as_secs() % 86_400);
    let day = days + 719_468; // since 0000-03-01
    let (cycle, day) = (day / 146_097, day % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153; // 0 is March
    let date = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = 400 * cycle + year + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    let micros = if with_micros { format!(".{:06}", since_epoch.subsec_micros()) } else { String::new() };
    format!("{year:04}-{month:02}-{date:02}T{hour:02}:{minute:02}:{second:02}{micros}Z")
}

/// `%j`. JSON knows no bytes: a payload that is not UTF-8 comes as `payload-hex`.
fn json(message: &Message, now: Duration) -> String {
    let mut fields = vec![
        format!(r#""tst":"{}""#, date_time(now, true)),
        format!(r#""topic":{}"#, quoted(message.topic())),
        format!(r#""qos":{}"#, message.qos.as_u8()),
        format!(r#""retain":{}"#, u8::from(message.retain)),
        format!(r#""payloadlen":{}"#, message.payload().len()),
    ];
    let properties = json_properties(message);
    if !properties.is_empty() {
        fields.push(format!(r#""properties":{{{}}}"#, properties.join(",")));
    }
    fields.push(match core::str::from_utf8(message.payload()) {
        Ok(text) => format!(r#""payload":{}"#, quoted(text)),
        Err(_) => format!(r#""payload-hex":"{}""#, hex(message.payload())),
    });
    format!("{{{}}}", fields.join(","))
}

fn json_properties(message: &Message) -> Vec<String> {
    let properties = message.properties.view();
    let mut fields = Vec::new();
    let users: Vec<_> = properties
        .user_properties()
        .map(|(name, value)| format!("{}:{}", quoted(name), quoted(value)))
        .collect();
    if !users.is_empty() {
        fields.push(format!(r#""user-properties":{{{}}}"#, users.join(",")));
    }
    fields.extend(properties.content_type().map(|text| format!(r#""content-type":{}"#, quoted(text))));
    fields.extend(properties.response_topic().map(|text| format!(r#""response-topic":{}"#, quoted(text))));
    fields.extend(properties.correlation_data().map(|data| match core::str::from_utf8(data) {
        Ok(text) => format!(r#""correlation-data":{}"#, quoted(text)),
        Err(_) => format!(r#""correlation-data-hex":"{}""#, hex(data)),
    }));
    fields.extend(
        properties
            .payload_format_indicator()
            .map(|utf8| format!(r#""payload-format-indicator":{}"#, u8::from(utf8))),
    );
    fields.extend(
        properties.message_expiry_interval().map(|left| format!(r#""message-expiry-interval":{left}"#)),
    );
    fields
}

pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            control if control < ' ' => {
                let _ = write!(out, "\\u{:04x}", u32::from(control));
            }
            other => out.push(other),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use mqtt_client::{PropertiesBuf, QoS, TopicName};

    use super::*;

    fn message() -> Message {
        let mut message = Message::new(TopicName::try_from("home/lamp").unwrap(), (&b"on\xff"[..]).into());
        message.qos = QoS::AtLeastOnce;
        message.retain = true;
        message.properties =
            PropertiesBuf::builder().content_type("text").user_property("a", "b").build().unwrap();
        message
    }

    fn rendered(format: &str) -> Vec<u8> {
        let mut out = Vec::new();
        Format::read(format).unwrap().render(&message(), &mut out);
        out
    }

    #[test]
    fn the_payload_is_printed_as_it_is() {
        assert_eq!(rendered("%p"), b"on\xff");
        let mut out = Vec::new();
        Format::verbose().render(&message(), &mut out);
        assert_eq!(out, b"home/lamp on\xff");
    }

    #[test]
    fn fields_text_and_escapes_mix() {
        assert_eq!(rendered(r"%t|q%q r%r %l\t%x %X%%@@\\"), b"home/lamp|q1 r1 3\t6f6eff 6F6EFF%@\\");
        assert_eq!(rendered("%C %P [%R%S%E%F%D]"), b"text a:b []");
        assert_eq!(rendered("\u{e4}\\0"), "\u{e4}\0".as_bytes());
        assert_eq!(rendered(""), b"");
    }

    #[test]
    fn what_is_not_supported_is_refused() {
        for format in ["%", "%z", "%10t", "%m", "%J", "@H", "\\", "\\q"] {
            assert!(Format::read(format).is_err(), "{format}");
        }
    }

    #[test]
    fn json_is_quoted_and_never_lies_about_bytes() {
        let now = Duration::from_micros(1_470_818_943_786_368);
        let expected = concat!(
            r#"{"tst":"2016-08-10T08:49:03.786368Z","topic":"home/lamp","qos":1,"retain":1,"payloadlen":3,"#,
            r#""properties":{"user-properties":{"a":"b"},"content-type":"text"},"payload-hex":"6f6eff"}"#
        );
        assert_eq!(json(&message(), now), expected);
        assert_eq!(quoted("a\"b\\\n\u{1}\u{e4}"), "\"a\\\"b\\\\\\n\\u0001\u{e4}\"");
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_164_800, "2024-02-29T00:00:00Z"),
            (1_735_689_599, "2024-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(date_time(Duration::from_secs(seconds), false), expected);
        }
    }
}
