// SPDX-License-Identifier: MPL-2.0
//! The connection to the broker. It is made anew when it is lost; who uses it hears of that and decides for how long.

use std::{
    collections::BTreeSet,
    hash::{BuildHasher, Hasher, RandomState},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use gstorion::orionmqttsink::Endpoint;
use rumqttc::{AsyncClient, Event, EventLoop, Incoming, PublishOptions, QoS, SubscribeFilter, SubscribeReasonCode};
use tokio::{
    sync::mpsc,
    task::JoinHandle,
    time::{Instant, sleep, timeout_at},
};

use crate::{cli::Common, failure::Failure};

/// The largest packet that is read, bytes.
const LARGEST: usize = 16 * 1024 * 1024;
/// Messages that wait to be looked at; beyond that the broker waits.
const QUEUE: usize = 1024;
/// Between two attempts to connect.
const RETRY: Duration = Duration::from_millis(300);

/// What has happened.
#[derive(Debug)]
pub(crate) enum News {
    /// There is a connection, and what was subscribed to is on its way.
    Ready,
    /// The broker has taken one subscription more.
    Listening,
    /// Topic without the prefix, and payload.
    Message(String, Vec<u8>),
    /// There is none, and why.
    Lost(String),
    /// The broker does not let us read.
    Denied,
}

/// A connection that ends with this value.
pub(crate) struct Broker {
    client: AsyncClient,
    news: mpsc::Receiver<News>,
    topics: Arc<Mutex<BTreeSet<String>>>,
    prefix: String,
    task: JoinHandle<()>,
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A name that nobody else has.
pub(crate) fn unique(start: &str) -> String {
    format!("{start}-{:016x}", RandomState::new().build_hasher().finish())
}

impl Broker {
    /// Begins to connect, and subscribes to these topics (without the prefix).
    ///
    /// # Errors
    /// [`Failure::Usage`] names what of the settings cannot be used.
    pub(crate) fn open(common: &Common, topics: &[String]) -> Result<Self, Failure> {
        let mut endpoint = Endpoint {
            uri: common.broker.clone(),
            username: common.username.clone(),
            password_file: common.password_file.clone(),
            tls_ca_file: common.tls_ca_file.clone(),
            tls_cert_file: common.tls_cert_file.clone(),
            tls_key_file: common.tls_key_file.clone(),
            tls_insecure: common.tls_insecure,
            keep_alive: 5,
        };
        let options = endpoint.options(&unique("orion-config"), LARGEST);
        let (options, network) = options.map_err(|error| Failure::Usage(format!("--broker: {error}")))?;
        // So that a refusal names the user, wherever the name comes from.
        let user = common.broker.split_once("://").and_then(|(_, rest)| rest.rsplit_once('@')).map(|(user, _)| user);
        if let (true, Some(user)) = (endpoint.username.is_empty(), user) {
            user.clone_into(&mut endpoint.username);
        }
        let (client, mut events) = AsyncClient::builder(options).capacity(QUEUE).build();
        events.set_network_options(network);
        let (sender, news) = mpsc::channel(QUEUE);
        let prefix = format!("{}/", common.prefix);
        let topics = topics.iter().map(|topic| format!("{prefix}{topic}")).collect();
        let topics = Arc::new(Mutex::new(topics));
        let reader = Reader {
            client: client.clone(),
            endpoint,
            prefix: prefix.clone(),
            topics: Arc::clone(&topics),
            news: sender,
        };
        Ok(Self { client, news, topics, prefix, task: tokio::spawn(reader.run(events)) })
    }

    /// What happens next; none = nothing until the deadline.
    pub(crate) async fn next(&mut self, deadline: Instant) -> Option<News> {
        match timeout_at(deadline, self.news.recv()).await {
            Ok(Some(news)) => Some(news),
            // The task has ended, which only happens when this value does.
            Ok(None) => std::future::pending().await,
            Err(_) => None,
        }
    }

    /// Listens to these topics as well.
    pub(crate) fn listen(&self, topics: &[String]) {
        let new: Vec<_> = topics.iter().map(|topic| format!("{}{topic}", self.prefix)).collect();
        // What cannot be asked for now is, with all else, on the next connection.
        let _ = self.client.try_subscribe_many(new.iter().map(|topic| self::filter(topic, &self.prefix)));
        self.topics.lock().unwrap_or_else(PoisonError::into_inner).extend(new);
    }

    /// Listens to a topic no longer.
    pub(crate) fn ignore(&self, topic: &str) {
        let topic = format!("{}{topic}", self.prefix);
        self.topics.lock().unwrap_or_else(PoisonError::into_inner).remove(&topic);
        let _ = self.client.try_unsubscribe(topic.as_str());
    }

    /// Sends a command; without a connection nothing happens.
    pub(crate) fn publish(&self, topic: &str, payload: &str) {
        let options = PublishOptions::new(QoS::AtLeastOnce);
        let _ = self.client.try_publish(format!("{}{topic}", self.prefix), payload.to_owned(), options);
    }

    /// Takes leave, so that the broker need not find out.
    pub(crate) async fn close(mut self) {
        if self.client.try_disconnect().is_ok() {
            let _ = tokio::time::timeout(Duration::from_millis(200), &mut self.task).await;
        }
    }
}

/// Answers must not be lost; of all else the next one does as well.
fn filter(topic: &str, prefix: &str) -> SubscribeFilter {
    let answers = topic.strip_prefix(prefix).is_some_and(|topic| topic.starts_with("health/"));
    SubscribeFilter::new(topic.to_owned(), if answers { QoS::AtLeastOnce } else { QoS::AtMostOnce })
}

struct Reader {
    client: AsyncClient,
    endpoint: Endpoint,
    prefix: String,
    topics: Arc<Mutex<BTreeSet<String>>>,
    news: mpsc::Sender<News>,
}

impl Reader {
    async fn run(self, mut events: EventLoop) {
        let mut connected = false;
        let mut begun = false;
        let mut leaving = false;
        loop {
            let news = match events.poll().await {
                Ok(Event::Incoming(Incoming::ConnAck(_))) => {
                    connected = true;
                    // A broker that was restarted knows of no subscription.
                    let topics = self.topics.lock().unwrap_or_else(PoisonError::into_inner).clone();
                    let _ = self.client.try_subscribe_many(topics.iter().map(|topic| filter(topic, &self.prefix)));
                    begun = true;
                    continue;
                }
                Ok(Event::Incoming(Incoming::SubAck(ack))) => {
                    match ack.return_codes.contains(&SubscribeReasonCode::Failure) {
                        true => News::Denied,
                        false if std::mem::take(&mut begun) => News::Ready,
                        false => News::Listening,
                    }
                }
                Ok(Event::Incoming(Incoming::Publish(message))) => {
                    let topic = String::from_utf8_lossy(&message.topic);
                    match topic.strip_prefix(&self.prefix) {
                        Some(topic) => News::Message(topic.to_owned(), message.payload.to_vec()),
                        None => continue,
                    }
                }
                Ok(Event::Outgoing(rumqttc::Outgoing::Disconnect)) => {
                    leaving = true;
                    continue;
                }
                Ok(_) => continue,
                Err(_) if leaving => return,
                Err(error) => {
                    let text = self.endpoint.explain(error, connected);
                    connected = false;
                    News::Lost(text)
                }
            };
            let lost = matches!(news, News::Lost(_));
            if self.news.send(news).await.is_err() {
                return;
            }
            if lost {
                sleep(RETRY).await;
            }
        }
    }
}
