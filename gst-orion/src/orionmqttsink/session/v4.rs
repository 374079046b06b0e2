// SPDX-License-Identifier: MPL-2.0
//! MQTT 3.1.1.

use std::future::Future;

use orion_core::status::Status;
use rumqttc::{
    AsyncClient, ConnectReturnCode, ConnectionError, Error as Packet, EventLoop, Incoming, LastWill, MqttOptions,
    NetworkOptions, Outgoing, PublishOptions, QoS, StateError, Transport,
};
use tokio::time;

use super::{
    Event, Limits, NotTaken, Protocol, Will,
    failure::Failure,
    network::{CONNECT_TIMEOUT, MAX_INCOMING, connector, network_options, packet_ids},
    reason::Reason,
};
use crate::orionmqttsink::{client::Options, outbox::Sending, payload::MAX_PAYLOAD, runner::IN_FLIGHT};

pub(in super::super) struct V4;

impl Protocol for V4 {
    type Sender = AsyncClient;
    type Events = Events;

    fn open(options: &Options) -> (Self::Sender, Self::Events) {
        let mut mqtt = mqtt_options(options);
        let foreign = options.session_expiry.is_some().then(|| Box::new(mqtt.clone()));
        mqtt.set_clean_session(options.session_expiry.is_none());
        let (client, mut inner) = AsyncClient::builder(mqtt).capacity(IN_FLIGHT).build();
        inner.set_network_options(network_options());
        let topic = options.status_topic.clone();
        (client, Events { inner, topic, remains: foreign.is_some(), cleaner: foreign })
    }

    fn size(sending: &Sending) -> usize {
        // What the first bytes need is not counted: nobody asks, since a 3.1.1 broker names no limit.
        sending.topic.len() + sending.payload.len()
    }
}

/// Times of the network.
pub(in super::super) fn network() -> NetworkOptions {
    network_options()
}

/// Everything about one connection but the last will.
pub(in super::super) fn mqtt_options(options: &Options) -> MqttOptions {
    let broker = &options.broker;
    let mut mqtt = MqttOptions::new(options.client_id.clone(), (broker.host.clone(), broker.port));
    mqtt.set_keep_alive(options.keep_alive)
        // Payloads were checked before; the library's default of 10 KiB would end the connection.
        .set_max_packet_size(MAX_INCOMING as usize, 2 * MAX_PAYLOAD)
        .set_inflight(packet_ids(options))
        .set_max_request_batch(IN_FLIGHT);
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

impl super::Sender for AsyncClient {
    fn publish(&self, sending: Sending) -> impl Future<Output = Result<(), NotTaken>> + Send + 'static {
        let options = PublishOptions::new(qos(sending.qos)).retain(sending.retain);
        let notice = self.try_publish_tracked(sending.topic, sending.payload, options);
        async move {
            let notice = notice.map_err(|_| NotTaken::Lost)?;
            notice.wait_completion_async().await.map_err(|_| NotTaken::Lost)
        }
    }

    fn subscribe(&self, topic: &str) -> impl Future<Output = ()> + Send + 'static {
        let notice = self.try_subscribe_tracked(topic, QoS::AtMostOnce);
        async move {
            if let Ok(notice) = notice {
                let _ = notice.wait_completion_async().await;
            }
        }
    }

    fn disconnect(&self) -> bool {
        self.try_disconnect_now().is_ok()
    }
}

pub(in super::super) struct Events {
    inner: EventLoop,
    /// Of the last will.
    topic: Option<String>,
    /// For a connection that only ends what a former run has left at the broker: MQTT 3.1.1 cannot begin anew and be resumed later
    /// in one. None = the session is clean anyway.
    cleaner: Option<Box<MqttOptions>>,
    /// Such a rest may still be there.
    remains: bool,
}

impl super::Events for Events {
    fn prepare(&mut self, will: Option<Will>) {
        if let (Some(topic), Some(will)) = (&self.topic, will) {
            self.inner.mqtt_options.set_last_will(LastWill::new(
                topic,
                Status::Offline.as_str(),
                qos(will.qos),
                will.retain,
            ));
        }
    }

    async fn poll(&mut self) -> Result<Event, Failure> {
        loop {
            if self.remains
                && let Some(options) = &self.cleaner
            {
                clean(options).await?;
                self.remains = false;
            }
            return match self.inner.poll().await {
                Ok(rumqttc::Event::Incoming(Incoming::ConnAck(ack))) => {
                    Ok(Event::Connected { resumed: ack.session_present, limits: Limits::NONE })
                }
                Ok(rumqttc::Event::Incoming(Incoming::Publish(publish))) => Ok(Event::Said(publish.payload)),
                Ok(rumqttc::Event::Outgoing(Outgoing::Disconnect)) => Ok(Event::Gone),
                Ok(_) => Ok(Event::Other),
                // The broker had accepted, and the connection broke before we heard of it.
                Err(ConnectionError::SessionStateMismatch { .. }) if self.cleaner.is_some() => {
                    self.remains = true;
                    continue;
                }
                Err(error) => Err(error.into()),
            };
        }
    }

    fn interrupt(&mut self) {
        self.inner.clean();
    }
}

/// Ends what a former run has left at the broker.
async fn clean(options: &MqttOptions) -> Result<(), Failure> {
    let (client, mut events) = AsyncClient::builder(options.clone()).capacity(1).build();
    events.set_network_options(network_options());
    let ended = async {
        loop {
            match events.poll().await? {
                rumqttc::Event::Incoming(Incoming::ConnAck(_)) if client.try_disconnect_now().is_err() => return Ok(()),
                rumqttc::Event::Outgoing(Outgoing::Disconnect) => return Ok(()),
                _ => {}
            }
        }
    };
    time::timeout(2 * CONNECT_TIMEOUT, ended).await.unwrap_or(Err(Failure::TimedOut))
}

impl From<ConnectionError> for Failure {
    fn from(error: ConnectionError) -> Self {
        match error {
            ConnectionError::ConnectionRefused(code) => Self::Refused(match code {
                ConnectReturnCode::RefusedProtocolVersion => Reason::VERSION,
                ConnectReturnCode::BadClientId => Reason::CLIENT_ID,
                ConnectReturnCode::ServiceUnavailable => Reason::UNAVAILABLE,
                ConnectReturnCode::BadUserNamePassword => Reason::CREDENTIALS,
                ConnectReturnCode::NotAuthorized => Reason::NOT_AUTHORIZED,
                ConnectReturnCode::Success => Reason::UNSPECIFIED,
            }),
            ConnectionError::Tls(error) => error.into(),
            ConnectionError::Io(error)
            | ConnectionError::MqttState(StateError::Io(error) | StateError::Deserialization(Packet::Io(error))) => {
                error.into()
            }
            ConnectionError::MqttState(StateError::ConnectionAborted) => Self::Closed,
            ConnectionError::MqttState(StateError::AwaitPingResp) => Self::Silent,
            ConnectionError::NetworkTimeout | ConnectionError::FlushTimeout => Self::TimedOut,
            ConnectionError::RequestsDone => Self::Over,
            other => Self::Other(other.to_string()),
        }
    }
}
