//! Properties of PUBLISH as JSON, and back.
//!
//! Written by hand where the client's task does it, piece by piece into memory that is there already.

use mqtt_client::{Properties, PropertiesBuf, Property};
use serde_json::Value;
use std::io::Write as _;

/// Appends the object. Names are those of the standard, in small letters.
pub(crate) fn write(properties: Properties<'_>, out: &mut Vec<u8>) {
    let mut object = Object { out, first: true };
    object.out.push(b'{');
    for property in properties.iter() {
        match property {
            Property::PayloadFormatIndicator(utf8) => object.number("payload_format_indicator", utf8.into()),
            Property::MessageExpiryInterval(seconds) => object.number("message_expiry_interval", seconds),
            Property::ContentType(text) => object.text("content_type", text),
            Property::ResponseTopic(topic) => object.text("response_topic", topic),
            Property::CorrelationData(data) => object.bytes("correlation_data", data),
            _ => {}
        }
    }
    object.list("subscription_identifiers", properties.subscription_identifiers(), |out, identifier| {
        // A vector takes everything.
        _ = write!(out, "{identifier}");
    });
    object.list("user_properties", properties.user_properties(), |out, (name, value)| {
        out.push(b'[');
        quote(out, name);
        out.push(b',');
        quote(out, value);
        out.push(b']');
    });
    object.out.push(b'}');
}

struct Object<'a> {
    out: &'a mut Vec<u8>,
    first: bool,
}

impl Object<'_> {
    fn name(&mut self, name: &str) {
        if !core::mem::replace(&mut self.first, false) {
            self.out.push(b',');
        }
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    fn number(&mut self, name: &str, number: u32) {
        self.name(name);
        _ = write!(self.out, "{number}");
    }

    fn text(&mut self, name: &str, text: &str) {
        self.name(name);
        quote(self.out, text);
    }

    /// In hexadecimal: JSON knows no bytes.
    fn bytes(&mut self, name: &str, bytes: &[u8]) {
        self.name(name);
        self.out.push(b'"');
        for byte in bytes {
            _ = write!(self.out, "{byte:02x}");
        }
        self.out.push(b'"');
    }

    fn list<T>(&mut self, name: &str, items: impl Iterator<Item = T>, put: impl Fn(&mut Vec<u8>, T)) {
        let mut items = items.peekable();
        if items.peek().is_none() {
            return;
        }
        self.name(name);
        for (place, item) in items.enumerate() {
            self.out.push(if place == 0 { b'[' } else { b',' });
            put(self.out, item);
        }
        self.out.push(b']');
    }
}

fn quote(out: &mut Vec<u8>, text: &str) {
    _ = serde_json::to_writer(out, text);
}

/// The properties that a message to publish may have, from JSON; `None` if it is not of our making.
pub(crate) fn read(json: &str) -> Option<PropertiesBuf> {
    let value: Value = serde_json::from_str(json).ok()?;
    let mut block = PropertiesBuf::builder();
    for (name, value) in value.as_object()? {
        block = match name.as_str() {
            "payload_format_indicator" => block.payload_format_indicator(value.as_u64()? != 0),
            "message_expiry_interval" => block.message_expiry_interval(u32::try_from(value.as_u64()?).ok()?),
            "content_type" => block.content_type(value.as_str()?),
            "response_topic" => block.response_topic(value.as_str()?),
            "correlation_data" => block.correlation_data(&from_hex(value.as_str()?)?),
            "user_properties" => {
                value.as_array()?.iter().try_fold(block, |block, pair| match pair.as_array()?.as_slice() {
                    [name, value] => Some(block.user_property(name.as_str()?, value.as_str()?)),
                    _ => None,
                })?
            }
            // They are the server's to give.
            "subscription_identifiers" => block,
            _ => return None,
        };
    }
    block.build().ok()
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return None;
    }
    (0..text.len() / 2).map(|at| u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(properties: &PropertiesBuf) -> String {
        let mut out = Vec::new();
        write(properties.view(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_is_written_can_be_read() {
        let properties = PropertiesBuf::builder()
            .payload_format_indicator(true)
            .message_expiry_interval(60)
            .content_type("text/\"plain\"\n")
            .response_topic("a/b")
            .correlation_data(&[0, 0xff])
            .user_property("k", "1")
            .user_property("k", "\u{e4}")
            .build()
            .unwrap();
        let text = json(&properties);
        assert_eq!(
            text,
            concat!(
                r#"{"payload_format_indicator":1,"message_expiry_interval":60,"content_type":"text/\"plain\"\n","#,
                r#""response_topic":"a/b","correlation_data":"00ff","user_properties":[["k","1"],["k","ä"]]}"#
            )
        );
        let back = read(&text).unwrap();
        assert!(properties.view().iter().all(|property| back.view().iter().any(|other| other == property)));
        assert_eq!(properties.len(), back.len());
    }

    #[test]
    fn identifiers_of_subscriptions_are_shown_and_not_sent_again() {
        let properties = PropertiesBuf::builder().subscription_identifier(7).build().unwrap();
        assert_eq!(json(&properties), r#"{"subscription_identifiers":[7]}"#);
        assert_eq!(read(&json(&properties)), Some(PropertiesBuf::new()));
    }

    #[test]
    fn what_is_not_of_our_making_is_no_properties() {
        for text in [
            "",
            "[]",
            "{",
            r#"{"color":"red"}"#,
            r#"{"correlation_data":"0"}"#,
            r#"{"user_properties":[["a"]]}"#,
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
