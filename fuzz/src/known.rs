//! Where the other two codecs differ from ours, and who is right: each entry names the statement of the standard that
//! decides. A frame with a difference that no entry explains is a finding.

use crate::differential::{Difference, Seen};
use crate::peers::Peer::{self, Core, Proto};
use mqtt_codec::{Fault, Field, Packet, PacketType, ReasonCode, TopicError, Version};

/// A difference and its reason.
pub struct Known {
    /// Who differs from us.
    pub peers: &'static [Peer],
    /// The statements that decide; "/3.1.1" where that version has its own.
    pub statements: &'static str,
    /// What the peers do.
    pub reason: &'static str,
    shows: fn(&Seen<'_>) -> bool,
}

impl Known {
    /// Whether this entry is about that difference.
    pub(crate) fn explains(&self, seen: &Seen<'_>) -> bool {
        self.peers.contains(&seen.peer) && (self.shows)(seen)
    }
}

/// All of them: first what they take and we refuse, then what we take and they refuse, then what is read differently.
pub static KNOWN: &[Known] = &[
    Known {
        peers: &[Core],
        statements: "[MQTT-2.2.1-3] [MQTT-2.3.1-1/3.1.1]",
        reason: "takes packet identifier 0 in packets of subscriptions",
        shows: |seen| refused(seen, Field::PacketIdentifier, Fault::ZeroPacketId),
    },
    Known {
        peers: &[Core],
        statements: "[MQTT-2.1.3-1] [MQTT-2.2.2-2/3.1.1]",
        reason: "does not look at the reserved flags of the first byte, neither here nor in its connection",
        shows: |seen| {
            let expected = if matches!(seen.frame[0] >> 4, 6 | 8 | 10) { 2 } else { 0 };
            refused(seen, Field::FixedHeader, Fault::ReservedBits) && seen.frame[0] & 0x0F != expected
        },
    },
    Known {
        peers: &[Core, Proto],
        statements: "[MQTT-3.3.1-2] [MQTT-3.3.1-2/3.1.1]",
        reason: "takes DUP at QoS 0",
        shows: |seen| refused(seen, Field::FixedHeader, Fault::DupAtQoS0) && seen.frame[0] & 0b1110 == 0b1000,
    },
    Known {
        peers: &[Core, Proto],
        statements: "[MQTT-1.5.5-1]",
        reason: "takes variable byte integers that are longer than needed, which 5.0 forbids",
        shows: |seen| has_fault(seen, Fault::LongVariableByteInteger) && seen.version.is_v5(),
    },
    Known {
        peers: &[Core, Proto],
        statements: "[MQTT-1.5.4-2] [MQTT-1.5.3-2/3.1.1]",
        reason: "looks for U+0000 in topics only, or not at all",
        shows: |seen| has_fault(seen, Fault::NullCharacter) && seen.frame.contains(&0),
    },
    Known {
        peers: &[Core, Proto],
        statements: "[MQTT-4.7.3-1] [MQTT-4.7.3-1/3.1.1] [MQTT-3.3.2-1]",
        reason: "takes the empty topic without an alias, as a name, a filter, a will's or a response's topic",
        shows: |seen| has_fault(seen, Fault::Topic(TopicError::Empty)),
    },
    Known {
        peers: &[Core],
        statements: "[MQTT-3.3.2-2] [MQTT-3.3.2-14] [MQTT-4.7.0-1] [MQTT-4.7.1-1/3.1.1]",
        reason: "takes wildcards in the topics of PUBLISH, will and response",
        shows: |seen| has_fault(seen, Fault::Topic(TopicError::Wildcard)),
    },
    Known {
        peers: &[Core, Proto],
        statements: "[MQTT-4.7.1-2] [MQTT-4.7.1-3/3.1.1]",
        reason: "Core does not check filters; Proto lets characters follow a '+' that begins a filter or ends it",
        shows: |seen| refused(seen, Field::TopicFilter, Fault::Topic(TopicError::SingleLevel)),
    },
    Known {
        peers: &[Core],
        statements: "[MQTT-4.7.1-1] [MQTT-4.7.1-2/3.1.1]",
        reason: "does not check filters",
        shows: |seen| refused(seen, Field::TopicFilter, Fault::Topic(TopicError::MultiLevel)),
    },
    Known {
        peers: &[Core, Proto],
        statements: "[MQTT-4.8.2-1] [MQTT-4.8.2-2]",
        reason: "Core does not check filters; Proto takes `$share` alone",
        shows: |seen| refused(seen, Field::TopicFilter, Fault::Topic(TopicError::Share)),
    },
    Known {
        peers: &[Core],
        statements: "[MQTT-3.8.3-5] [MQTT-3.8.3-4/3.1.1]",
        reason: "takes reserved bits in subscription options",
        shows: |seen| refused(seen, Field::SubscriptionOptions, Fault::ReservedBits),
    },
    Known {
        peers: &[Core, Proto],
        statements: "[MQTT-3.8.3-4]",
        reason: "takes No Local on a shared subscription",
        shows: |seen| refused(seen, Field::SubscriptionOptions, Fault::NoLocalOnShared),
    },
    Known {
        peers: &[Proto],
        statements: "[MQTT-3.9.3-2] [MQTT-3.11.3-2] [311u-3]",
        reason: "takes acknowledgements without a code",
        shows: |seen| refused(seen, Field::ReasonCode, Fault::EmptyList),
    },
    Known {
        peers: &[Core],
        statements: "[311u-3]",
        reason: "takes reason codes behind the identifier of acknowledgements in 3.1.1",
        shows: |seen| {
            let is_ack = matches!(seen.frame[0] >> 4, 4..=7);
            refused(seen, Field::Packet, Fault::TrailingBytes) && is_ack && seen.version == Version::V3_1_1
        },
    },
    Known {
        peers: &[Core],
        statements: "[MQTT-3.2.2-1] [311u-4]",
        reason: "takes reserved bits in the flags of CONNACK",
        shows: |seen| refused(seen, Field::ConnAckFlags, Fault::ReservedBits),
    },
    Known {
        peers: &[Core, Proto],
        statements: "[MQTT-3.2.2-6] [MQTT-3.2.2-4/3.1.1]",
        reason: "keeps Session Present beside a refusal, where ours ignores it",
        shows: |seen| matches!(seen.frame, [0x20, _, 1, code, ..] if *code != 0),
    },
    Known {
        peers: &[Core, Proto],
        statements: "[MQTT-3.1.2-3] [MQTT-3.1.2-11] [MQTT-3.1.2-13] [MQTT-3.1.2-13/3.1.1] [MQTT-3.1.2-15/3.1.1]",
        reason: "takes Will Retain without a will; Core the reserved bit and Will QoS without a will too",
        shows: |seen| refused(seen, Field::ConnectFlags, Fault::ReservedBits),
    },
    Known {
        peers: &[Core],
        statements: "[MQTT-3.1.2-12] [MQTT-3.1.2-14/3.1.1]",
        reason: "takes Will QoS 3",
        shows: |seen| refused(seen, Field::ConnectFlags, Fault::ReservedQoS),
    },
    Known {
        peers: &[Proto],
        statements: "[MQTT-3.1.2-22/3.1.1]",
        reason: "takes a password without a user name in 3.1.1",
        shows: |seen| {
            let in_v3 = seen.version == Version::V3_1_1;
            refused(seen, Field::ConnectFlags, Fault::PasswordWithoutUserName) && in_v3
        },
    },
    Known {
        peers: &[Core],
        statements: "[MQTT-2.2.2-1] [5u-10]",
        reason: "lets PUBLISH and AUTH end where their properties should begin",
        shows: |seen| refused(seen, Field::PropertyLength, Fault::Truncated),
    },
    Known {
        peers: &[Core, Proto],
        statements: "[5u-10]",
        reason: "takes authentication data, or an AUTH, without a method",
        shows: |seen| has_fault(seen, Fault::NoAuthenticationMethod),
    },
    Known {
        peers: &[Proto],
        statements: "[5u-6] [5u-7] [5u-9] [MQTT-3.3.2-8]",
        reason: "takes 0 where the standard has none",
        shows: |seen| {
            matches!(seen.difference, Difference::OnlyTheyTake(error)
                if matches!(error.field(), Field::Property(_))
                    && matches!(error.fault(), Fault::ValueNotAllowed | Fault::ZeroAlias))
        },
    },
    Known {
        peers: &[Core],
        statements: "[5u-9]",
        reason: "lets the subscription identifier repeat in SUBSCRIBE",
        shows: |seen| {
            has_fault(seen, Fault::RepeatedProperty) && seen.frame[0] >> 4 == PacketType::Subscribe as u8
        },
    },
    Known {
        peers: &[Proto],
        statements: "[MQTT-3.1.2-1/3.1.1] [31-1]",
        reason: "has one decoder for 3.1 and 3.1.1, which takes the CONNECT of both; ours is told the version",
        shows: |seen| {
            refused(seen, Field::Protocol, Fault::UnsupportedVersion(3)) && seen.version == Version::V3_1_1
        },
    },
    Known {
        peers: &[Core, Proto],
        statements: "[MQTT-3.2.2-8]",
        reason: "refuses the CONNACK of a server that knows no 5.0, two bytes with return code 1; the standard lets \
                 that server answer in its own form, and a client has to understand why it is refused",
        shows: |seen| seen.frame[..2] == [0x20, 2] && seen.frame[3] == 1,
    },
    Known {
        peers: &[Core],
        statements: "[MQTT-3.1.2-19]",
        reason: "refuses a password without a user name in 5.0, which permits it",
        shows: |seen| {
            matches!(seen.difference, Difference::OnlyWeTake(Packet::Connect(connect))
                if connect.password.is_some() && connect.username.is_none())
        },
    },
    Known {
        peers: &[Core, Proto],
        statements: "[MQTT-3.14.2-1]",
        reason: "follows table 3-10, which leaves out 0x8C; table 2-6 has it",
        shows: |seen| {
            matches!(seen.difference, Difference::OnlyWeTake(Packet::Disconnect(disconnect))
                if disconnect.reason == ReasonCode::BAD_AUTHENTICATION_METHOD)
        },
    },
    Known {
        peers: &[Proto],
        statements: "[5u-29]",
        reason: "refuses a payload that is not the UTF-8 that its format indicator says; a receiver may, the codec \
                 leaves it to the application",
        shows: |seen| match seen.difference {
            Difference::OnlyWeTake(Packet::Publish(publish)) => {
                publish.properties().payload_format_indicator() == Some(true)
                    && std::str::from_utf8(publish.payload()).is_err()
            }
            Difference::OnlyWeTake(Packet::Connect(connect)) => connect.will.as_ref().is_some_and(|will| {
                will.properties.view().payload_format_indicator() == Some(true)
                    && std::str::from_utf8(&will.payload).is_err()
            }),
            _ => false,
        },
    },
    Known {
        peers: &[Proto],
        statements: "[MQTT-3.3.4-4]",
        reason: "refuses a PUBLISH with several subscription identifiers, which a server sends for several matches",
        shows: |seen| {
            matches!(seen.difference, Difference::OnlyWeTake(Packet::Publish(publish))
                if publish.properties().subscription_identifiers().count() > 1)
        },
    },
    Known {
        peers: &[Proto],
        statements: "[MQTT-3.9.3-2/3.1.1]",
        reason: "reads 0x80 as a failure and writes it as 3",
        shows: |seen| {
            matches!(seen.difference, Difference::Fields(Packet::SubAck(suback), Err(error))
                if suback.codes().any(|code| code.is_error())
                    && error.fault() == Fault::ReasonNotAllowed(3))
        },
    },
];

fn refused(seen: &Seen<'_>, field: Field, fault: Fault) -> bool {
    matches!(seen.difference, Difference::OnlyTheyTake(error) if (error.field(), error.fault()) == (field, fault))
}

fn has_fault(seen: &Seen<'_>, fault: Fault) -> bool {
    matches!(seen.difference, Difference::OnlyTheyTake(error) if error.fault() == fault)
}
