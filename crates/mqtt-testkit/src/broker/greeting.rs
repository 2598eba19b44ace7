//! CONNECT, and the CONNACK that answers it.

use super::conversation::Conversation;
use super::link::Link;
use super::options::Options;
use super::outbound::Limits;
use super::session::Opening;
use super::shared::Shared;
use super::state::State;
use mqtt_codec::{ConnAck, Connect, PropertiesBuf, ReasonCode, Text, Version, Will};
use std::sync::Arc;
use tokio::time::Instant;

/// The longest client identifier of 3.1, in characters.
const V3_1_CLIENT_ID_CHARS: usize = 23;

/// Lets a client in, or says why not.
pub(super) fn greet(
    shared: &Arc<Shared>,
    state: &mut State,
    now: Instant,
    connect: Connect,
    version: Version,
    refuse: Option<ReasonCode>,
    link: &Arc<Link>,
) -> Result<(Conversation, ConnAck), ReasonCode> {
    if let Some(reason) = refuse {
        return Err(reason);
    }
    let options = &shared.options;
    check(options, &connect, version)?;
    let keep_alive = options.server_keep_alive.filter(|_| version.is_v5()).unwrap_or(connect.keep_alive);
    let asked_expiry = asked_expiry(&connect, version);
    let assigned = connect.client_id.is_empty().then(|| state.assign_client_id());
    let properties = match version {
        Version::V5 => options.connack_properties(assigned.as_deref(), asked_expiry),
        _ => PropertiesBuf::new(),
    };
    let client_id = assigned.unwrap_or_else(|| connect.client_id.clone());
    let opening = Opening {
        client_id: client_id.clone(),
        clean_start: connect.clean_start,
        expiry: if version.is_v5() { asked_expiry.min(options.session_expiry_limit) } else { asked_expiry },
        limits: Limits {
            version,
            receive_maximum: connect.properties.view().receive_maximum().unwrap_or(u16::MAX),
            maximum_packet_size: connect.properties.view().maximum_packet_size(),
        },
        will: connect.will,
    };
    let was_there = state.open(now, opening, link.clone());
    // 3.1 does not tell.
    let session_present = was_there && version != Version::V3_1;
    let conversation = Conversation::new(shared.clone(), link.clone(), client_id, version, keep_alive, now);
    Ok((conversation, ConnAck { session_present, reason: ReasonCode::SUCCESS, properties }))
}

/// The refusal in the form of the version; before 5.0 a code without a return code there becomes 3.
pub(super) fn refusal(reason: ReasonCode, version: Version) -> ConnAck {
    let sayable = version.is_v5() || reason.to_v3_connect().is_some();
    let reason = if sayable { reason } else { ReasonCode::SERVER_UNAVAILABLE };
    ConnAck { session_present: false, reason, properties: PropertiesBuf::new() }
}

fn check(options: &Options, connect: &Connect, version: Version) -> Result<(), ReasonCode> {
    if !options.versions.contains(&version) {
        return Err(ReasonCode::UNSUPPORTED_PROTOCOL_VERSION);
    }
    // `[MQTT-4.12.0-1]`
    if connect.properties.view().authentication_method().is_some() {
        return Err(ReasonCode::BAD_AUTHENTICATION_METHOD);
    }
    if !takes_client_id(&connect.client_id, connect.clean_start, version) {
        return Err(ReasonCode::CLIENT_IDENTIFIER_NOT_VALID);
    }
    if !may_enter(options, connect) {
        return Err(ReasonCode::BAD_USER_NAME_OR_PASSWORD);
    }
    connect.will.as_ref().map_or(Ok(()), |will| check_will(options, will))
}

fn takes_client_id(id: &Text, clean_start: bool, version: Version) -> bool {
    match version {
        Version::V3_1 => (1..=V3_1_CLIENT_ID_CHARS).contains(&id.chars().count()), // `[31-2]`
        Version::V3_1_1 => clean_start || !id.is_empty(),                          // `[MQTT-3.1.3-8/3.1.1]`
        Version::V5 => true,                                                       // `[MQTT-3.1.3-6]`
    }
}

fn may_enter(options: &Options, connect: &Connect) -> bool {
    options.users.is_empty()
        || connect.username.as_ref().is_some_and(|name| {
            options
                .users
                .get(name.as_str())
                .is_some_and(|password| connect.password.as_ref() == Some(password))
        })
}

fn check_will(options: &Options, will: &Will) -> Result<(), ReasonCode> {
    if will.qos > options.maximum_qos {
        return Err(ReasonCode::QOS_NOT_SUPPORTED); // `[MQTT-3.2.2-12]`
    }
    if will.retain && !options.retain {
        return Err(ReasonCode::RETAIN_NOT_SUPPORTED); // `[MQTT-3.2.2-13]`
    }
    Ok(())
}

/// Seconds that the session outlives the connection. Before 5.0: not at all with Clean Session, for ever without.
fn asked_expiry(connect: &Connect, version: Version) -> u32 {
    match version {
        Version::V5 => connect.properties.view().session_expiry_interval().unwrap_or(0),
        _ if connect.clean_start => 0,
        _ => u32::MAX,
    }
}
