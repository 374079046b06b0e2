// SPDX-License-Identifier: MPL-2.0
//! MQTT 5.

use std::future::Future;

use rumqttc5::{
    AsyncClient, ConnAck, ConnectReturnCode, ConnectionError, DisconnectProperties, DisconnectReasonCode, EventLoop,
    Incoming, LastWill, MqttOptions, Outgoing, Publish, PublishNoticeError, PublishOptions, PublishProperties, QoS,
    StateError, Transport, mqttbytes::Error as Packet,
};

use orion_core::status::Status;

use super::{
    Event, Limits, NotTaken, Protocol, Will,
    failure::Failure,
    network::{CONNECT_TIMEOUT, MAX_INCOMING, connector, network_options, packet_ids},
    reason::Reason,
};
use crate::orionmqttsink::{client::Options, outbox::Sending, payload::JSON, runner::IN_FLIGHT};

pub(in super::super) struct V5;

impl Protocol for V5 {
    type Sender = Sender;
    type Events = Events;

    fn open(options: &Options) -> (Self::Sender, Self::Events) {
        let persistent = options.session_expiry.is_some();
        let (client, inner) = AsyncClient::builder(mqtt_options(options)).capacity(IN_FLIGHT).build();
        let topic = options.status_topic.clone();
        (Sender { client, persistent }, Events { inner, topic, persistent, keep_alive: options.keep_alive })
    }

    fn size(sending: &Sending) -> usize {
        let Sending { topic, payload, .. } = sending;
        let mut packet = Publish::new(topic, qos(sending.qos), payload.clone(), Some(properties(sending)));
        // Any packet id is as long.
        packet.pkid = 1;
        packet.size()
    }
}

/// Everything about one connection but the last will.
fn mqtt_options(options: &Options) -> MqttOptions {
    let broker = &options.broker;
    let mut mqtt = MqttOptions::new(options.client_id.clone(), (broker.host.clone(), broker.port));
    mqtt.set_keep_alive(options.keep_alive)
        .set_max_packet_size(Some(MAX_INCOMING))
        .set_outgoing_inflight_upper_limit(packet_ids(options))
        .set_max_request_batch(IN_FLIGHT)
        .set_connect_timeout(CONNECT_TIMEOUT)
        .set_clean_start(true)
        .set_session_expiry_interval(options.session_expiry);
    mqtt.set_network_options(network_options());
    if let Some(tls) = &options.tls {
        mqtt.set_transport(Transport::tls_with_config(tls.clone()));
    }
    match (&options.user, &options.password) {
        (Some(user), Some(password)) => {
            mqtt.set_credentials(user.clone(), password.clone());
        }
        (Some(user), None) => {
            mqtt.set_username(user.clone());
        }
        (None, _) => {}
    }
    mqtt.set_socket_connector(connector(options));
    mqtt
}

fn qos(number: u8) -> QoS {
    match number {
        0 => QoS::AtMostOnce,
        1 => QoS::AtLeastOnce,
        _ => QoS::ExactlyOnce,
    }
}

/// What MQTT 5 can say about a message.
fn properties(sending: &Sending) -> PublishProperties {
    let textual = sending.content_type.as_deref().is_some_and(|kind| kind == JSON || kind.starts_with("text/"));
    // A broker may refuse a text that is none.
    let text = textual && std::str::from_utf8(&sending.payload).is_ok();
    let replayed = sending.replayed.then(|| ("replayed", "true".to_owned()));
    let facts = sending.facts.iter().cloned().chain(replayed);
    PublishProperties {
        payload_format_indicator: text.then_some(1),
        message_expiry_interval: sending.expiry,
        content_type: sending.content_type.clone(),
        user_properties: facts.map(|(name, value)| (name.to_owned(), value)).collect(),
        ..PublishProperties::default()
    }
}

pub(in super::super) struct Sender {
    client: AsyncClient,
    persistent: bool,
}

