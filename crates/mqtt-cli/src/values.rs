//! Values with a form of their own, read by clap: protocol versions, session expiry, seconds.

use core::str::FromStr;
use core::time::Duration;

/// `-V`. `Auto` is ours, the rest is mosquitto's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    V31,
    V311,
    V5,
    Auto,
}

impl FromStr for Version {
    type Err = &'static str;

    fn from_str(typed: &str) -> Result<Self, Self::Err> {
        match typed {
            "31" | "mqttv31" => Ok(Self::V31),
            "311" | "mqttv311" => Ok(Self::V311),
            "5" | "mqttv5" => Ok(Self::V5),
            "auto" => Ok(Self::Auto),
            _ => Err("expected mqttv31, mqttv311, mqttv5 or auto"),
        }
    }
}

/// `-x`: seconds, where the highest number means for ever section 3.1.2.11.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SessionExpiry(pub(crate) u32);

impl SessionExpiry {
    pub(crate) const NEVER: Self = Self(u32::MAX);
}

impl FromStr for SessionExpiry {
    type Err = &'static str;

    fn from_str(typed: &str) -> Result<Self, Self::Err> {
        match typed {
            "-1" | "\u{221e}" => Ok(Self::NEVER),
            _ => typed.parse().map(Self).map_err(|_| "expected 0 to 4294967295 seconds, or -1 for ever"),
        }
    }
}

/// Seconds with a fraction.
pub(crate) fn seconds(typed: &str) -> Result<Duration, &'static str> {
    let seconds = typed.parse().map_err(|_| "expected a number of seconds, like 0.5")?;
    Duration::try_from_secs_f64(seconds).map_err(|_| "expected a number of seconds, zero or more")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_have_short_and_long_names() {
        for (typed, version) in [("5", Version::V5), ("mqttv5", Version::V5), ("311", Version::V311)] {
            assert_eq!(typed.parse(), Ok(version));
        }
        assert_eq!("mqttv31".parse(), Ok(Version::V31));
        assert!("4".parse::<Version>().is_err());
    }

    #[test]
    fn session_expiry_takes_minus_one_for_ever() {
        assert_eq!("-1".parse(), Ok(SessionExpiry::NEVER));
        assert_eq!("\u{221e}".parse(), Ok(SessionExpiry::NEVER));
        assert_eq!("4294967295".parse(), Ok(SessionExpiry::NEVER));
        assert_eq!("60".parse(), Ok(SessionExpiry(60)));
        assert!("-2".parse::<SessionExpiry>().is_err());
        assert!("4294967296".parse::<SessionExpiry>().is_err());
    }

    #[test]
    fn seconds_are_a_decimal_number_and_never_panic() {
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        for typed in ["", "x", "-1", "NaN", "inf", "1e300"] {
            assert!(seconds(typed).is_err(), "{typed}");
        }
    }
}
