//! The codecs that ours is compared with, each behind the same two questions: do you take this frame, and what are
//! its bytes when you write it again?

use mqtt_codec::Version;
use mqtt_proto::PollHeader;
use mqtt_protocol_core::mqtt::common::{Arc, Cursor};
use mqtt_protocol_core::mqtt::connection::{PacketBuildResult, PacketBuilder, PacketData, RawPacket};
use mqtt_protocol_core::mqtt::packet::{GenericPacketTrait, Packet, v3_1_1, v5_0};
use mqtt_protocol_core::mqtt::result_code::MqttError;

/// The crate has the same functions in two modules. What follows the packet inside its frame is left to the caller.
macro_rules! proto {
    ($module:ident, $frame:ident, $body:ident) => {{
        let header =
            mqtt_proto::$module::Header::new_with($frame[0], $body.len() as u32, $frame.len() as u32).ok()?;
        let mut read = 0;
        let packet = match header.build_empty_packet() {
            Some(empty) => empty,
            None => header.decode_buffer($body, &mut read).ok()?,
        };
        if read != $body.len() {
            return None;
        }
        Some(packet.encode().ok()?.as_ref().to_vec())
    }};
}
/// A codec of somebody else.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Peer {
    /// mqtt-protocol-core 0.7.9.
    Core,
    /// mqtt-proto 0.4.0.
    Proto,
}

impl Peer {
    pub(crate) const ALL: [Self; 2] = [Self::Core, Self::Proto];

    /// What this codec makes of a frame: `None` if it refuses it, else the packet in its own writing.
    pub(crate) fn rewrite(self, frame: &[u8], body: &[u8], version: Version) -> Option<Vec<u8>> {
        match self {
            Self::Core => core(frame, version),
            Self::Proto if version.is_v5() => proto!(v5, frame, body),
            Self::Proto => proto!(v3, frame, body),
        }
    }
}

fn core(frame: &[u8], version: Version) -> Option<Vec<u8>> {
    let PacketBuildResult::Complete(raw) = PacketBuilder::new().feed(&mut Cursor::new(frame)) else {
        return None;
    };
    let packet = if version.is_v5() { core_v5(raw) } else { core_v3(raw) };
    Some(packet.ok()?.to_continuous_buffer())
}

fn core_v3(raw: RawPacket) -> Result<Packet, MqttError> {
    let flags = raw.flags();
    Ok(match raw.packet_type() {
        1 => raw.parse_exact(v3_1_1::Connect::parse)?.into(),
        2 => raw.parse_exact(v3_1_1::Connack::parse)?.into(),
        3 => publish(raw, |data| v3_1_1::Publish::parse(flags, data))?.into(),
        4 => raw.parse_exact(v3_1_1::Puback::parse)?.into(),
        5 => raw.parse_exact(v3_1_1::Pubrec::parse)?.into(),
        6 => raw.parse_exact(v3_1_1::Pubrel::parse)?.into(),
        7 => raw.parse_exact(v3_1_1::Pubcomp::parse)?.into(),
        8 => raw.parse_exact(v3_1_1::Subscribe::parse)?.into(),
        9 => raw.parse_exact(v3_1_1::Suback::parse)?.into(),
        10 => raw.parse_exact(v3_1_1::Unsubscribe::parse)?.into(),
        11 => raw.parse_exact(v3_1_1::Unsuback::parse)?.into(),
        12 => raw.parse_exact(v3_1_1::Pingreq::parse)?.into(),
        13 => raw.parse_exact(v3_1_1::Pingresp::parse)?.into(),
        14 => raw.parse_exact(v3_1_1::Disconnect::parse)?.into(),
        _ => return Err(MqttError::MalformedPacket),
    })
}

fn core_v5(raw: RawPacket) -> Result<Packet, MqttError> {
    let flags = raw.flags();
    Ok(match raw.packet_type() {
        1 => raw.parse_exact(v5_0::Connect::parse)?.into(),
        2 => raw.parse_exact(v5_0::Connack::parse)?.into(),
        3 => publish(raw, |data| v5_0::Publish::parse(flags, data))?.into(),
        4 => raw.parse_exact(v5_0::Puback::parse)?.into(),
        5 => raw.parse_exact(v5_0::Pubrec::parse)?.into(),
        6 => raw.parse_exact(v5_0::Pubrel::parse)?.into(),
        7 => raw.parse_exact(v5_0::Pubcomp::parse)?.into(),
        8 => raw.parse_exact(v5_0::Subscribe::parse)?.into(),
        9 => raw.parse_exact(v5_0::Suback::parse)?.into(),
        10 => raw.parse_exact(v5_0::Unsubscribe::parse)?.into(),
        11 => raw.parse_exact(v5_0::Unsuback::parse)?.into(),
        12 => raw.parse_exact(v5_0::Pingreq::parse)?.into(),
        13 => raw.parse_exact(v5_0::Pingresp::parse)?.into(),
        14 => raw.parse_exact(v5_0::Disconnect::parse)?.into(),
        15 => raw.parse_exact(v5_0::Auth::parse)?.into(),
        _ => return Err(MqttError::MalformedPacket),
    })
}

fn publish<T>(
    raw: RawPacket,
    parse: impl FnOnce(Arc<[u8]>) -> Result<(T, usize), MqttError>,
) -> Result<T, MqttError> {
    match raw.data {
        PacketData::Publish(data) => Ok(parse(data)?.0),
        PacketData::Normal(_) => Err(MqttError::MalformedPacket),
    }
}
