//! How the standards are read where they leave something open, and what that means for packets. Documentation only.
//!
//! The rule behind the readings: bytes that a sender may not write are refused, unless a version of the standard tells
//! receivers to let them pass; and what is refused on the way in cannot be built on the way out.
//!
//! # What is refused
//!
//! * **DUP at QoS 0** `[MQTT-3.3.1-2]` `[MQTT-3.3.1-2/3.1.1]`. A sender may not set it; no code is named for a receiver.
//!   Read as a malformed packet (0x81), like every other bit that must be 0. In values it cannot be said:
//!   [`Delivery`](crate::Delivery) has no DUP at QoS 0.
//! * **Integers longer than they need be** `[MQTT-1.5.5-1]`. 5.0 asks the sender for the shortest form; a longer one is
//!   malformed, in the Remaining Length, in a property length and in a subscription identifier. 3.1 and 3.1.1 do not ask,
//!   so that `D0 80 00` is a PINGRESP there `[311u-1]`. Written is always the shortest form.
//! * **Wildcards in the topic of a PUBLISH** `[MQTT-3.3.2-2]`. Parsed, but not allowed: Topic Name Invalid (0x90). The same
//!   in a response topic or a will topic is a Protocol Error (0x82). A bad filter in SUBSCRIBE or UNSUBSCRIBE is Topic
//!   Filter Invalid (0x8F). What may not be empty, and is, is a Protocol Error.
//! * **Reason codes** that the standard does not list for the packet, or not for its sender: a Protocol Error (0x82), never
//!   a success and never passed on `[MQTT-3.2.2-8]` `[MQTT-3.9.3-2]`. Who sends is known to
//!   [`Decoder::for_server`](crate::Decoder::for_server) and
//!   [`Decoder::from_server_only`](crate::Decoder::from_server_only); other decoders take what either side may send, and
//!   so does the encoder. Two codes of DISCONNECT are not listed alike throughout the standard: 0x8C is taken from both
//!   sides (table 2-6, against table 3-10), 0x9B too (section 3.3.4 has a client send it, against table 3-10).
//! * **Values of properties.** A byte that is 0 or 1 by its section cannot be 2, which is a Protocol Error (0x82)
//!   `[5u-8]`. That goes for the payload format indicator too, although the standard calls its other values only
//!   undefined: there is nothing that they could be passed on as.
//! * **Properties in the wrong place** are malformed (0x81), as section 2.2.2.2 says, although several implementations
//!   answer 0x82 `[5u-4]`. A property that belongs in the packet but not from this side is a Protocol Error (0x82): a
//!   subscription identifier from a client `[MQTT-3.3.4-6]`, a session expiry interval in a server's DISCONNECT
//!   `[MQTT-3.14.2-2]`.
//! * **Filters that begin with `$share/`** are shared subscriptions in every version, as servers treat them, and must have
//!   the form of one `[MQTT-4.8.2-1]`. 3.1.1 does not know them: to the letter, `$share/x` would be a plain filter there.
//!
//! # What is accepted
//!
//! * **Discouraged characters** `[5u-28]` `[311u-7]`: control characters and non-characters pass in both directions. The
//!   standards let a receiver close on them; section 5.4.9 of 5.0 describes how that lets one client close the connections
//!   of others. Senders do well to avoid them, since some servers close on them. A byte order mark is kept
//!   `[MQTT-1.5.4-3]`.
//! * **A CONNACK of two bytes with return code 1, in 5.0.** A server without 5.0 cannot answer in the form of 5.0; it is
//!   read as what it means, Unsupported Protocol Version (0x84). Any other CONNACK of two bytes lacks its property length
//!   and is malformed in 5.0.
//! * **Session Present beside a refusal** `[MQTT-3.2.2-6]`, which a server must not send. The connection is over either way,
//!   and why it was refused is worth more than that the flag is wrong: the flag is ignored, and cannot be written.
//! * **3.1 is read with more patience**, as it was written with less precision: header flags outside PUBLISH are not
//!   checked `[31-10]`, nor is the first byte of CONNACK `[31-3]` or bit 0 of the connect flags `[31-21]`; user name and
//!   password may be missing although their flags are set `[31-27]`; SUBACK may say 0x80 `[31-5]`. None of this is
//!   written. A decoder of 3.1 does not check that topic names have at most 32,767 characters `[31-16]` and will messages
//!   are ASCII `[31-8]`; the encoder does.
//!
//! # What is left to others
//!
//! What needs more than one packet is not decided here: whether an identifier is in use, an alias known, a quota kept, an
//! answer as long as its request. Nor does a value know who sends it: that a client publishes without subscription
//! identifiers, and that reason strings are left off an acknowledgement which they would make too large for its receiver,
//! is the business of the crate `mqtt-session`.
