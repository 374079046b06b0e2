// SPDX-License-Identifier: MPL-2.0
//! Reads results back from the broker, as any other program would.

use std::time::Duration;

use anyhow::Context;
use orion_core::report::Report;
use rumqttc::{AsyncClient, Event, EventLoop, Incoming, MqttOptions, QoS};
use tokio::{sync::mpsc, task::JoinHandle};

use super::Tally;
use crate::config::{self, Config};

/// Greater than any result.
const MAX_PACKET: usize = 4 << 20;
/// Between two tries to connect.
const RETRY: Duration = Duration::from_millis(500);

/// A subscription that ends with this value.
pub(super) struct Subscriber {
    reports: mpsc::UnboundedReceiver<Box<Report>>,
    task: JoinHandle<()>,
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Subscriber {
    /// Subscribes to all results.
    pub(super) fn start(broker: &str, config: &Config) -> anyhow::Result<Self> {
        let (host, port) = config::broker(broker).context("the broker's address")?;
        let mut options = MqttOptions::new(format!("orion-demo-{}", std::process::id()), (host, port));
        options.set_keep_alive(5).set_max_packet_size(MAX_PACKET, MAX_PACKET);
        let (client, events) = AsyncClient::builder(options).capacity(10).build();
        let (sender, reports) = mpsc::unbounded_channel();
        let topic = format!("{}/inferences/#", config.mqtt.prefix);
        let task = tokio::spawn(listen(client, events, topic, sender));
        Ok(Self { reports, task })
    }

    /// The next result.
    pub(super) async fn next(&mut self) -> Box<Report> {
        match self.reports.recv().await {
            Some(report) => report,
            // The task ended, which only happens when this value does.
            None => std::future::pending().await,
        }
    }

    /// Counts what came in the meantime.
    pub(super) fn drain(&mut self, tally: &mut Tally) {
        while let Ok(report) = self.reports.try_recv() {
            tally.add(&report, std::time::Instant::now());
        }
    }
}

async fn listen(
    client: AsyncClient,
    mut events: EventLoop,
    topic: String,
    reports: mpsc::UnboundedSender<Box<Report>>,
) {
    loop {
        match events.poll().await {
            // A broker that was restarted knows of no subscription.
            Ok(Event::Incoming(Incoming::ConnAck(_))) => {
                if let Err(error) = client.try_subscribe(topic.as_str(), QoS::AtLeastOnce) {
                    tracing::warn!("cannot subscribe to {topic}: {error}");
                }
            }
            Ok(Event::Incoming(Incoming::Publish(message))) => match serde_json::from_slice(&message.payload) {
                Ok(report) => {
                    if reports.send(report).is_err() {
                        return;
                    }
                }
                Err(error) => {
                    tracing::warn!("a message on {} is no result: {error}", String::from_utf8_lossy(&message.topic));
                }
            },
            Ok(_) => {}
            Err(error) => {
                tracing::debug!("connection to the broker: {error}");
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}
