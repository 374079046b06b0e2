// SPDX-License-Identifier: MPL-2.0
//! The narrow seam behind which the client library is: one session with the broker, in either version of MQTT.
//!
//! A session has two halves, so that something can be handed to the one while the other waits for the network.

pub(super) mod failure;
mod network;
pub(super) mod reason;
pub(super) mod v4;
pub(super) mod v5;

pub(super) use network::packet_ids;

use std::future::Future;

use bytes::Bytes;
use gst::glib;

use self::{failure::Failure, reason::Reason};
use super::{client::Options, outbox::Sending};

/// The language that is spoken with the broker.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstOrionMqttSinkVersion")]
pub(super) enum Version {
    /// Understood by every broker.
    #[default]
    #[enum_value(name = "Every broker understands it", nick = "3.1.1")]
    V3_1_1,
    /// Says why something is refused.
    #[enum_value(name = "With reasons, limits and properties of messages", nick = "5")]
    V5,
}

/// What a broker says it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    /// Messages at QoS 1 and 2 on the wire.
    pub(super) on_wire: u16,
    /// Bytes of a packet; none = as many as MQTT allows.
    pub(super) packet: Option<u32>,
    pub(super) qos: u8,
    /// Whether it keeps the last message of a topic.
    pub(super) retain: bool,
}

impl Limits {
    /// Of a broker that names none.
    pub(super) const NONE: Self = Self { on_wire: u16::MAX, packet: None, qos: 2, retain: true };
}

/// How the last will is to be published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Will {
    pub(super) qos: u8,
    pub(super) retain: bool,
}

/// What a session has to say.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// The broker has accepted. If the session is resumed, the library repeats by itself what was on the wire.
    Connected { resumed: bool, limits: Limits },
    /// Somebody wrote to the topic that was subscribed to.
    Said(Bytes),
    /// The goodbye is written.
    Gone,
    /// Nothing that matters here.
    Other,
}

/// Why a message that was handed over is not on its way any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotTaken {
    /// The broker has said so.
    Refused(Reason),
    /// It is not known whether the broker has it, and nobody will repeat it.
    Lost,
}

/// Both halves in one version of MQTT.
pub(super) trait Protocol: 'static {
    type Sender: Sender;
    type Events: Events;

    /// A new session; nothing is connected yet.
    fn open(options: &Options) -> (Self::Sender, Self::Events);

    /// The packet's length, bytes.
    fn size(sending: &Sending) -> usize;
}

/// The half that takes.
pub(super) trait Sender {
    /// Hands a message over; the outcome comes when the broker has answered.
    fn publish(&self, sending: Sending) -> impl Future<Output = Result<(), NotTaken>> + Send + 'static;

    /// Subscribes at QoS 0; an end in whatever way is an answer.
    fn subscribe(&self, topic: &str) -> impl Future<Output = ()> + Send + 'static;

    /// Asks for a goodbye, with which the session ends at the broker if it can; false = that is impossible.
    fn disconnect(&self) -> bool;
}

/// The half that talks with the network.
pub(super) trait Events {
    /// Before each connection.
    fn prepare(&mut self, will: Option<Will>);

    /// Connects if there is no connection; after a failure the next call does so again.
    fn poll(&mut self) -> impl Future<Output = Result<Event, Failure>>;

    /// Gives the connection up, but not the session.
    fn interrupt(&mut self);
}
