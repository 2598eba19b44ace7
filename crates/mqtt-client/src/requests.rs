//! What the session owes an answer to, by token.

use crate::cells::CellId;
use crate::delivery::HolderId;
use core::hash::{BuildHasherDefault, Hasher};
use mqtt_session::{Token, TopicFilter};
use std::collections::HashMap;

/// Who is to be told what became of a token.
#[derive(Debug)]
pub(crate) enum Request {
    Publish(CellId),
    Subscribe {
        cell: CellId,
        holder: HolderId,
        filters: Vec<TopicFilter>,
    },
    /// Nobody, if a dropped subscription is the reason.
    Unsubscribe(Option<CellId>),
}

#[derive(Debug, Default)]
pub(crate) struct Requests {
    open: HashMap<Token, Request, BuildHasherDefault<TokenHasher>>,
    /// Those that are not publishes.
    subscribing: usize,
}

impl Requests {
    pub(crate) fn insert(&mut self, token: Token, request: Request) {
        self.subscribing += usize::from(!matches!(request, Request::Publish(_)));
        self.open.insert(token, request);
    }

    pub(crate) fn get(&self, token: Token) -> Option<&Request> {
        self.open.get(&token)
    }

    pub(crate) fn remove(&mut self, token: Token) -> Option<Request> {
        let request = self.open.remove(&token)?;
        self.subscribing -= usize::from(!matches!(request, Request::Publish(_)));
        Some(request)
    }

    pub(crate) fn len(&self) -> usize {
        self.open.len()
    }

    /// Subscribe and unsubscribe requests.
    pub(crate) fn subscribing(&self) -> usize {
        self.subscribing
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
