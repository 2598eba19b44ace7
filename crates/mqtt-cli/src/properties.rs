//! `-D PACKET PROPERTY VALUE` and `-D PACKET user-property NAME VALUE`: properties of MQTT 5.

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};
use mqtt_client::{PropertiesBuf, PropertiesBuilder};

use crate::failure::Failure;

const FLAG: &str = "property";

/// The occurrences of `-D`, each with its two to four words. Written out because clap's derive would run them together.
#[derive(Debug, Clone, Default)]
pub(crate) struct TypedProperties(Vec<Vec<String>>);

impl FromArgMatches for TypedProperties {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let occurrences = matches.get_occurrences::<String>(FLAG).into_iter().flatten();
        Ok(Self(occurrences.map(|words| words.cloned().collect()).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for TypedProperties {
    fn augment_args(command: Command) -> Command {
        command.arg(
            Arg::new(FLAG)
                .short('D')
                .long(FLAG)
                .num_args(1..=4)
                .action(ArgAction::Append)
                .allow_negative_numbers(true)
                .value_names(["PACKET", "PROPERTY", "VALUE", "VALUE"])
                .help(
                    "Give a packet a property (MQTT 5): PACKET is connect, publish, subscribe, unsubscribe, \
                     disconnect or will; PROPERTY is named as in the standard, like content-type; only \
                     user-property has two values, its name and its value. May be repeated",
                ),
        )
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

/// A packet (or the will within CONNECT) that can be given properties.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    Connect,
    Publish,
    Subscribe,
    Unsubscribe,
    Disconnect,
    Will,
}

impl Target {
    fn named(name: &str) -> Option<Self> {
        let all =
            [Self::Connect, Self::Publish, Self::Subscribe, Self::Unsubscribe, Self::Disconnect, Self::Will];
        all.into_iter().find(|target| target.name().eq_ignore_ascii_case(name))
    }

    fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Publish => "publish",
            Self::Subscribe => "subscribe",
            Self::Unsubscribe => "unsubscribe",
            Self::Disconnect => "disconnect",
            Self::Will => "will",
        }
    }

    /// The properties it can be given here, for the error message.
    fn properties(self) -> &'static str {
        match self {
            Self::Connect => {
                "session-expiry-interval, receive-maximum, maximum-packet-size, topic-alias-maximum, \
                 request-response-information, request-problem-information, authentication-method, \
                 authentication-data, user-property"
            }
            Self::Publish => {
                "payload-format-indicator, message-expiry-interval, content-type, response-topic, \
                 correlation-data, user-property"
            }
            Self::Subscribe => "subscription-identifier, user-property",
            Self::Unsubscribe => "user-property",
            Self::Disconnect => "session-expiry-interval, user-property",
            Self::Will => {
                "will-delay-interval, payload-format-indicator, message-expiry-interval, content-type, \
                 response-topic, correlation-data, user-property"
            }
        }
    }
}

/// The properties of each packet, checked.
#[derive(Debug, Clone, Default)]
pub(crate) struct Properties {
    pub(crate) connect: PropertiesBuf,
    pub(crate) publish: PropertiesBuf,
    pub(crate) subscribe: PropertiesBuf,
    pub(crate) unsubscribe: PropertiesBuf,
    pub(crate) disconnect: PropertiesBuf,
    pub(crate) will: PropertiesBuf,
}

impl TypedProperties {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Checks every `-D` and sorts them by packet.
    pub(crate) fn read(&self) -> Result<Properties, Failure> {
        let assignments =
            self.0.iter().map(|words| Assignment::read(words)).collect::<Result<Vec<_>, _>>()?;
        let of = |target| build(&assignments, target);
        Ok(Properties {
            connect: of(Target::Connect)?,
            publish: of(Target::Publish)?,
            subscribe: of(Target::Subscribe)?,
            unsubscribe: of(Target::Unsubscribe)?,
            disconnect: of(Target::Disconnect)?,
            will: of(Target::Will)?,
        })
    }
}

fn build(assignments: &[Assignment<'_>], target: Target) -> Result<PropertiesBuf, Failure> {
    let mut builder = PropertiesBuf::builder();
    for assignment in assignments.iter().filter(|assignment| assignment.target == target) {
        builder = assignment.add_to(builder)?;
    }
    builder.build().map_err(|error| Failure::wrong(format!("-D {}: {error}", target.name())))
}

/// One `-D`, taken apart.
struct Assignment<'a> {
    target: Target,
    property: String,
    value: &'a str,
    /// The second value, which user-property alone has.
    second: Option<&'a str>,
}

impl<'a> Assignment<'a> {
    fn read(words: &'a [String]) -> Result<Self, Failure> {
        let typed = words.join(" ");
        let [packet, property, value, rest @ ..] = words else {
            return Err(Failure::wrong(format!("-D {typed}: expected PACKET PROPERTY VALUE")));
        };
        let target = Target::named(packet).ok_or_else(|| {
            let known = "connect, publish, subscribe, unsubscribe, disconnect or will";
            Failure::wrong(format!("-D {typed}: properties can be given to {known}, not to '{packet}'"))
        })?;
        let property = property.to_ascii_lowercase();
        let second = rest.first().map(String::as_str);
        if second.is_some() != (property == "user-property") {
            let expected = if second.is_some() { "only user-property has" } else { "user-property needs" };
            return Err(Failure::wrong(format!("-D {typed}: {expected} two values, its name and its value")));
        }
        Ok(Self { target, property, value, second })
    }

