//! What a run begins with: the configuration of the session, and what may go wrong.

use super::choices::Choices;
use crate::pair;
use core::num::NonZeroU32;
use core::time::Duration;
use mqtt_codec::{QoS, Text, Version};
use mqtt_session::{CleanStart, Config, Limits, OnSessionLost, Overflow};

/// What may go wrong in a run. Few things at once: a calm run gets further.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    /// Links break.
    pub(super) cuts: bool,
    /// The server loses its session.
    pub(super) losses: bool,
    /// The server refuses, closes and says goodbye.
    pub(super) moods: bool,
    /// The server breaks the protocol.
    pub(super) faults: bool,
    /// The client crashes and is restored.
    pub(super) crashes: bool,
    /// The server has limits.
    pub(super) limits: bool,
    /// Bytes that the driver keeps before it asks for more.
    pub(super) high_water: usize,
}

impl Plan {
    pub(super) fn new(choices: &mut Choices<'_>, config: &Config) -> Self {
        Self {
            cuts: choices.percent(80),
            // 3.1 cannot say that the session is gone, and nothing can be promised then.
            losses: choices.percent(40) && config.version != Version::V3_1,
            moods: choices.percent(40),
            faults: choices.percent(25),
            crashes: choices.percent(60) && config.durable,
            limits: choices.percent(60),
            high_water: choices.one_of(&[1 << 20, 1, 100]),
        }
    }
}

/// A configuration, with bounds that are met.
pub(super) fn config(choices: &mut Choices<'_>) -> Config {
    let version = choices.one_of(&[Version::V5, Version::V3_1_1, Version::V3_1]);
    let mut config = Config {
        clean_start: choices.one_of(&[CleanStart::Never, CleanStart::FirstOnly, CleanStart::Always]),
        on_session_lost: choices.one_of(&[OnSessionLost::Requeue, OnSessionLost::Fail]),
        keep_alive: choices.one_of(&[0, 5, 30]),
        ping_timeout: Duration::from_secs(choices.one_of(&[10, 3])),
        maximum_packet_size: choices.one_of(&[None, Some(1000)]),
        durable: choices.percent(50),
        limits: Limits {
            queue_messages: choices.one_of(&[10_000, 20, 5, 1]),
            queue_bytes: choices.one_of(&[1 << 26, 2000, 200]),
            in_flight: choices.one_of(&[None, Some(1), Some(2), Some(5), Some(17)]),
            requests: choices.one_of(&[1000, 3, 1]),
            topic_aliases: choices.one_of(&[16, 0, 1, 2]),
            overflow: choices.one_of(&[
                Overflow::Refuse,
                Overflow::DropOldest,
                Overflow::DropNewest,
                Overflow::KeepLatest,
            ]),
        },
        set_aside_after: choices.one_of(&[None, None, None, NonZeroU32::new(1), NonZeroU32::new(2)]),
        ..pair::config(version)
    };
    if choices.percent(20) {
        let will = crate::packets::will("will", "gone");
        config.will = Some(mqtt_codec::Will { qos: QoS::AtLeastOnce, ..will });
    }
    if version.is_v5() {
        config.receive_maximum = choices.one_of(&[u16::MAX, 1, 2, 5]);
        config.topic_alias_maximum = choices.one_of(&[0, 1, 3]);
        config.session_expiry =
            choices.one_of(&[Some(3600), None, Some(u32::MAX), Some(0), Some(5), Some(60)]);
    }
    if !version.is_v5() {
        config.retransmit_after = choices.one_of(&[None, None, Some(4)]).map(Duration::from_secs);
    }
    if version.is_v5() && choices.percent(10)
        || version == Version::V3_1_1 && config.clean_start == CleanStart::Always && choices.percent(10)
    {
        config.client_id = Text::default();
    }
    config
}
