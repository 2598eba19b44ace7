//! Subscriptions: requests under way, and what is to be subscribed again when the server has lost the
//! session.

use crate::error::{ProtocolError, UsageError};
use crate::event::{Event, Outcome, Token, owned};
use crate::in_flight::{Awaiting, InFlight, Order};
use crate::negotiated::Negotiated;
use crate::store::Reports;
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use mqtt_codec::{
    PacketId, PacketType, PropertiesBuf, ReasonCode, SubAck, Subscribe, SubscriptionOptions, TopicFilter,
    UnsubAck, Unsubscribe, Version, WireBuf,
};

/// What survives a connection: what is to be asked, and what was granted.
#[derive(Debug)]
pub(crate) struct Subscriptions {
    /// Requests to send, in order.
    waiting: VecDeque<Request>,
    /// What the application wants, by filter: the same filter again takes the place of the earlier one, as it
    /// does at the server `[MQTT-3.8.4-3]`.
    wanted: BTreeMap<TopicFilter, Wanted>,
}

#[derive(Debug)]
struct Wanted {
    options: SubscriptionOptions,
    properties: PropertiesBuf,
    /// Of the request that asked for it last.
    token: Token,
    granted: bool,
}

#[derive(Debug)]
enum Request {
    Subscribe(Box<Subscribing>),
    Unsubscribe(Box<Unsubscribing>),
}

/// A SUBSCRIBE to be sent or answered.
#[derive(Clone, Debug)]
pub(crate) struct Subscribing {
    /// `None` if the session asks again by itself.
    token: Option<Token>,
    filters: Vec<(TopicFilter, SubscriptionOptions)>,
    properties: PropertiesBuf,
    /// It was sent, on an earlier link if it waits.
    sent: bool,
}

/// An UNSUBSCRIBE to be sent or answered.
#[derive(Debug)]
pub(crate) struct Unsubscribing {
    token: Token,
    filters: Vec<TopicFilter>,
    properties: PropertiesBuf,
    /// It was sent, on an earlier link if it waits.
    sent: bool,
}

/// So many filters at most are subscribed again with one SUBSCRIBE.
const FILTERS_AGAIN: usize = 256;

impl Subscriptions {
    pub(crate) const fn new() -> Self {
        Self { waiting: VecDeque::new(), wanted: BTreeMap::new() }
    }

    /// Whether the server has no reason to send anything, unless another connection gave it one.
    pub(crate) fn is_empty(&self) -> bool {
        self.wanted.is_empty() && self.waiting.is_empty()
    }