    fn add_to(&self, builder: PropertiesBuilder) -> Result<PropertiesBuilder, Failure> {
        use Target::{Connect, Disconnect, Publish, Subscribe, Will};
        Ok(match (self.property.as_str(), self.target) {
            ("user-property", _) => builder.user_property(self.value, self.second.unwrap_or_default()),
            ("session-expiry-interval", Connect | Disconnect) => {
                builder.session_expiry_interval(self.number()?)
            }
            ("receive-maximum", Connect) => builder.receive_maximum(self.number()?),
            ("maximum-packet-size", Connect) => builder.maximum_packet_size(self.number()?),
            ("topic-alias-maximum", Connect) => builder.topic_alias_maximum(self.number()?),
            ("request-response-information", Connect) => builder.request_response_information(self.flag()?),
            ("request-problem-information", Connect) => builder.request_problem_information(self.flag()?),
            ("authentication-method", Connect) => builder.authentication_method(self.value),
            ("authentication-data", Connect) => builder.authentication_data(self.value.as_bytes()),
            ("payload-format-indicator", Publish | Will) => builder.payload_format_indicator(self.flag()?),
            ("message-expiry-interval", Publish | Will) => builder.message_expiry_interval(self.number()?),
            ("content-type", Publish | Will) => builder.content_type(self.value),
            ("response-topic", Publish | Will) => builder.response_topic(self.value),
            ("correlation-data", Publish | Will) => builder.correlation_data(self.value.as_bytes()),
            ("will-delay-interval", Will) => builder.will_delay_interval(self.number()?),
            ("subscription-identifier", Subscribe) => builder.subscription_identifier(self.number()?),
            ("topic-alias", Publish) => {
                return Err(
                    self.wrong("the client gives topic aliases by itself, as many as the server allows")
                );
            }
            _ => {
                let known = self.target.properties();
                return Err(self.wrong(&format!("{} can be given: {known}", self.target.name())));
            }
        })
    }

    fn number<N: TryFrom<u64>>(&self) -> Result<N, Failure> {
        let number = self.value.parse::<u64>().ok().and_then(|number| N::try_from(number).ok());
        let largest = 2_u64.pow(8 * size_of::<N>() as u32) - 1;
        number.ok_or_else(|| self.wrong(&format!("'{}' is not a number from 0 to {largest}", self.value)))
    }

    fn flag(&self) -> Result<bool, Failure> {
        match self.value {
            "0" => Ok(false),
            "1" => Ok(true),
            other => Err(self.wrong(&format!("'{other}' is neither 0 nor 1"))),
        }
    }

    fn wrong(&self, why: &str) -> Failure {
        Failure::wrong(format!("-D {} {}: {why}", self.target.name(), self.property))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(typed: &[&str]) -> Result<Properties, Failure> {
        let words = |line: &&str| line.split(' ').map(str::to_owned).collect();
        TypedProperties(typed.iter().map(words).collect()).read()
    }

    fn refusal(typed: &str) -> String {
        read(&[typed]).expect_err(typed).message
    }

    #[test]
    fn each_packet_gets_its_own() {
        let properties = read(&[
            "publish content-type text/plain",
            "PUBLISH User-Property a b",
            "publish user-property a c",
            "will will-delay-interval 5",
            "connect request-problem-information 0",
        ])
        .unwrap();
        let publish = properties.publish.view();
        assert_eq!(publish.content_type(), Some("text/plain"));
        assert_eq!(publish.user_properties().collect::<Vec<_>>(), [("a", "b"), ("a", "c")]);
        assert_eq!(properties.will.view().will_delay_interval(), Some(5));
        assert_eq!(properties.connect.view().request_problem_information(), Some(false));
        assert!(properties.subscribe.is_empty() && properties.disconnect.is_empty());
    }

    #[test]
    fn every_property_that_is_offered_is_taken() {
        for target in ["connect", "publish", "subscribe", "unsubscribe", "disconnect", "will"] {
            for property in Target::named(target).unwrap().properties().split(", ") {
                let second = if property == "user-property" { " 1" } else { "" };
                // Data without a method is a protocol error; here only the taking counts.
                let result = read(&[&format!("{target} {property} 1{second}")]);
                assert!(result.is_ok(), "{target} {property}: {result:?}");
            }
        }
    }

    #[test]
    fn what_cannot_be_is_refused_and_named() {
        assert!(refusal("puback user-property a b").contains("not to 'puback'"));
        assert!(refusal("publish will-delay-interval 5").contains("publish can be given"));
        assert!(refusal("publish content-type a b").contains("only user-property"));
        assert!(refusal("publish user-property a").contains("user-property needs"));
        assert!(refusal("publish content-type").contains("PACKET PROPERTY VALUE"));
        assert!(refusal("connect receive-maximum 65536").contains("0 to 65535"));
        assert!(refusal("connect receive-maximum -1").contains("0 to 65535"));
        assert!(refusal("connect request-problem-information 2").contains("neither 0 nor 1"));
        assert!(refusal("publish topic-alias 1").contains("topic aliases by itself"));
    }

    #[test]
    fn what_the_standard_forbids_is_refused() {
        assert!(
            read(&["connect receive-maximum 0"]).is_err(),
            "section 3.1.2.11.3: zero is a protocol error"
        );
        assert!(read(&["publish content-type a", "publish content-type b"]).is_err(), "once only");
    }
}
