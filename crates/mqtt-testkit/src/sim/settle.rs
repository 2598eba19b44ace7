//! The end of a run: everything is let through and comes to rest, or the application gives up. Then the books must
//! balance.

use super::books::{Checked, Stage, ensure};
use super::steps::ALL;
use super::world::World;
use core::time::Duration;
use mqtt_codec::{QoS, ReasonCode};

/// More rounds than this come to no rest.
const ROUNDS: usize = 200;

impl World<'_, '_> {
    pub(super) fn finish(&mut self) -> Checked {
        let rest = !self.choices.percent(25);
        self.friendly = true;
        if rest {
            self.come_to_rest()?;
            self.balance()?;
        }
        self.give_up()
    }

    fn come_to_rest(&mut self) -> Checked {
        self.play.line(|| "== from here on everything gets through".into());
        if self.books.wire.faulty || self.choices.percent(50) {
            self.cut()?;
        }
        for _ in 0..ROUNDS {
            if self.link.is_none() {
                self.open()?;
            }
            self.unpause();
            self.settle_step()?;
            self.write(ALL)?;
            self.up(ALL)?;
            while self.answer_one(0) {}
            self.down(ALL)?;
            while !self.to_acknowledge.is_empty() {
                self.acknowledge_one(0, ReasonCode::SUCCESS)?;
            }
            self.settle_step()?;
            if self.is_at_rest() {
                return Ok(());
            }
            if self.link.as_ref().is_none_or(|link| link.is_quiet()) {
                // An answer that will never come, or an end that nobody has noticed.
                self.wait(Duration::from_secs(1), true)?;
            }
        }
        let session = &self.session;
        Err(format!(
            "it comes to no rest: {} queued, {} in flight, tokens {:?}, the server awaits {:?}",
            session.queued(),
            session.in_flight(),
            self.books.tokens,
            self.server.session.as_ref().map(|session| &session.serving)
        ))
    }

    fn is_at_rest(&self) -> bool {
        self.session.is_connected()
            && self.books.tokens.is_empty()
            && self.books.ids.is_empty()
            && self.link.as_ref().is_some_and(|link| link.is_quiet() && !link.closed)
            && self.server.session.as_ref().is_some_and(|session| session.serving.is_empty())
    }

    fn balance(&mut self) -> Checked {
        for (number, message) in self.books.messages.iter().enumerate() {
            ensure!(message.stage == Stage::Done, "message {number} has no outcome: {message:?}");
        }
        for (number, qos) in &self.server.promised {
            let heard = |delivery: &&super::incoming::Delivery| delivery.number == Some(*number);
            ensure!(
                *qos == QoS::AtMostOnce || self.books.deliveries.iter().any(|delivery| heard(&delivery)),
                "message {number} of the server is lost"
            );
        }
        if let Some(session) = &self.server.session {
            for (filter, there) in &self.books.wanted {
                ensure!(
                    session.filters.contains(filter) == *there,
                    "subscribed to {filter}: {there}, the server has {:?}",
                    session.filters
                );
            }
        }
        self.store.check_at_rest(&self.books)
    }

    fn give_up(&mut self) -> Checked {
        self.play.line(|| "== the application gives up".into());
        let written = self.link.as_ref().map_or(0, |link| link.written);
        self.books.given_up(written);
        let ((), events) = self.call(|session, now| session.abandon(now));
        self.note(events)?;
        ensure!(self.link.take().is_none_or(|link| link.ended), "a connection without an end");
        ensure!(self.books.tokens.is_empty(), "no outcome for {:?}", self.books.tokens);
        self.books.check(&self.session)
    }
}
