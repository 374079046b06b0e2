// SPDX-License-Identifier: MPL-2.0
//! What connections have in common in both versions of MQTT.

use std::{future::Future, io, pin::Pin, time::Duration};

use nix::sys::socket::{setsockopt, sockopt::TcpUserTimeout};
use rumqttc::{NetworkOptions, default_socket_connect};
use tokio::net::TcpStream;

use super::super::{client::Options, runner::IN_FLIGHT};

/// Time for name, TCP, TLS and the broker's answer.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The largest packet that is accepted; brokers send acknowledgements and the own status only.
pub(super) const MAX_INCOMING: u32 = 64 * 1024;

/// Packet ids that are used in turn. A session that is to be resumed pauses before they begin again (see `runner::lap`), and a
/// clean one needs no more than there are messages on the wire.
pub(in super::super) fn packet_ids(options: &Options) -> u16 {
    if options.session_expiry.is_some() { 1000 } else { IN_FLIGHT as u16 }
}

/// Times of the network.
pub(super) fn network_options() -> NetworkOptions {
    let mut network = NetworkOptions::new();
    network.set_connection_timeout(CONNECT_TIMEOUT.as_secs());
    network.set_tcp_nodelay(true);
    network
}

/// How to open the socket: our own way, since the library's does not put brackets around IPv6 addresses and leaves it to the
/// kernel's quarter of an hour to notice that written data is never received.
pub(super) fn connector(
    options: &Options,
) -> impl Fn(String, NetworkOptions) -> Pin<Box<dyn Future<Output = io::Result<TcpStream>> + Send>> + Send + Sync + 'static
{
    let address = options.broker.to_string();
    let user_timeout = 2000 * u32::from(options.keep_alive);
    move |_, network| {
        let address = address.clone();
        Box::pin(async move {
            let stream = default_socket_connect(address, network).await?;
            if user_timeout > 0 {
                setsockopt(&stream, TcpUserTimeout, &user_timeout)?;
            }
            Ok(stream)
        })
    }
}
