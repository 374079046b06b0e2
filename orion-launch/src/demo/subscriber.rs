// SPDX-License-Identifier: MPL-2.0
//! Reads results back from the broker, as any other program would.

use std::time::Duration;

use anyhow::Context;
use orion_core::{health::Presence, report::Report};
use rumqttc::{AsyncClient, Event, EventLoop, Incoming, MqttOptions, QoS};
use tokio::{sync::mpsc, task::JoinHandle};

use super::Tally;
use crate::config::{self, Config};

/// Greater than any result.
const MAX_PACKET: usize = 4 << 20;
/// Between two tries to connect.
const RETRY: Duration = Duration::from_millis(500);

/// What comes from the broker.
#[derive(Debug)]
pub(super) enum News {
    /// A result.
    Result(Box<Report>),
    /// Whether somebody is there.
    Presence(Presence),
}

/// A subscription that ends with this value.
pub(super) struct Subscriber {
    news: mpsc::UnboundedReceiver<News>,
    task: JoinHandle<()>,
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Subscriber {
    /// Subscribes to all results and to presence.
    pub(super) fn start(broker: &str, config: &Config) -> anyhow::Result<Self> {
        let (host, port) = config::broker(broker).context("the broker's address")?;
        let mut options = MqttOptions::new(format!("orion-demo-{}", std::process::id()), (host, port));
        options.set_keep_alive(5).set_max_packet_size(MAX_PACKET, MAX_PACKET);
        let (client, events) = AsyncClient::builder(options).capacity(10).build();
        let (sender, news) = mpsc::unbounded_channel();
        let topics = ["inferences", "presence"].map(|kind| format!("{}/{kind}/#", config.mqtt.prefix));
        let task = tokio::spawn(listen(client, events, topics, sender));
        Ok(Self { news, task })
    }

    /// The next result, or what is said of presence.
    pub(super) async fn next(&mut self) -> News {
        match self.news.recv().await {
            Some(news) => news,
            // The task ended, which only happens when this value does.
            None => std::future::pending().await,
        }
    }

    /// Counts what came in the meantime.
    pub(super) fn drain(&mut self, tally: &mut Tally) {
        while let Ok(news) = self.news.try_recv() {
            if let News::Result(report) = news {
                tally.add(&report, std::time::Instant::now());
            }
        }
    }
}

async fn listen(
    client: AsyncClient,
    mut events: EventLoop,
    [results, presence]: [String; 2],
    sender: mpsc::UnboundedSender<News>,
) {
    loop {
        match events.poll().await {
            // A broker that was restarted knows of no subscription.
            Ok(Event::Incoming(Incoming::ConnAck(_))) => {
                for topic in [&results, &presence] {
                    if let Err(error) = client.try_subscribe(topic.as_str(), QoS::AtLeastOnce) {
                        tracing::warn!("cannot subscribe to {topic}: {error}");
                    }
                }
            }
            Ok(Event::Incoming(Incoming::Publish(message))) => {
                let topic = String::from_utf8_lossy(&message.topic);
                let read = match topic.starts_with(presence.trim_end_matches('#')) {
                    true => serde_json::from_slice(&message.payload).map(News::Presence),
                    false => serde_json::from_slice(&message.payload).map(News::Result),
                };
                match read {
                    Ok(news) => {
                        if sender.send(news).is_err() {
                            return;
                        }
                    }
                    Err(error) => tracing::warn!("a message on {topic} cannot be read: {error}"),
                }
            }
            Ok(_) => {}
            Err(error) => {
                tracing::debug!("connection to the broker: {error}");
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}
