//! Messages on their way: what becomes of each is waited for, in order, and told.

use std::collections::VecDeque;

use mqtt_client::{DeliveryToken, Outcome, PublishError};

use crate::connection::ended;
use crate::failure::Failure;
use crate::output::Report;

/// The messages whose fate is not known yet.
pub(crate) struct Deliveries {
    waiting: VecDeque<(String, DeliveryToken)>,
    /// No more are under way at once; whoever has more waits.
    window: usize,
    failed: u64,
    /// They are in a store: what is under way at an end is sent by the next run.
    stored: bool,
    report: Report,
}

impl Deliveries {
    pub(crate) fn new(window: u16, report: Report) -> Self {
        Self { waiting: VecDeque::new(), window: usize::from(window), failed: 0, stored: false, report }
    }

    /// The same, of messages that are in a store.
    pub(crate) fn stored(report: Report) -> Self {
        let mut deliveries = Self::new(u16::MAX, report);
        deliveries.stored = true;
        deliveries
    }

    /// Whether [`settle_one`](Self::settle_one) is due before the next one.
    pub(crate) fn is_full(&self) -> bool {
        self.waiting.len() >= self.window
    }

    /// Takes in a message that the client has accepted, or counts it if the client refused it; `name` is what a report
    /// calls it. Fails if the client has ended.
    pub(crate) fn add(
        &mut self,
        name: String,
        accepted: Result<DeliveryToken, PublishError>,
    ) -> Result<(), Failure> {
        match accepted {
            Ok(token) => self.waiting.push_back((name, token)),
            Err(PublishError::Closed(closed)) => return Err(ended(&closed)),
            Err(error) => self.fail(&name, &error.to_string()),
        }
        Ok(())
    }

    /// Messages whose fate is not known.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Messages that were not delivered, each reported.
    pub(crate) fn failed(&self) -> u64 {
        self.failed
    }

    /// Waits for the fate of the oldest message. False if there is none. Dropping the future loses nothing.
    pub(crate) async fn settle_one(&mut self) -> bool {
        let Some((name, token)) = self.waiting.front_mut() else { return false };
        let verdict = verdict(&token.await);
        let name = core::mem::take(name);
        self.waiting.pop_front();
        match verdict {
            Ok(how) => self.report.debug(format_args!("{name}: {how}")),
            Err(why) => self.fail(&name, &why),
        }
        true
    }

    /// Waits for the fate of all.
    pub(crate) async fn settle_all(&mut self) {
        while self.settle_one().await {}
    }

    /// Counts and reports a message that was not delivered.
    pub(crate) fn fail(&mut self, name: &str, why: &str) {
        self.failed += 1;
        self.report.error(format_args!("{name} was not delivered: {why}"));
    }
}

/// Cut short, by a signal or `-W`.
impl Drop for Deliveries {
    fn drop(&mut self) {
        if !self.waiting.is_empty() {
            let count = self.waiting.len();
            if self.stored {
                self.report.error(format_args!("messages that wait in the store for the next run: {count}"));
            } else {
                self.report.error(format_args!("messages under way, which may arrive or not: {count}"));
            }
        }
    }
}

/// How a message was delivered, or why not.
fn verdict(outcome: &Outcome) -> Result<String, String> {
    match outcome {
        Outcome::Sent => Ok("sent".to_owned()),
        Outcome::Acked { reason, .. } if !reason.is_error() => Ok(format!("acknowledged, {reason}")),
        Outcome::Acked { reason, properties } => Err(match properties.view().reason_string() {
            Some(text) => format!("the server refused it, {reason} ({text})"),
            None => format!("the server refused it, {reason}"),
        }),
        Outcome::Refused(error) => Err(error.to_string()),
        Outcome::NotSent => Err("it was never sent".to_owned()),
        Outcome::Expired => Err("its expiry interval passed before it could be sent".to_owned()),
        Outcome::SessionLost => Err("the server lost the session, it may have arrived or not".to_owned()),
        Outcome::Unknown => Err("no acknowledgement came, it may have arrived or not".to_owned()),
        other => Err(format!("{other:?}")),
    }
}

#[cfg(test)]
mod tests {
    use mqtt_client::{PropertiesBuf, ReasonCode};

    use super::*;

    fn acked(reason: ReasonCode) -> Outcome {
        Outcome::Acked { reason, properties: PropertiesBuf::new() }
    }

    #[test]
    fn only_an_acknowledgement_without_error_is_a_delivery() {
        assert!(verdict(&Outcome::Sent).is_ok());
        assert!(verdict(&acked(ReasonCode::SUCCESS)).is_ok());
        assert!(verdict(&acked(ReasonCode::NO_MATCHING_SUBSCRIBERS)).is_ok());
        assert!(verdict(&acked(ReasonCode::NOT_AUTHORIZED)).is_err_and(|why| why.contains("0x87")));
        for outcome in
            [Outcome::NotSent, Outcome::Unknown, Outcome::Expired, Outcome::SessionLost, Outcome::Dropped]
        {
            assert!(verdict(&outcome).is_err());
        }
    }
}
