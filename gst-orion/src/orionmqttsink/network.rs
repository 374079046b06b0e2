// SPDX-License-Identifier: MPL-2.0
//! How the client library is set up.

use nix::sys::socket::{setsockopt, sockopt::TcpUserTimeout};
use orion_core::status::Status;
use rumqttc::{LastWill, MqttOptions, NetworkOptions, QoS, Transport, default_socket_connect};

use super::{
    client::{IN_FLIGHT, Options},
    payload::MAX_PAYLOAD,
};

/// Time for name, TCP, TLS and the broker's answer, and for a write that is stuck, s.
const CONNECT_TIMEOUT_S: u64 = 5;

/// The largest packet that is accepted; brokers send acknowledgements and the own status only.
const MAX_INCOMING: usize = 64 * 1024;

/// Times of the network.
pub(super) fn network_options() -> NetworkOptions {
    let mut network = NetworkOptions::new();
    network.set_connection_timeout(CONNECT_TIMEOUT_S);
    network.set_tcp_nodelay(true);
    network
}

/// Everything about one connection.
pub(super) fn mqtt_options(options: &Options) -> MqttOptions {
    let broker = &options.broker;
    let mut mqtt = MqttOptions::new(options.client_id.clone(), (broker.host.clone(), broker.port));
    mqtt.set_keep_alive(options.keep_alive)
        // Payloads were checked before; the client's default of 10 KiB would end the connection.
        .set_max_packet_size(MAX_INCOMING, 2 * MAX_PAYLOAD)
        .set_inflight(IN_FLIGHT as u16)
        .set_max_request_batch(IN_FLIGHT);
    if let Some(tls) = &options.tls {
        mqtt.set_transport(Transport::tls_with_config(tls.clone()));
    }
    if let Some(topic) = &options.status_topic {
        mqtt.set_last_will(LastWill::new(topic, Status::Offline.as_str(), QoS::AtLeastOnce, true));
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
    // Our own, since the client's does not put brackets around IPv6 addresses and leaves it to the kernel's quarter of an
    // hour to notice that written data is never received.
    let address = broker.to_string();
    let user_timeout = 2000 * u32::from(options.keep_alive);
    mqtt.set_socket_connector(move |_, network| {
        let address = address.clone();
        async move {
            let stream = default_socket_connect(address, network).await?;
            if user_timeout > 0 {
                setsockopt(&stream, TcpUserTimeout, &user_timeout)?;
            }
            Ok(stream)
        }
    });
    mqtt
}
