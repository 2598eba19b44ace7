//! The packets in a stream of bytes, seen from outside: their types and sizes, and nothing of what they carry.

/// A packet at a glance.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Frame {
    /// Type and flags, section 2.1.1.
    first: u8,
    /// In bytes, the fixed header included.
    pub(crate) size: usize,
}

impl Frame {
    #[cfg(any(feature = "tracing", test))]
    /// Its name, section 2.1.2.
    pub(crate) fn name(self) -> &'static str {
        match self.first >> 4 {
            1 => "CONNECT",
            2 => "CONNACK",
            3 => "PUBLISH",
            4 => "PUBACK",
            5 => "PUBREC",
            6 => "PUBREL",
            7 => "PUBCOMP",
            8 => "SUBSCRIBE",
            9 => "SUBACK",
            10 => "UNSUBSCRIBE",
            11 => "UNSUBACK",
            12 => "PINGREQ",
            13 => "PINGRESP",
            14 => "DISCONNECT",
            15 => "AUTH",
            _ => "reserved",
        }
    }

    #[cfg(any(feature = "metrics", test))]
    /// The QoS of a PUBLISH.
    pub(crate) fn qos(self) -> Option<u8> {
        (self.first >> 4 == 3).then_some((self.first >> 1) & 3)
    }
}

/// Finds the packets of one direction of a connection. It reads the fixed headers and skips the rest; that they are
/// correct is for others to see.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    /// Bytes of the current packet that are still to come.
    skip: usize,
    /// What there is of a fixed header.
    first: Option<u8>,
    remaining: usize,
    digits: u32,
}

impl Frames {
    /// Looks at the next bytes, and shows each packet that begins there when its size is known.
    pub(crate) fn look(&mut self, mut bytes: &[u8], mut show: impl FnMut(Frame)) {
        loop {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = bytes.get(skipped..).unwrap_or_default();
            let Some((&byte, rest)) = bytes.split_first() else { return };
            bytes = rest;
            let Some(first) = self.first else {
                self.first = Some(byte);
                continue;
            };
            // The Remaining Length has at most four bytes, section 1.5.5.
            self.remaining |= usize::from(byte & 0x7F) << (7 * self.digits);
            self.digits += 1;
            if byte & 0x80 == 0 || self.digits == 4 {
                show(Frame { first, size: 1 + self.digits as usize + self.remaining });
                *self = Self { skip: self.remaining, ..Self::default() };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(parts: impl Iterator<Item = Vec<u8>>) -> Vec<(&'static str, usize, Option<u8>)> {
        let mut frames = Frames::default();
        let mut seen = Vec::new();
        parts.for_each(|part| frames.look(&part, |frame| seen.push((frame.name(), frame.size, frame.qos()))));
        seen
    }

    #[test]
    fn packets_are_found_however_the_bytes_come() {
        let mut bytes = vec![0xC0, 0, 0x32, 200, 1];
        bytes.extend([0x30; 200]);
        bytes.extend([0xD0, 0, 0x40, 2, 0, 1]);
        let expected =
            [("PINGREQ", 2, None), ("PUBLISH", 203, Some(1)), ("PINGRESP", 2, None), ("PUBACK", 4, None)];
        for size in [1, 2, 3, 7, 100, 1000] {
            assert_eq!(frames(bytes.chunks(size).map(<[u8]>::to_vec)), expected, "{size}");
        }
    }

    #[test]
    fn nonsense_is_taken_as_it_comes() {
        assert_eq!(
            frames(core::iter::once(vec![0x00, 0xFF, 0xFF, 0xFF, 0xFF])),
            [("reserved", 268_435_460, None)]
        );
    }
}