impl super::Sender for Sender {
    fn publish(&self, sending: Sending) -> impl Future<Output = Result<(), NotTaken>> + Send + 'static {
        let options = PublishOptions::new(qos(sending.qos)).retain(sending.retain).properties(properties(&sending));
        let notice = self.client.try_publish_tracked(sending.topic, sending.payload, options);
        async move {
            let notice = notice.map_err(|_| NotTaken::Lost)?;
            match notice.wait_completion_async().await {
                // PUBCOMP knows one other code only: the broker has released the message before, and it is not lost.
                Ok(()) | Err(PublishNoticeError::V5PubComp(_)) => Ok(()),
                Err(PublishNoticeError::V5PubAck(reason)) => Err(NotTaken::Refused(Reason(reason as u8))),
                Err(PublishNoticeError::V5PubRec(reason)) => Err(NotTaken::Refused(Reason(reason as u8))),
                Err(_) => Err(NotTaken::Lost),
            }
        }
    }

    fn subscribe(&self, topic: &str) -> impl Future<Output = ()> + Send + 'static {
        let notice = self.client.try_subscribe_tracked(topic, QoS::AtMostOnce);
        async move {
            if let Ok(notice) = notice {
                let _ = notice.wait_completion_async().await;
            }
        }
    }

    fn disconnect(&self) -> bool {
        let normal = DisconnectReasonCode::NormalDisconnection;
        if self.persistent {
            // Nobody comes back for this session.
            let end = DisconnectProperties {
                session_expiry_interval: Some(0),
                reason_string: None,
                user_properties: Vec::new(),
                server_reference: None,
            };
            return self.client.try_disconnect_now_with_properties(normal, end).is_ok();
        }
        self.client.try_disconnect_now().is_ok()
    }
}

pub(in super::super) struct Events {
    inner: EventLoop,
    /// Of the last will.
    topic: Option<String>,
    persistent: bool,
    /// s.
    keep_alive: u16,
}

impl super::Events for Events {
    fn prepare(&mut self, will: Option<Will>) {
        let options = &mut self.inner.options;
        // The broker's own wish, which the library has put here, was for the last connection.
        options.set_keep_alive(self.keep_alive);
        if let (Some(topic), Some(will)) = (&self.topic, will) {
            options.set_last_will(LastWill::new(topic, Status::Offline.as_str(), qos(will.qos), will.retain, None));
        }
    }

    async fn poll(&mut self) -> Result<Event, Failure> {
        Ok(match self.inner.poll().await? {
            rumqttc5::Event::Incoming(Incoming::ConnAck(ack)) => {
                // From now on there is something to come back for.
                self.inner.options.set_clean_start(!self.persistent);
                Event::Connected { resumed: ack.session_present, limits: limits(&ack) }
            }
            rumqttc5::Event::Incoming(Incoming::Publish(publish)) => Event::Said(publish.payload),
            rumqttc5::Event::Outgoing(Outgoing::Disconnect) => Event::Gone,
            _ => Event::Other,
        })
    }

    fn interrupt(&mut self) {
        self.inner.clean();
    }
}

fn limits(ack: &ConnAck) -> Limits {
    let Some(properties) = &ack.properties else { return Limits::NONE };
    Limits {
        on_wire: properties.receive_max.unwrap_or(u16::MAX).max(1),
        packet: properties.max_packet_size,
        qos: properties.max_qos.unwrap_or(2).min(2),
        retain: properties.retain_available.is_none_or(|available| available != 0),
    }
}

impl From<ConnectionError> for Failure {
    fn from(error: ConnectionError) -> Self {
        match error {
            ConnectionError::ConnectionRefused(code)
            | ConnectionError::MqttState(StateError::ConnFail { reason: code }) => Self::Refused(refusal(code)),
            ConnectionError::MqttState(StateError::ServerDisconnect { reason_code, reason_string }) => {
                Self::Ended(Reason(reason_code as u8), reason_string)
            }
            ConnectionError::Tls(error) => error.into(),
            ConnectionError::Io(error)
            | ConnectionError::MqttState(StateError::Io(error) | StateError::Deserialization(Packet::Io(error))) => {
                error.into()
            }
            ConnectionError::MqttState(StateError::ConnectionAborted) => Self::Closed,
            ConnectionError::MqttState(StateError::AwaitPingResp) => Self::Silent,
            ConnectionError::Timeout(_) => Self::TimedOut,
            ConnectionError::RequestsDone => Self::Over,
            other => Self::Other(other.to_string()),
        }
    }
}