    /// Requests that wait to be sent.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    pub(crate) fn subscribe(
        &mut self,
        token: Token,
        filters: Vec<(TopicFilter, SubscriptionOptions)>,
        properties: PropertiesBuf,
    ) {
        for (filter, options) in &filters {
            let wanted = Wanted { options: *options, properties: properties.clone(), token, granted: false };
            self.wanted.insert(filter.clone(), wanted);
        }
        let subscribing = Subscribing { token: Some(token), filters, properties, sent: false };
        self.waiting.push_back(Request::Subscribe(subscribing.into()));
    }

    pub(crate) fn unsubscribe(&mut self, token: Token, filters: Vec<TopicFilter>, properties: PropertiesBuf) {
        for filter in &filters {
            self.wanted.remove(filter);
        }
        let unsubscribing = Unsubscribing { token, filters, properties, sent: false };
        self.waiting.push_back(Request::Unsubscribe(unsubscribing.into()));
    }

    /// Writes the next SUBSCRIBE or UNSUBSCRIBE, with an identifier from the table that PUBLISH uses too
    /// `[MQTT-2.2.1-3]`. A full window does not hold it back `[MQTT-3.3.4-8]`.
    pub(crate) fn transmit(
        &mut self,
        negotiated: &Negotiated,
        table: &mut InFlight,
        reports: &mut Reports,
        out: &mut WireBuf,
    ) -> bool {
        while !self.waiting.is_empty() {
            let Some(vacant) = table.vacant() else { return false };
            match self.waiting.pop_front() {
                Some(Request::Subscribe(mut subscribing)) => {
                    match subscribing.write(vacant.id(), negotiated, out) {
                        Ok(()) => {
                            subscribing.sent = true;
                            vacant.insert(Awaiting::SubAck(subscribing));
                            return true;
                        }
                        Err(error) => self.refuse_subscribe(*subscribing, error, reports),
                    }
                }
                Some(Request::Unsubscribe(mut unsubscribing)) => {
                    match unsubscribing.write(vacant.id(), negotiated, out) {
                        Ok(()) => {
                            unsubscribing.sent = true;
                            vacant.insert(Awaiting::UnsubAck(unsubscribing));
                            return true;
                        }
                        Err(error) => {
                            let outcome = unanswered(unsubscribing.sent, Outcome::Refused(error));
                            reports.complete(unsubscribing.token, outcome);
                        }
                    }
                }
                None => {}
            }
        }
        false
    }

    /// Completes a SUBSCRIBE: one code for each filter, in order `[MQTT-3.8.4-6]` `[MQTT-3.9.3-1]`. One that
    /// fits nothing is ignored.
    pub(crate) fn handle_suback(
        &mut self,
        suback: &SubAck,
        table: &mut InFlight,
        reports: &mut Reports,
    ) -> Result<(), ProtocolError> {
        let Some(Awaiting::SubAck(subscribing)) = table.get(suback.id()) else { return Ok(()) };
        check_count(PacketType::SubAck, suback.codes().len(), subscribing.filters.len())?;
        let Some(Awaiting::SubAck(subscribing)) = table.remove(suback.id()) else { return Ok(()) };
        let Subscribing { token, filters, .. } = *subscribing;
        match token {
            Some(token) => {
                for ((filter, _), code) in filters.iter().zip(suback.codes()) {
                    self.answered(filter, token, code);
                }
                let (codes, properties) = (suback.codes().collect(), owned(suback.properties()));
                reports.complete(token, Outcome::Subscribed { codes, properties });
            }
            None => {
                for ((filter, _), code) in filters.into_iter().zip(suback.codes()) {
                    if code.is_error() {
                        self.lost(filter, code, reports);
                    }
                }
            }
        }
        Ok(())
    }

    /// Completes an UNSUBSCRIBE. Before 5.0 UNSUBACK has no codes. One that fits nothing is ignored.
    pub(crate) fn handle_unsuback(
        &mut self,
        unsuback: &UnsubAck,
        table: &mut InFlight,
        reports: &mut Reports,
        version: Version,
    ) -> Result<(), ProtocolError> {
        let Some(Awaiting::UnsubAck(unsubscribing)) = table.get(unsuback.id()) else { return Ok(()) };
        if version.is_v5() {
            check_count(PacketType::UnsubAck, unsuback.codes().len(), unsubscribing.filters.len())?;
        }
        if let Some(Awaiting::UnsubAck(unsubscribing)) = table.remove(unsuback.id()) {
            let (codes, properties) = (unsuback.codes().collect(), owned(unsuback.properties()));
            reports.complete(unsubscribing.token, Outcome::Unsubscribed { codes, properties });
        }
        Ok(())
    }

    /// The connection is gone. A request whose answer never came is asked again on the next one, as a new
    /// packet: it is no part of the session `[MQTT-4.4.0-1]`.
    pub(crate) fn close(&mut self, table: &mut InFlight, reports: &mut Reports) {
        while let Some(awaiting) = table.pop_last(Order::Requests) {
            match awaiting {
                Awaiting::SubAck(subscribing) => self.ask_again(subscribing, reports),
                Awaiting::UnsubAck(unsubscribing) => {
                    self.waiting.push_front(Request::Unsubscribe(unsubscribing));
                }
                _ => {}
            }
        }
    }

    /// Asks again, but for no filter that a later request was about: that may be answered already, and would be undone.
    /// What the application asked for is then given up as a whole.
    fn ask_again(&mut self, mut subscribing: Box<Subscribing>, reports: &mut Reports) {
        let (token, wanted) = (subscribing.token, &mut self.wanted);
        let stands = |filter: &TopicFilter, wanted: &BTreeMap<TopicFilter, Wanted>| {
            wanted
                .get(filter)
                .is_some_and(|wanted| token.map_or(wanted.granted, |token| wanted.token == token))
        };
        let asked = subscribing.filters.len();
        subscribing.filters.retain(|(filter, _)| stands(filter, wanted));
        if subscribing.filters.len() < asked
            && let Some(token) = token
        {
            for (filter, _) in subscribing.filters.drain(..) {
                wanted.remove(&filter);
            }
            reports.complete(token, Outcome::Unknown);
        }
        if !subscribing.filters.is_empty() {
            self.waiting.push_front(Request::Subscribe(subscribing));
        }
    }

    /// The server has lost the session, or may have: what was granted is asked for again, before anything
    /// else.
    pub(crate) fn subscribe_again(&mut self) {
        self.waiting.retain(|request| match request {
            Request::Subscribe(subscribing) => subscribing.token.is_some(),
            Request::Unsubscribe(_) => true,
        });
        let mut again: Vec<Subscribing> = Vec::new();
        for (filter, wanted) in self.wanted.iter().filter(|(_, wanted)| wanted.granted) {
            let filter = (filter.clone(), wanted.options);
            match again.last_mut() {
                Some(last) if last.properties == wanted.properties && last.filters.len() < FILTERS_AGAIN => {
                    last.filters.push(filter);
                }
                _ => again.push(Subscribing {
                    token: None,
                    filters: [filter].into(),
                    properties: wanted.properties.clone(),
                    sent: false,
                }),
            }
        }
        for subscribing in again.into_iter().rev() {
            self.waiting.push_front(Request::Subscribe(subscribing.into()));
        }
    }

    /// Completes everything: what was sent and what was not.
    pub(crate) fn abandon(&mut self, table: &mut InFlight, reports: &mut Reports) {
        self.close(table, reports);
        for request in self.waiting.drain(..) {
            let (token, sent) = match request {
                Request::Subscribe(request) => (request.token, request.sent),
                Request::Unsubscribe(request) => (Some(request.token), request.sent),
            };
            if let Some(token) = token {
                reports.complete(token, unanswered(sent, Outcome::NotSent));
            }
        }
        self.wanted.clear();
    }

    /// The server cannot be asked this.
    fn refuse_subscribe(&mut self, subscribing: Subscribing, error: UsageError, reports: &mut Reports) {
        let Subscribing { token, filters, properties, sent } = subscribing;
        if let Some(token) = token {
            for (filter, _) in &filters {
                self.answered(filter, token, ReasonCode::UNSPECIFIED_ERROR);
            }
            reports.complete(token, unanswered(sent, Outcome::Refused(error)));
        } else if let [(filter, _)] = filters.as_slice() {
            self.lost(filter.clone(), error.reason_code(), reports);
        } else {
            // Some of these filters may be the reason, or all together: one by one it shows.
            for filter in filters.into_iter().rev() {
                let one =
                    Subscribing { token, filters: [filter].into(), properties: properties.clone(), sent };
                self.waiting.push_front(Request::Subscribe(one.into()));
            }
        }
    }

    fn answered(&mut self, filter: &TopicFilter, token: Token, code: ReasonCode) {
        match self.wanted.get_mut(filter) {
            // A later request for the same filter has its own answer to come.
            Some(wanted) if wanted.token != token => {}
            Some(wanted) if !code.is_error() => wanted.granted = true,
            _ => drop(self.wanted.remove(filter)),
        }
    }

    /// A filter that the session asked for by itself is refused.
    fn lost(&mut self, filter: TopicFilter, code: ReasonCode, reports: &mut Reports) {
        if self.wanted.get(&filter).is_some_and(|wanted| wanted.granted) {
            self.wanted.remove(&filter);
            reports.events.push_back(Event::SubscriptionLost(filter, code));
        }
    }
}

