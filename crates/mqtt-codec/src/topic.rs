//! Topic names and topic filters, section 4.7, and shared subscriptions, section 4.8.2.

use crate::name_bytes::NameBytes;
use crate::text::{
    Scan, TextError, check_len, check_text, check_text_slowly, checked_string, scan, scan_filter, trusted_str,
};
use alloc::string::String;
use bytes::Bytes;
use core::fmt;
use core::ops::Deref;

/// Why a string is no topic name or no topic filter.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TopicError {
    /// Not a string that MQTT can carry `[MQTT-4.7.3-2]` `[MQTT-4.7.3-3]`.
    #[error(transparent)]
    Text(#[from] TextError),
    /// No character at all `[MQTT-4.7.3-1]`.
    #[error("the topic is empty; it needs one character or more")]
    Empty,
    /// A wildcard in a topic name `[MQTT-4.7.0-1]`.
    #[error("a topic name cannot contain the wildcards '+' and '#'")]
    Wildcard,
    /// `#` is not the last level by itself `[MQTT-4.7.1-1]`.
    #[error("'#' must stand alone in the last level of a topic filter")]
    MultiLevel,
    /// `+` shares its level with something else `[MQTT-4.7.1-2]`.
    #[error("'+' must stand alone in its level of a topic filter")]
    SingleLevel,
    /// The name between `$share/` and the next `/` is empty or contains a wildcard, or no `/` and topic filter
    /// follow `[MQTT-4.8.2-1]` `[MQTT-4.8.2-2]`.
    #[error("a shared subscription is '$share/NAME/FILTER' with a name without '+' and '#'")]
    Share,
}

/// The name of a topic: what a PUBLISH goes to. One character or more, no wildcard, at most 65,535 bytes.
///
/// Cheap to clone: it shares the buffer that it was made of or decoded from, unless it is short; then it lies in place.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicName(NameBytes);

/// A topic filter: what a subscription asks for, maybe with wildcards, maybe `$share/NAME/FILTER`.
///
/// Cheap to clone: it shares the buffer that it was made of.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicFilter(Bytes);

/// A checked topic name that is borrowed, or the empty one that goes with a topic alias.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Topic<'a>(&'a [u8]);

impl<'a> Topic<'a> {
    /// The empty topic of a PUBLISH that carries a topic alias instead, section 3.3.2.3.4; 5.0 only.
    pub const EMPTY: Self = Self(&[]);

    /// Checks a topic name without copying it.
    pub fn new(name: &'a str) -> Result<Self, TopicError> {
        check_name(name.as_bytes())?;
        Ok(Self(name.as_bytes()))
    }

    /// The name; empty for [`Topic::EMPTY`].
    pub fn as_str(self) -> &'a str {
        trusted_str(self.0)
    }

    pub(crate) const fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// Wraps bytes that a decoder has checked.
    pub(crate) const fn from_checked(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for Topic<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl TopicName {
    /// Borrows the name for a PUBLISH to send.
    pub fn borrow(&self) -> Topic<'_> {
        Topic(&self.0)
    }

    /// Wraps a part of a frame that a decoder has checked.
    #[inline]
    pub(crate) fn from_checked(frame: &Bytes, name: &[u8]) -> Self {
        Self(NameBytes::part_of(frame, name))
    }
}

impl TopicFilter {
    /// The name of the share and the topic filter behind it, if this is a shared subscription, section 4.8.2.
    pub fn shared(&self) -> Option<(&str, &str)> {
        self.as_str().strip_prefix(SHARE)?.split_once('/')
    }

    /// The topic filter that topics are matched against: what stands behind `$share/NAME/`, or all of it.
    pub fn filter(&self) -> &str {
        self.shared().map_or(self.as_str(), |(_, filter)| filter)
    }

    /// True if the filter contains a wildcard.
    pub fn is_wildcard(&self) -> bool {
        self.filter().bytes().any(|byte| matches!(byte, b'+' | b'#'))
    }

