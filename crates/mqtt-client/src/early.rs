//! What is asked for before the first connection, and waits until it is certain which version is spoken.

use crate::cells::CellId;
use crate::room::Size;
use crate::submissions::{Command, size_of};
use mqtt_session::{Instant, Message, Overflow};
use std::collections::VecDeque;

/// Requests in their order, each with the time of its coming. The bound is that of the session's queue, which takes
/// over what is here.
#[derive(Debug)]
pub(crate) struct Early {
    limit: Size,
    overflow: Overflow,
    commands: VecDeque<(Instant, Command)>,
    size: Size,
}

impl Early {
    pub(crate) fn new((limit, overflow): (Size, Overflow)) -> Self {
        Self { limit, overflow, commands: VecDeque::new(), size: Size::default() }
    }

    pub(crate) fn len(&self) -> usize {
        self.commands.len()
    }

    /// Messages among them.
    pub(crate) fn size(&self) -> Size {
        self.size
    }

    /// Keeps a request. Returns the cells of messages that had to give way, maybe its own.
    pub(crate) fn push(&mut self, now: Instant, command: Command) -> Vec<CellId> {
        let mut dropped = Vec::new();
        if let Command::Publish(message, cell) = &command {
            if !self.has_room() && self.overflow == Overflow::DropNewest {
                return vec![*cell];
            }
            let size = size_of(message);
            if !self.has_room()
                && let Some(place) = self.latest(message)
                && let Some((since, earlier)) = self.commands.get_mut(place)
            {
                *since = now;
                dropped.extend(self.size.release(&core::mem::replace(earlier, command)));
                self.size += size;
                return dropped;
            }
            while !self.has_room() && self.overflow != Overflow::Refuse {
                let oldest =
                    self.commands.iter().position(|(_, command)| matches!(command, Command::Publish(..)));
                let Some((_, oldest)) = oldest.and_then(|place| self.commands.remove(place)) else { break };
                dropped.extend(self.size.release(&oldest));
            }
            self.size += size;
        }
        self.commands.push_back((now, command));
        dropped
    }

    /// All that there is.
    pub(crate) fn take(&mut self) -> VecDeque<(Instant, Command)> {
        self.size = Size::default();
        core::mem::take(&mut self.commands)
    }

    fn has_room(&self) -> bool {
        self.size.messages < self.limit.messages && self.size.bytes < self.limit.bytes
    }

    /// The last message of the same topic, if it is to give way. Searched for only while the queue is full.
    fn latest(&self, message: &Message) -> Option<usize> {
        let of_topic = |(_, command): &(Instant, Command)| matches!(command, Command::Publish(other, _) if other.topic == message.topic);
        (self.overflow == Overflow::KeepLatest).then(|| self.commands.iter().rposition(of_topic)).flatten()
    }
}

impl Size {
    /// Gives up the place of a message; returns its cell.
    fn release(&mut self, command: &Command) -> Option<CellId> {
        let Command::Publish(message, cell) = command else { return None };
        *self -= size_of(message);
        Some(*cell)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cells::Cells;
    use mqtt_session::TopicName;

    /// Publishes to these topics, two of which fit; returns what was dropped and what is left, by number.
    fn push(overflow: Overflow, topics: &[&str]) -> (Vec<usize>, Vec<usize>) {
        let mut cells = Cells::default();
        let mut early = Early::new((Size { messages: 2, bytes: 1000 }, overflow));
        let mut all = Vec::new();
        let mut dropped = Vec::new();
        for topic in topics {
            all.push(cells.open());
            let message = Message::new(TopicName::try_from(*topic).unwrap(), "x".into());
            dropped.extend(early.push(Instant::ZERO, Command::Publish(message, all[all.len() - 1])));
        }
        let number = |cell: CellId| all.iter().position(|other| *other == cell).unwrap();
        assert_eq!(early.size().messages, early.len());
        let left = early.take().into_iter().map(|(_, command)| match command {
            Command::Publish(_, cell) => number(cell),
            other => panic!("{other:?}"),
        });
        (dropped.into_iter().map(number).collect(), left.collect())
    }

    #[test]
    fn each_policy_drops_its_own() {
        let topics = ["a", "b", "a", "c"];
        assert_eq!(push(Overflow::Refuse, &topics), (vec![], vec![0, 1, 2, 3]));
        assert_eq!(push(Overflow::DropNewest, &topics), (vec![2, 3], vec![0, 1]));
        assert_eq!(push(Overflow::DropOldest, &topics), (vec![0, 1], vec![2, 3]));
        // The new one of the topic takes the place of the old; where there is none the oldest goes.
        assert_eq!(push(Overflow::KeepLatest, &topics), (vec![0, 2], vec![1, 3]));
    }
}
