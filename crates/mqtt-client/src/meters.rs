//! Counters and gauges of the feature `metrics`; the table in the crate's documentation lists them.

use crate::connection::Event;
use crate::frames::Frame;
use crate::submissions::Load;
use metrics::{Counter, Gauge, counter, gauge};

pub(crate) struct Meters {
    messages_sent: [Counter; 3],
    messages_received: [Counter; 3],
    bytes_sent: Counter,
    bytes_received: Counter,
    messages_dropped: Counter,
    messages_unclaimed: Counter,
    deliveries_dropped: Counter,
    connections: Counter,
    reconnects: Counter,
    disconnects: Counter,
    queue_messages: Gauge,
    queue_bytes: Gauge,
    in_flight: Gauge,
    ping_round_trip: Gauge,
    /// A server has accepted this client.
    established: bool,
}

impl Meters {
    /// Those of a client of this name. They belong to the recorder that is installed now.
    pub(crate) fn new(client: &str) -> Self {
        let count = |name: &'static str| counter!(name, "client" => client.to_owned());
        let by_qos = |name: &'static str| {
            ["0", "1", "2"].map(|qos| counter!(name, "client" => client.to_owned(), "qos" => qos))
        };
        let level = |name: &'static str| gauge!(name, "client" => client.to_owned());
        Self {
            messages_sent: by_qos("mqtt_messages_sent_total"),
            messages_received: by_qos("mqtt_messages_received_total"),
            bytes_sent: count("mqtt_bytes_sent_total"),
            bytes_received: count("mqtt_bytes_received_total"),
            messages_dropped: count("mqtt_messages_dropped_total"),
            messages_unclaimed: count("mqtt_messages_unclaimed_total"),
            deliveries_dropped: count("mqtt_deliveries_dropped_total"),
            connections: count("mqtt_connections_total"),
            reconnects: count("mqtt_reconnects_total"),
            disconnects: count("mqtt_disconnects_total"),
            queue_messages: level("mqtt_queue_messages"),
            queue_bytes: level("mqtt_queue_bytes"),
            in_flight: level("mqtt_in_flight"),
            ping_round_trip: level("mqtt_ping_round_trip_seconds"),
            established: false,
        }
    }

    pub(crate) fn event(&mut self, event: &Event) {
        match event {
            Event::Connected(_) => {
                self.connections.increment(1);
                self.reconnects.increment(u64::from(core::mem::replace(&mut self.established, true)));
            }
            Event::Disconnected { .. } => self.disconnects.increment(1),
            _ => {}
        }
    }

    pub(crate) fn sent(&self, frame: Frame) {
        count_message(&self.messages_sent, frame);
        self.bytes_sent.increment(frame.size as u64);
    }

    pub(crate) fn received(&self, frame: Frame) {
        count_message(&self.messages_received, frame);
        self.bytes_received.increment(frame.size as u64);
    }

    pub(crate) fn dropped(&self) {
        self.messages_dropped.increment(1);
    }

    pub(crate) fn deliveries_dropped(&self, messages: u64) {
        self.deliveries_dropped.increment(messages);
    }

    pub(crate) fn unclaimed(&self, messages: u64) {
        self.messages_unclaimed.increment(messages);
    }

    pub(crate) fn load(&self, load: &Load) {
        self.queue_messages.set(load.queued.messages as f64);
        self.queue_bytes.set(load.queued.bytes as f64);
        self.in_flight.set(load.gauges.in_flight as f64);
        if let Some(time) = load.gauges.ping_round_trip {
            self.ping_round_trip.set(time.as_secs_f64());
        }
    }
}

fn count_message(counters: &[Counter; 3], frame: Frame) {
    if let Some(counter) = frame.qos().and_then(|qos| counters.get(usize::from(qos))) {
        counter.increment(1);
    }
}