/// Whether this can be asked at all in this version. Returns the bytes of the SUBSCRIBE.
pub(crate) fn check_subscribe(
    filters: &[(TopicFilter, SubscriptionOptions)],
    properties: &PropertiesBuf,
    version: Version,
) -> Result<usize, UsageError> {
    let filters = filters.iter().map(|(filter, options)| (filter, *options));
    let packet = Subscribe::new(PacketId::MIN, properties, filters)?;
    packet.encode(version, &mut WireBuf::new())?;
    Ok(packet.encoded_len(version))
}

/// Whether this can be asked at all in this version. Returns the bytes of the UNSUBSCRIBE.
pub(crate) fn check_unsubscribe(
    filters: &[TopicFilter],
    properties: &PropertiesBuf,
    version: Version,
) -> Result<usize, UsageError> {
    let packet = Unsubscribe::new(PacketId::MIN, properties, filters)?;
    packet.encode(version, &mut WireBuf::new())?;
    Ok(packet.encoded_len(version))
}

impl Subscribing {
    fn write(&self, id: PacketId, negotiated: &Negotiated, out: &mut WireBuf) -> Result<(), UsageError> {
        negotiated.check_subscription(&self.filters, self.properties.view())?;
        let filters = self.filters.iter().map(|(filter, options)| (filter, *options));
        let packet = Subscribe::new(id, &self.properties, filters)?;
        negotiated.check_size(packet.encoded_len(negotiated.version))?;
        Ok(packet.encode(negotiated.version, out)?)
    }
}

impl Unsubscribing {
    fn write(&self, id: PacketId, negotiated: &Negotiated, out: &mut WireBuf) -> Result<(), UsageError> {
        let packet = Unsubscribe::new(id, &self.properties, &self.filters)?;
        negotiated.check_size(packet.encoded_len(negotiated.version))?;
        Ok(packet.encode(negotiated.version, out)?)
    }
}

/// What became of a request without an answer: one that was sent on an earlier link may have arrived.
fn unanswered(sent: bool, outcome: Outcome) -> Outcome {
    if sent { Outcome::Unknown } else { outcome }
}

fn check_count(packet: PacketType, codes: usize, filters: usize) -> Result<(), ProtocolError> {
    if codes == filters { Ok(()) } else { Err(ProtocolError::ReasonCodeCount { packet, codes, filters }) }
}
