//! Which row of which table a key is, and the checksum over both.

use crate::error::NumberTooLarge;
use mqtt_client::{PacketId, StoreKey};

/// A table. All have the same columns: `number`, `value`, `sum`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// What there is once, by the numbers of [`session`].
    Session = 1,
    Received = 2,
    Release = 3,
    Message = 4,
    Exchange = 5,
}

/// The rows of the table `session`.
pub(crate) mod session {
    /// The version of the format, four bytes, the highest first. It stands here in every version.
    pub(crate) const FORMAT: i64 = 1;
    /// The client identifier that is configured.
    pub(crate) const OWNER: i64 = 2;
    pub(crate) const BEGUN: i64 = 3;
    pub(crate) const CLIENT_ID: i64 = 4;
    /// The highest number of a message that is no more, eight bytes, the highest first.
    pub(crate) const LAST: i64 = 5;
}

impl Kind {
    pub(crate) const ALL: [Self; 5] =
        [Self::Session, Self::Received, Self::Release, Self::Message, Self::Exchange];

    pub(crate) const fn table(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Received => "received",
            Self::Release => "releases",
            Self::Message => "messages",
            Self::Exchange => "exchanges",
        }
    }

    /// The key of a row. `None` if no key stands there.
    pub(crate) fn key(self, number: i64) -> Option<StoreKey> {
        let unsigned = u64::try_from(number).ok()?;
        match (self, number) {
            (Self::Session, session::BEGUN) => Some(StoreKey::Begun),
            (Self::Session, session::CLIENT_ID) => Some(StoreKey::ClientId),
            (Self::Session, _) => None,
            (Self::Received, _) => PacketId::new(u16::try_from(number).ok()?).map(StoreKey::Received),
            (Self::Release, _) => Some(StoreKey::Release(unsigned)),
            (Self::Message, _) => Some(StoreKey::Message(unsigned)),
            (Self::Exchange, _) => Some(StoreKey::Exchange(unsigned)),
        }
    }

    /// The checksum of a value where it stands: a value under another number, or in another table, does not fit.
    pub(crate) fn sum(self, number: i64, value: &[u8]) -> i64 {
        let place = crc32c::crc32c_append(crc32c::crc32c(&[self as u8]), &number.to_be_bytes());
        crc32c::crc32c_append(place, value).into()
    }
}

/// Where a key stands.
pub(crate) fn place(key: StoreKey) -> Result<(Kind, i64), NumberTooLarge> {
    let (kind, number) = match key {
        StoreKey::Begun => return Ok((Kind::Session, session::BEGUN)),
        StoreKey::ClientId => return Ok((Kind::Session, session::CLIENT_ID)),
        StoreKey::Received(id) => return Ok((Kind::Received, id.get().into())),
        StoreKey::Release(number) => (Kind::Release, number),
        StoreKey::Message(number) => (Kind::Message, number),
        StoreKey::Exchange(number) => (Kind::Exchange, number),
    };
    i64::try_from(number).map(|number| (kind, number)).map_err(|_| NumberTooLarge)
}
