//! Packets as text for people: what a failing test prints.

use bytes::Bytes;
use core::fmt::Write as _;
use mqtt_codec::{
    Ack, Connect, Delivery, Packet, Properties, Publish, ReasonCode, SubscriptionOptions, Will,
};

/// The longest payload that is shown whole, in bytes.
const SHOWN: usize = 64;

/// The most bytes that are shown one by one.
const SHOWN_HEX: usize = 256;

/// The fields of a packet by name, in the order of the wire.
type Fields = Vec<(&'static str, String)>;

/// A packet in one line, such as `PUBACK id=7 reason=0x10 no matching subscribers`.
pub(crate) fn line(packet: &Packet) -> String {
    let mut line = packet.packet_type().name().to_owned();
    for (name, value) in fields(packet) {
        let _ = write!(line, " {name}={value}");
    }
    line
}

/// Whether two packets mean the same. Received and built ones differ in the bytes that they keep.
pub(crate) fn same(one: &Packet, other: &Packet) -> bool {
    match (one, other) {
        (Packet::Publish(one), Packet::Publish(other)) => {
            let head = |publish: &Publish| (publish.delivery(), publish.retain());
            head(one) == head(other)
                && one.topic() == other.topic()
                && one.properties() == other.properties()
                && one.payload() == other.payload()
        }
        _ => one == other,
    }
}

/// What two packets differ in, a line for each field.
pub(crate) fn differences(expected: &Packet, came: &Packet) -> String {
    if expected.packet_type() != came.packet_type() {
        return format!("the type: expected {}, came {}", expected.packet_type(), came.packet_type());
    }
    let mut lines = Vec::new();
    for ((name, wanted), (_, got)) in fields(expected).into_iter().zip(fields(came)) {
        if wanted != got {
            lines.push(format!("{name}: expected {wanted}, came {got}"));
        }
    }
    if let (Packet::Publish(expected), Packet::Publish(came)) = (expected, came)
        && let Some(at) = first_difference(expected.payload(), came.payload())
    {
        lines.push(format!("the payload, from byte {at} on"));
    }
    lines.join("\n    ")
}

fn first_difference(one: &[u8], other: &[u8]) -> Option<usize> {
    if one == other {
        return None;
    }
    let common = one.iter().zip(other).take_while(|(a, b)| a == b).count();
    Some(common)
}

fn fields(packet: &Packet) -> Fields {
    match packet {
        Packet::Connect(connect) => connect_fields(connect),
        Packet::ConnAck(connack) => vec![
            ("session_present", connack.session_present.to_string()),
            ("reason", reason(connack.reason)),
            ("properties", properties(connack.properties.view())),
        ],
        Packet::Publish(publish) => publish_fields(publish),
        Packet::PubAck(ack) | Packet::PubRec(ack) | Packet::PubRel(ack) | Packet::PubComp(ack) => {
            ack_fields(ack)
        }
        Packet::Subscribe(subscribe) => vec![
            ("id", subscribe.id().to_string()),
            (
                "filters",
                list(subscribe.filters().map(|(filter, asked)| format!("{filter:?} {}", options(asked)))),
            ),
            ("properties", properties(subscribe.properties())),
        ],
        Packet::SubAck(suback) => vec![
            ("id", suback.id().to_string()),
            ("codes", list(suback.codes().map(reason))),
            ("properties", properties(suback.properties())),
        ],
        Packet::Unsubscribe(unsubscribe) => vec![
            ("id", unsubscribe.id().to_string()),
            ("filters", list(unsubscribe.filters().map(|filter| format!("{filter:?}")))),
            ("properties", properties(unsubscribe.properties())),
        ],
        Packet::UnsubAck(unsuback) => vec![
            ("id", unsuback.id().to_string()),
            ("codes", list(unsuback.codes().map(reason))),
            ("properties", properties(unsuback.properties())),
        ],
        Packet::PingReq | Packet::PingResp => Vec::new(),
        Packet::Disconnect(disconnect) => vec![
            ("reason", reason(disconnect.reason)),
            ("properties", properties(disconnect.properties.view())),
        ],
        Packet::Auth(auth) => {
            vec![("reason", reason(auth.reason)), ("properties", properties(auth.properties.view()))]
        }
    }
}

fn connect_fields(connect: &Connect) -> Fields {
    vec![
        ("client_id", format!("{:?}", connect.client_id)),
        ("clean_start", connect.clean_start.to_string()),
        ("keep_alive", connect.keep_alive.to_string()),
        ("properties", properties(connect.properties.view())),
        ("will", connect.will.as_ref().map_or_else(|| "none".into(), will)),
        ("username", connect.username.as_ref().map_or_else(|| "none".into(), |name| format!("{name:?}"))),
        ("password", connect.password.as_deref().map_or_else(|| "none".into(), bytes)),
    ]
}

fn will(will: &Will) -> String {
    format!(
        "({:?} {} qos={} retain={} {})",
        will.topic,
        bytes(&will.payload),
        will.qos,
        will.retain,
        properties(will.properties.view())
    )
}

fn publish_fields(publish: &Publish) -> Fields {
    let id = match publish.delivery() {
        Delivery::AtMostOnce => "none".into(),
        Delivery::AtLeastOnce { id, .. } | Delivery::ExactlyOnce { id, .. } => id.to_string(),
    };
    vec![
        ("qos", publish.delivery().qos().to_string()),
        ("dup", publish.delivery().dup().to_string()),
        ("retain", publish.retain().to_string()),
        ("topic", format!("{:?}", publish.topic())),
        ("id", id),
        ("properties", properties(publish.properties())),
        ("payload", bytes(publish.payload())),
    ]
}

fn ack_fields(ack: &Ack) -> Fields {
    vec![
        ("id", ack.id.to_string()),
        ("reason", reason(ack.reason)),
        ("properties", properties(ack.properties.view())),
    ]
}

fn reason(reason: ReasonCode) -> String {
    format!("({reason})")
}

fn options(options: SubscriptionOptions) -> String {
    let mut text = format!("qos={}", options.qos);
    if options.no_local {
        text.push_str(" no_local");
    }
    if options.retain_as_published {
        text.push_str(" retain_as_published");
    }
    if options.retain_handling != Default::default() {
        let _ = write!(text, " retain_handling={:?}", options.retain_handling);
    }
    text
}

fn properties(properties: Properties<'_>) -> String {
    list(properties.iter().map(|property| format!("{property:?}")))
}

fn list(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(", "))
}

