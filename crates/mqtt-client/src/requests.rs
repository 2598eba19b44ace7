//! What the session owes an answer to, by token.

use crate::cells::CellId;
use crate::delivery::HolderId;
use core::hash::{BuildHasherDefault, Hasher};
use core::mem;
use mqtt_session::{Token, TopicFilter};
use std::collections::HashMap;

/// Who is to be told what became of a token.
#[derive(Debug)]
pub(crate) enum Request {
    Publish(CellId),
    Subscribe(Box<Subscribing>),
    /// Nobody, if a dropped subscription is the reason.
    Unsubscribe(Option<CellId>),
}

#[derive(Debug)]
pub(crate) struct Subscribing {
    pub(crate) cell: CellId,
    pub(crate) holder: HolderId,
    pub(crate) filters: Vec<TopicFilter>,
}

/// Tokens come counted, so the last digits are as good as any hash: most requests lie in the place of theirs. One that
/// finds its place taken, by a request that was open all the while, goes into a map.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    /// A power of two, or none.
    places: Vec<Option<(Token, Request)>>,
    displaced: HashMap<Token, Request, BuildHasherDefault<TokenHasher>>,
    len: usize,
    /// Those that are not publishes.
    subscribing: usize,
}

/// Places to begin with.
const PLACES: usize = 16;

impl Requests {
    #[inline(always)]
    pub(crate) fn insert(&mut self, token: Token, request: Request) {
        if self.len * 2 >= self.places.len() {
            self.grow();
        }
        self.len += 1;
        self.subscribing += usize::from(!matches!(request, Request::Publish(_)));
        let index = self.index(token);
        match self.places.get_mut(index) {
            Some(place @ None) => *place = Some((token, request)),
            _ => drop(self.displaced.insert(token, request)),
        }
    }

    pub(crate) fn get(&self, token: Token) -> Option<&Request> {
        match self.places.get(self.index(token)) {
            Some(Some((of, request))) if *of == token => Some(request),
            _ => self.displaced.get(&token),
        }
    }

    #[inline(always)]
    pub(crate) fn remove(&mut self, token: Token) -> Option<Request> {
        let index = self.index(token);
        let place = self.places.get_mut(index)?;
        let request = match place.take_if(|(of, _)| *of == token) {
            Some((_, request)) => request,
            None => self.displaced.remove(&token)?,
        };
        self.len -= 1;
        self.subscribing -= usize::from(!matches!(request, Request::Publish(_)));
        Some(request)
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// Subscribe and unsubscribe requests.
    pub(crate) const fn subscribing(&self) -> usize {
        self.subscribing
    }

    #[inline]
    const fn index(&self, token: Token) -> usize {
        token.get() as usize & self.places.len().wrapping_sub(1)
    }

    /// Twice as many places.
    #[cold]
    fn grow(&mut self) {
        let places = (self.places.len() * 2).max(PLACES);
        let mut grown = Self::default();
        grown.places.resize_with(places, || None);
        let open = mem::take(&mut self.places).into_iter().flatten().chain(self.displaced.drain());
        open.for_each(|(token, request)| grown.insert(token, request));
        *self = grown;
    }
}

/// Tokens are counted 1, 2, 3: a multiplication spreads them well enough, and nobody from outside chooses them.
#[derive(Debug, Default)]
pub(crate) struct TokenHasher(u64);

impl Hasher for TokenHasher {
    fn write_u64(&mut self, number: u64) {
        // 2^64 divided by the golden ratio.
        self.0 = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(self.0 ^ u64::from(byte));
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cells::Cells;
    use mqtt_session::{Config, Instant, Limits, Message, Session, Text, TopicName, Version};

    /// Tokens as a session counts them.
    fn tokens(count: usize) -> Vec<Token> {
        let limits = Limits { queue_messages: count, ..Limits::default() };
        let mut session =
            Session::new(Config { limits, ..Config::new(Version::V5, Text::default()) }).unwrap();
        let message = Message::new(TopicName::try_from("t").unwrap(), "".into());
        (0..count).map(|_| session.publish(Instant::ZERO, message.clone()).unwrap()).collect()
    }

    fn is_for(requests: &mut Requests, token: Token, cell: CellId) -> bool {
        matches!(requests.remove(token), Some(Request::Publish(of)) if of == cell)
    }

    #[test]
    fn every_request_is_found_once() {
        let mut cells = Cells::default();
        let mut requests = Requests::default();
        let open: Vec<_> = tokens(1000).into_iter().map(|token| (token, cells.open())).collect();
        assert!(requests.get(open[0].0).is_none() && requests.remove(open[0].0).is_none());
        for (number, &(token, cell)) in open.iter().enumerate() {
            let unsubscribes = number % 10 == 0;
            requests.insert(
                token,
                if unsubscribes { Request::Unsubscribe(Some(cell)) } else { Request::Publish(cell) },
            );
            assert_eq!((requests.len(), requests.subscribing()), (number + 1, number / 10 + 1));
        }
        for (number, &(token, cell)) in open.iter().enumerate() {
            match requests.remove(token) {
                Some(Request::Unsubscribe(of)) => assert!(number % 10 == 0 && of == Some(cell)),
                Some(Request::Publish(of)) => assert!(number % 10 > 0 && of == cell),
                other => panic!("{number}: {other:?}"),
            }
            assert!(requests.get(token).is_none());
        }
        assert_eq!((requests.len(), requests.subscribing()), (0, 0));
    }

    /// One that stays open does not make the others take more room, however many there are.
    #[test]
    fn a_request_without_an_answer_stands_in_nobodys_way() {
        let mut cells = Cells::default();
        let mut requests = Requests::default();
        let all = tokens(10_000);
        let (stuck, cell) = (all[0], cells.open());
        requests.insert(stuck, Request::Publish(cell));
        for &token in &all[1..] {
            let other = cells.open();
            requests.insert(token, Request::Publish(other));
            assert!(requests.get(stuck).is_some() && requests.get(token).is_some());
            assert!(is_for(&mut requests, token, other));
            assert!(cells.settle(other, crate::cells::Fate::Closed).is_none());
        }
        assert_eq!((requests.places.len(), requests.displaced.len()), (PLACES, 0));
        assert!(is_for(&mut requests, stuck, cell));
    }
}