    /// Whether this filter takes a topic, section 4.7.
    ///
    /// The comparison is byte by byte `[MQTT-4.7.3-4]`; a wildcard in the first level takes no topic that begins
    /// with `$` `[MQTT-4.7.2-1]`. A shared subscription matches as the filter behind its share name does.
    pub fn matches(&self, topic: &str) -> bool {
        let filter = match self.as_bytes().strip_prefix(SHARE.as_bytes()) {
            None => self.as_bytes(),
            Some(_) => self.filter().as_bytes(),
        };
        filter_matches(filter, topic.as_bytes())
    }
}

fn filter_matches(filter: &[u8], topic: &[u8]) -> bool {
    if topic.starts_with(b"$") && matches!(filter, [b'+' | b'#', ..]) {
        return false;
    }
    let mut levels = topic.split(|&byte| byte == b'/');
    for pattern in filter.split(|&byte| byte == b'/') {
        // '#' stands for the parent level and everything below, hence also for no level at all.
        if pattern == b"#" {
            return true;
        }
        match levels.next() {
            Some(level) if pattern == b"+" || pattern == level => {}
            _ => return false,
        }
    }
    levels.next().is_none()
}

checked_string!(TopicName(NameBytes), TopicError, check_name);
checked_string!(TopicFilter(Bytes), TopicError, check_filter);

/// What a shared subscription begins with.
const SHARE: &str = "$share/";

/// Checks a topic name. An empty one is refused here; PUBLISH allows it beside a topic alias.
#[inline]
pub(crate) fn check_name(name: &[u8]) -> Result<(), TopicError> {
    check_len(name)?;
    if name.is_empty() {
        return Err(TopicError::Empty);
    }
    if scan::<true>(name) == Scan::Plain { Ok(()) } else { check_name_slowly(name) }
}

#[cold]
fn check_name_slowly(name: &[u8]) -> Result<(), TopicError> {
    check_text(name)?;
    if name.iter().any(|byte| matches!(byte, b'+' | b'#')) { Err(TopicError::Wildcard) } else { Ok(()) }
}

/// Checks a topic filter, with the form of a shared subscription if it begins like one.
#[inline(always)]
pub(crate) fn check_filter(filter: &[u8]) -> Result<(), TopicError> {
    check_len(filter)?;
    match filter {
        [] => Err(TopicError::Empty),
        [b'$', ..] => check_maybe_shared(filter),
        _ => check_levels(filter),
    }
}

#[inline(never)]
fn check_maybe_shared(filter: &[u8]) -> Result<(), TopicError> {
    match filter.strip_prefix(SHARE.as_bytes()) {
        Some(shared) => check_shared(shared),
        // "$share" alone would be a share without name and filter.
        None if filter == b"$share" => Err(TopicError::Share),
        None => check_levels(filter),
    }
}

fn check_shared(shared: &[u8]) -> Result<(), TopicError> {
    let slash = shared.iter().position(|&byte| byte == b'/').ok_or(TopicError::Share)?;
    let (name, filter) = shared.split_at(slash);
    let filter = filter.get(1..).unwrap_or_default();
    check_text(name)?;
    if name.is_empty() || filter.is_empty() || name.iter().any(|byte| matches!(byte, b'+' | b'#')) {
        return Err(TopicError::Share);
    }
    check_levels(filter)
}

/// Checks the characters, and that each wildcard fills its level and `#` is the last byte.
#[inline(always)]
fn check_levels(filter: &[u8]) -> Result<(), TopicError> {
    match scan_filter(filter, |at| check_wildcard(filter, at))? {
        Scan::Plain => Ok(()),
        Scan::Other => Ok(check_text_slowly(filter)?),
    }
}

#[inline(always)]
fn check_wildcard(filter: &[u8], at: usize) -> Result<(), TopicError> {
    let begins_level = matches!(filter.get(..at), Some([] | [.., b'/']));
    match filter.get(at..) {
        Some([b'#']) | Some([b'+']) | Some([b'+', b'/', ..]) if begins_level => Ok(()),
        Some([b'#', ..]) => Err(TopicError::MultiLevel),
        _ => Err(TopicError::SingleLevel),
    }
}
