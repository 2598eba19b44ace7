//! Topic names and filters against an oracle that is slow, simple and written from the text of section 4.7.

use bytes::Bytes;
use mqtt_codec::{Topic, TopicFilter, TopicName};

/// Reads the input as a filter, a line break and a topic: as it is, and as letters of a small alphabet, which meet
/// the rules for wildcards far more often.
pub fn topic(data: &[u8]) {
    let mut parts = data.splitn(2, |byte| *byte == b'\n');
    let (filter, topic) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    check(filter, topic);
    check(&spell(filter), &spell(topic));
}

fn spell(bytes: &[u8]) -> Vec<u8> {
    const PIECES: [&str; 16] =
        ["a", "/", "+", "#", "b", "$", "/", "$share/", "+/", "/#", "a/", "ab", "é", "/+", "$SYS", "share"];
    bytes.iter().flat_map(|byte| PIECES[usize::from(byte % 16)].bytes()).collect()
}

fn check(filter: &[u8], topic: &[u8]) {
    let name = TopicName::try_from(Bytes::copy_from_slice(topic));
    assert_eq!(name.is_ok(), is_name(topic), "name {topic:?}: {name:?}");
    if let Ok(text) = std::str::from_utf8(topic) {
        assert_eq!(Topic::new(text).map(Topic::as_str), name.as_ref().map(TopicName::as_str).map_err(|e| *e));
    }
    let parsed = TopicFilter::try_from(Bytes::copy_from_slice(filter));
    assert_eq!(parsed.is_ok(), is_filter(filter), "filter {filter:?}: {parsed:?}");
    let (Ok(parsed), Ok(name)) = (parsed, name) else { return };
    assert_eq!(parsed.as_bytes(), filter);
    let plain = unshared(filter).unwrap_or(filter);
    assert_eq!(parsed.shared().is_some(), unshared(filter).is_some());
    assert_eq!(parsed.filter().as_bytes(), plain);
    assert_eq!(parsed.is_wildcard(), plain.contains(&b'+') || plain.contains(&b'#'));
    assert_eq!(parsed.matches(&name), matches(plain, topic), "{parsed} and {name}");
}

/// `[MQTT-4.7.3-1]` `[MQTT-4.7.3-2]` `[MQTT-4.7.3-3]`: one character or more, no U+0000, at most 65,535 bytes, UTF-8.
fn is_text(bytes: &[u8]) -> bool {
    !bytes.is_empty()
        && bytes.len() <= 65_535
        && String::from_utf8(bytes.to_vec()).is_ok_and(|text| !text.contains('\0'))
}

/// `[MQTT-4.7.0-1]`
fn is_name(bytes: &[u8]) -> bool {
    is_text(bytes) && !bytes.iter().any(|byte| b"+#".contains(byte))
}

/// `[MQTT-4.7.1-1]` `[MQTT-4.7.1-2]`, and for what begins as a share `[MQTT-4.8.2-1]` `[MQTT-4.8.2-2]`.
fn is_filter(bytes: &[u8]) -> bool {
    is_text(bytes)
        && bytes != b"$share"
        && (!bytes.starts_with(b"$share/") || unshared(bytes).is_some())
        && has_good_levels(unshared(bytes).unwrap_or(bytes))
}

fn has_good_levels(filter: &[u8]) -> bool {
    let levels: Vec<&[u8]> = filter.split(|byte| *byte == b'/').collect();
    levels.iter().enumerate().all(|(index, level)| match *level {
        b"+" => true,
        b"#" => index + 1 == levels.len(),
        level => !level.iter().any(|byte| b"+#".contains(byte)),
    })
}

/// The topic filter of a well-formed shared subscription, section 4.8.2.
fn unshared(filter: &[u8]) -> Option<&[u8]> {
    let rest = filter.strip_prefix(b"$share/")?;
    let slash = rest.iter().position(|byte| *byte == b'/')?;
    let (name, filter) = (&rest[..slash], &rest[slash + 1..]);
    let good = !name.is_empty() && !name.contains(&b'+') && !name.contains(&b'#') && !filter.is_empty();
    good.then_some(filter)
}

/// Matching level by level, by recursion.
fn matches(filter: &[u8], topic: &[u8]) -> bool {
    // `[MQTT-4.7.2-1]`
    if topic[0] == b'$' && (filter[0] == b'+' || filter[0] == b'#') {
        return false;
    }
    let split = |bytes: &[u8]| bytes.split(|byte| *byte == b'/').map(<[u8]>::to_vec).collect::<Vec<_>>();
    levels_match(&split(filter), &split(topic))
}

fn levels_match(filter: &[Vec<u8>], topic: &[Vec<u8>]) -> bool {
    match (filter, topic) {
        ([], []) => true,
        ([last], _) if last == b"#" => true,
        ([pattern, filter @ ..], [level, topic @ ..]) => {
            (pattern == b"+" || pattern == level) && levels_match(filter, topic)
        }
        _ => false,
    }
}
