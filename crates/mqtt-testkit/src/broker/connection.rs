//! The task of one connection: its bytes, its first packet, its end.

use super::clock;
use super::conversation::{Conversation, End};
use super::faults::{Direction, Plan};
use super::greeting;
use super::link::{Link, Order};
use super::pipe::{Pipe, Step};
use super::shared::Shared;
use super::state::State;
use mqtt_codec::{Connect, DecodeError, Decoder, Fault, Packet, ReasonCode, Version};
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

/// Accepts a connection; the future serves it to its end.
pub(super) fn serve<S: AsyncRead + AsyncWrite>(
    shared: Arc<Shared>,
    stream: S,
) -> impl Future<Output = ()> + use<S> {
    let plan = shared.faults.plan();
    let mut decoder = Decoder::for_server();
    if let Some(bytes) = shared.options.maximum_packet_size {
        decoder = decoder.max_packet_size(bytes);
    }
    let mut connection = Connection {
        link: shared.open_link(),
        frozen: shared.faults.watch_frozen(),
        pipe: Pipe::new(stream, &plan),
        conversation: None,
        plan,
        shared,
        decoder,
    };
    async move {
        let end = connection.run().await;
        connection.finish(end).await;
    }
}

#[derive(Debug)]
struct Connection<S> {
    shared: Arc<Shared>,
    plan: Plan,
    link: Arc<Link>,
    frozen: watch::Receiver<bool>,
    decoder: Decoder,
    pipe: Pipe<S>,
    /// Begins with an accepted CONNECT.
    conversation: Option<Conversation>,
}

impl<S: AsyncRead + AsyncWrite> Connection<S> {
    async fn run(&mut self) -> End {
        loop {
            match self.link.order() {
                Some(Order::Disconnect(reason)) => return End::Disconnect(reason),
                Some(Order::Cut) => return End::Cut,
                None => {}
            }
            let turn = if *self.frozen.borrow_and_update() { self.hold().await } else { self.turn().await };
            if let Err(end) = turn {
                return end;
            }
        }
    }

    /// Writes what there is to write, then waits for one thing to happen and deals with it.
    async fn turn(&mut self) -> Result<(), End> {
        if let Some(conversation) = &mut self.conversation {
            let output = &mut self.pipe.output;
            self.shared.update(|state| conversation.write(clock::now(), state, output));
        }
        let deadline = self.conversation.as_ref().and_then(Conversation::deadline);
        tokio::select! {
            step = self.pipe.step() => match step {
                Ok(Step::Read) => self.on_input(),
                Ok(Step::Written) => Ok(()),
                Ok(Step::Cut) => Err(End::Cut),
                Ok(Step::End) | Err(_) => Err(End::Closed),
            },
            () = self.link.woken() => Ok(()),
            () = clock::sleep_until(deadline), if deadline.is_some() => {
                self.conversation.as_mut().map_or(Ok(()), |conversation| conversation.on_deadline(clock::now()))
            }
            _ = self.frozen.changed() => Ok(()),
        }
    }

    /// Leaves the link half open until the broker thaws.
    async fn hold(&mut self) -> Result<(), End> {
        tokio::select! {
            _ = self.frozen.changed() => {}
            _ = self.link.ordered() => {}
        }
        if let Some(conversation) = &mut self.conversation {
            conversation.thaw(clock::now());
        }
        Ok(())
    }

    fn on_input(&mut self) -> Result<(), End> {
        if self.plan.silent {
            self.pipe.input.clear();
            return Ok(());
        }
        let shared = self.shared.clone();
        shared.update(|state| {
            while let Some(packet) = self.decode(state)? {
                match (&mut self.conversation, packet) {
                    (None, Packet::Connect(connect)) => self.on_connect(state, *connect)?,
                    (Some(conversation), packet) => conversation.handle(clock::now(), state, packet)?,
                    // The decoder takes nothing else as the first packet `[MQTT-3.1.0-1]`.
                    (None, _) => return Err(End::Cut),
                }
            }
            Ok(())
        })
    }

    fn on_connect(&mut self, state: &mut State, connect: Connect) -> Result<(), End> {
        let version = self.decoder.version().unwrap_or(Version::V5);
        let greeted = greeting::greet(
            &self.shared,
            state,
            clock::now(),
            connect,
            version,
            self.plan.refuse,
            &self.link,
        );
        match greeted {
            Ok((conversation, connack)) => {
                conversation.say(state, &Packet::ConnAck(Box::new(connack)), &mut self.pipe.output);
                self.conversation = Some(conversation);
                if self.plan.close_after_connack { Err(End::Done) } else { Ok(()) }
            }
            Err(reason) => {
                self.refuse(state, reason, version);
                Err(End::Done)
            }
        }
    }

    /// The last packet of a connection that does not begin `[MQTT-3.2.2-7]`.
    fn refuse(&mut self, state: &mut State, reason: ReasonCode, version: Version) {
        // Who speaks a version that is not spoken here gets the form that every version understands.
        let version =
            if reason == ReasonCode::UNSUPPORTED_PROTOCOL_VERSION { Version::V3_1_1 } else { version };
        let connack = Packet::ConnAck(Box::new(greeting::refusal(reason, version)));
        self.shared.say(state, self.link.number, version, &connack, &mut self.pipe.output);
    }

    /// What a broken packet leads to: a goodbye with its code, or a bare close before the session began.
    fn on_malformed(&mut self, state: &mut State, error: DecodeError) -> End {
        if self.conversation.is_some() {
            return End::Disconnect(error.reason_code());
        }
        if matches!(error.fault(), Fault::UnsupportedVersion(_)) {
            self.refuse(state, error.reason_code(), Version::V3_1_1); // `[MQTT-3.1.2-2]`
        }
        End::Done
    }

    fn decode(&mut self, state: &mut State) -> Result<Option<Packet>, End> {
        let packet = match self.decoder.decode(&mut self.pipe.input) {
            Ok(packet) => packet,
            Err(error) => return Err(self.on_malformed(state, error)),
        };
        if let Some(packet) = &packet {
            let keep = || Some(packet.clone());
            state.records.add(self.link.number, Direction::FromClient, packet.packet_type(), keep);
        }
        Ok(packet)
    }

    async fn finish(mut self, end: End) {
        let keep_will = end != End::Goodbye { keep_will: false };
        self.shared.update(|state| {
            state.links.remove(&self.link.number);
            let Some(conversation) = &mut self.conversation else { return };
            state.close(clock::now(), conversation.client_id(), self.link.number, keep_will);
            if matches!(end, End::Disconnect(_) | End::Done) {
                conversation.write_replies(state, &mut self.pipe.output);
            }
            if let End::Disconnect(reason) = end {
                conversation.say_disconnect(state, reason, &mut self.pipe.output);
            }
        });
        match end {
            End::Closed => return,
            End::Disconnect(_) | End::Done => self.pipe.finish_writing().await,
            End::Cut | End::Goodbye { .. } => {}
        }
        self.pipe.close().await;
    }
}