/// The library numbers these in its own way.
fn refusal(code: ConnectReturnCode) -> Reason {
    match code {
        ConnectReturnCode::MalformedPacket => Reason::MALFORMED,
        ConnectReturnCode::ProtocolError => Reason::PROTOCOL_ERROR,
        ConnectReturnCode::ImplementationSpecificError => Reason::IMPLEMENTATION,
        ConnectReturnCode::UnsupportedProtocolVersion | ConnectReturnCode::RefusedProtocolVersion => Reason::VERSION,
        ConnectReturnCode::ClientIdentifierNotValid | ConnectReturnCode::BadClientId => Reason::CLIENT_ID,
        ConnectReturnCode::BadUserNamePassword => Reason::CREDENTIALS,
        ConnectReturnCode::NotAuthorized => Reason::NOT_AUTHORIZED,
        ConnectReturnCode::ServerUnavailable | ConnectReturnCode::ServiceUnavailable => Reason::UNAVAILABLE,
        ConnectReturnCode::ServerBusy => Reason::BUSY,
        ConnectReturnCode::Banned => Reason::BANNED,
        ConnectReturnCode::BadAuthenticationMethod => Reason::AUTHENTICATION,
        ConnectReturnCode::TopicNameInvalid => Reason::TOPIC,
        ConnectReturnCode::PacketTooLarge => Reason::PACKET_TOO_LARGE,
        ConnectReturnCode::QuotaExceeded => Reason::QUOTA,
        ConnectReturnCode::PayloadFormatInvalid => Reason::FORMAT,
        ConnectReturnCode::RetainNotSupported => Reason::RETAIN,
        ConnectReturnCode::QoSNotSupported => Reason::QOS,
        ConnectReturnCode::UseAnotherServer => Reason::ELSEWHERE,
        ConnectReturnCode::ServerMoved => Reason::MOVED,
        ConnectReturnCode::ConnectionRateExceeded => Reason::RATE,
        ConnectReturnCode::UnspecifiedError | ConnectReturnCode::Success => Reason::UNSPECIFIED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sending(content_type: Option<&str>, payload: &'static [u8]) -> Sending {
        Sending {
            ticket: 0,
            topic: "t".into(),
            payload: payload.into(),
            qos: 1,
            retain: false,
            expiry: Some(7),
            content_type: content_type.map(str::to_owned),
            replayed: true,
            facts: vec![("frame_seq", "7".to_owned())],
        }
    }

    #[test]
    fn only_a_text_is_called_one() {
        for (content_type, payload, text) in [
            (Some(JSON), b"{}".as_slice(), Some(1)),
            (Some("text/plain"), b"a", Some(1)),
            (Some("text/plain"), b"\xff", None),
            (Some("image/jpeg"), b"a", None),
            (None, b"a", None),
        ] {
            let said = properties(&sending(content_type, payload));
            assert_eq!((said.payload_format_indicator, said.message_expiry_interval), (text, Some(7)));
            assert_eq!(said.content_type.as_deref(), content_type);
            let facts =
                [("frame_seq", "7"), ("replayed", "true")].map(|(name, value)| (name.to_owned(), value.to_owned()));
            assert_eq!(said.user_properties, facts);
        }
    }

    #[test]
    fn the_whole_packet_is_measured() {
        // Type, length, topic, packet id, length of the properties, text indicator, expiry, content type, user properties, payload.
        let size = V5::size(&sending(Some("text/plain"), b"abc"));
        assert_eq!(size, 1 + 1 + 3 + 2 + 1 + 2 + 5 + (3 + 10) + (1 + 2 + 9 + 2 + 1) + (1 + 2 + 8 + 2 + 4) + 3);
    }
}