/// Text as text, anything else in hexadecimal; long ones in part.
fn bytes(bytes: &[u8]) -> String {
    let shown = bytes.get(..SHOWN).unwrap_or(bytes);
    let text = match core::str::from_utf8(shown) {
        Ok(text) if !text.contains(char::is_control) => format!("{text:?}"),
        _ => shown.iter().fold(String::from("0x"), |mut hex, byte| {
            let _ = write!(hex, "{byte:02X}");
            hex
        }),
    };
    if shown.len() < bytes.len() { format!("{text}.. ({} bytes)", bytes.len()) } else { text }
}

/// The bytes of a text in hexadecimal; spaces do not matter.
///
/// # Panics
///
/// If it is no hexadecimal.
pub(crate) fn from_hex(hex: &str) -> Bytes {
    let digits: Vec<u8> = hex
        .chars()
        .filter(|c| !c.is_whitespace())
        .map(|c| c.to_digit(16).unwrap_or_else(|| panic!("{c:?} in {hex:?} is no hexadecimal digit")) as u8)
        .collect();
    let (pairs, []) = digits.as_chunks::<2>() else { panic!("{hex:?} has an odd number of digits") };
    pairs.iter().map(|[high, low]| high << 4 | low).collect()
}

/// Bytes in hexadecimal, with spaces between them; long ones in part.
pub(crate) fn to_hex(bytes: &[u8]) -> String {
    let mut hex: Vec<String> = bytes.iter().take(SHOWN_HEX).map(|byte| format!("{byte:02X}")).collect();
    if bytes.len() > SHOWN_HEX {
        hex.push(format!(".. ({} bytes)", bytes.len()));
    }
    hex.join(" ")
}
