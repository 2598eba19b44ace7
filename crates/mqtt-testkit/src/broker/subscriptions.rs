//! Subscriptions, and the groups that share one.

use super::message::Message;
use super::outbound::Copy;
use mqtt_codec::{RetainHandling, SubscriptionOptions, Text, TopicFilter};
use std::sync::Arc;

#[derive(Clone, Debug)]
pub(super) struct Subscription {
    pub(super) filter: TopicFilter,
    /// With the granted QoS.
    pub(super) options: SubscriptionOptions,
    pub(super) identifier: Option<u32>,
}

impl Subscription {
    pub(super) fn is_shared(&self) -> bool {
        self.filter.shared().is_some()
    }

    /// Whether retained messages are due now; a shared subscription gets none, section 4.8.2.
    pub(super) fn wants_retained(&self, existed: bool) -> bool {
        !self.is_shared()
            && match self.options.retain_handling {
                RetainHandling::Send => true,          // `[MQTT-3.3.1-9]`
                RetainHandling::SendIfNew => !existed, // `[MQTT-3.3.1-10]`
                RetainHandling::DoNotSend => false,    // `[MQTT-3.3.1-11]`
            }
    }

    /// A copy of a message that has just been published `[MQTT-3.3.1-12]` `[MQTT-3.3.1-13]`.
    pub(super) fn copy_of_new(&self, message: &Arc<Message>) -> Copy {
        self.copy(message, message.retain && self.options.retain_as_published)
    }

    /// A copy of a retained message, sent because of the subscription: RETAIN is set, section 3.3.1.3.
    pub(super) fn copy_of_retained(&self, message: &Arc<Message>) -> Copy {
        self.copy(message, true)
    }

    fn copy(&self, message: &Arc<Message>, retain: bool) -> Copy {
        Copy {
            message: message.clone(),
            qos: message.qos.min(self.options.qos),
            retain,
            identifier: self.identifier,
        }
    }
}

/// The groups of shared subscriptions, section 4.8.2. Each message goes to one member, in turn; members that are away
/// are passed over while another is there. What a member had taken over stays with its session.
#[derive(Debug, Default)]
pub(super) struct Shares(Vec<Share>);

#[derive(Debug)]
struct Share {
    /// The whole `$share/NAME/FILTER`.
    filter: TopicFilter,
    members: Vec<Text>,
    /// The member whose turn it is.
    turn: usize,
}

impl Shares {
    pub(super) fn join(&mut self, filter: &TopicFilter, client: &Text) {
        let at = self.0.iter().position(|share| share.filter == *filter).unwrap_or_else(|| {
            self.0.push(Share { filter: filter.clone(), members: Vec::new(), turn: 0 });
            self.0.len() - 1
        });
        let members = &mut self.0[at].members;
        if !members.contains(client) {
            members.push(client.clone());
        }
    }

    pub(super) fn leave(&mut self, filter: &TopicFilter, client: &Text) {
        self.leave_where(client, |share| share.filter == *filter);
    }

    pub(super) fn leave_all(&mut self, client: &Text) {
        self.leave_where(client, |_| true);
    }

    fn leave_where(&mut self, client: &Text, of: impl Fn(&Share) -> bool) {
        for share in self.0.iter_mut().filter(|share| of(share)) {
            let Some(at) = share.members.iter().position(|member| member == client) else { continue };
            share.members.remove(at);
            if at < share.turn {
                share.turn -= 1;
            }
        }
        self.0.retain(|share| !share.members.is_empty());
    }

    /// Picks a member for the topic from each group that matches it.
    pub(super) fn pick(&mut self, topic: &str, is_there: impl Fn(&Text) -> bool) -> Vec<(TopicFilter, Text)> {
        let matching = self.0.iter_mut().filter(|share| share.filter.matches(topic));
        matching.filter_map(|share| Some((share.filter.clone(), share.pick(&is_there)?))).collect()
    }
}

impl Share {
    fn pick(&mut self, is_there: impl Fn(&Text) -> bool) -> Option<Text> {
        let count = self.members.len();
        let in_turn = (0..count).map(|step| (self.turn + step) % count);
        let there = in_turn.clone().find(|at| is_there(&self.members[*at]));
        let at = there.or_else(|| in_turn.clone().next())?;
        self.turn = (at + 1) % count;
        self.members.get(at).cloned()
    }
}
