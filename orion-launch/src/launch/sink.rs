// SPDX-License-Identifier: MPL-2.0
//! The sink and its properties.

use std::fmt::Write;

use super::{
    SINK,
    words::{nanoseconds, quoted, word},
};
use crate::config::{Config, Mqtt, Profile};

/// Appends the sink; results go to `broker`.
pub(super) fn write(config: &Config, broker: &str, text: &mut String) {
    let mqtt = &config.mqtt;
    // Readers of another profile's messages look for them where that one has them.
    let topic = match mqtt.profile {
        Profile::Orion => format!("{}/inferences/{{instance_id}}/{{type}}", mqtt.prefix),
        Profile::Dlstreamer | Profile::Frigate => String::new(),
    };
    let status = format!("{}/status/{{instance_id}}", mqtt.prefix);
    let _ = write!(
        text,
        " ! orionmqttsink name={SINK} uri={} topic={} status-topic={} instance-id={} mqtt-qos={}",
        quoted(broker),
        quoted(&topic),
        quoted(&status),
        config.instance_id,
        mqtt.qos
    );
    for ((property, value), (_, default)) in delivery(mqtt).into_iter().zip(delivery(&Mqtt::default())) {
        if value != default {
            let _ = write!(text, " {property}={}", quoted(&value));
        }
    }
}

/// The sink's further properties; those with its own defaults are left out of the text.
fn delivery(mqtt: &Mqtt) -> [(&'static str, String); 22] {
    let pictures = &mqtt.snapshots;
    let snapshots = if pictures.enabled { format!("{}/snapshots/{{instance_id}}", mqtt.prefix) } else { String::new() };
    [
        ("username", mqtt.username.clone()),
        ("password-file", mqtt.password_file.clone()),
        ("tls-ca-file", mqtt.tls.ca_file.clone()),
        ("tls-cert-file", mqtt.tls.cert_file.clone()),
        ("tls-key-file", mqtt.tls.key_file.clone()),
        ("tls-insecure", mqtt.tls.insecure.to_string()),
        ("mqtt-version", word(&mqtt.version)),
        ("client-id", mqtt.client_id.clone()),
        ("clean-start", mqtt.clean_start.to_string()),
        ("session-expiry-interval", mqtt.session_expiry_interval_s.to_string()),
        ("message-expiry-interval", mqtt.message_expiry_interval_s.to_string()),
        ("keep-alive-interval", mqtt.keep_alive_s.to_string()),
        ("max-reconnect-interval", nanoseconds(mqtt.max_reconnect_interval_s)),
        ("outage-policy", word(&mqtt.outage_policy)),
        ("max-buffered-messages", mqtt.max_buffered_messages.to_string()),
        ("max-buffered-bytes", mqtt.max_buffered_bytes.to_string()),
        ("buffer-directory", mqtt.buffer_directory.clone()),
        ("profile", word(&mqtt.profile)),
        ("event-threshold", mqtt.event_threshold.to_string()),
        ("snapshot-topic", snapshots),
        ("snapshot-interval", nanoseconds(pictures.interval_s)),
        ("privacy", pictures.privacy.to_string()),
    ]
}

#[cfg(test)]
mod tests {
    use gst::prelude::*;

    use super::*;

    #[test]
    fn defaults_are_those_of_the_sink() {
        gst::init().unwrap();
        // Another test may have done so already.
        let _ = gstorion::plugin_register_static();
        let sink = gst::ElementFactory::make("orionmqttsink").build().unwrap();
        for (property, value) in delivery(&Mqtt::default()) {
            let default = sink.property_value(property);
            let default = match (default.get::<Option<String>>(), default.get::<f64>()) {
                (Ok(text), _) => text.unwrap_or_default(),
                (_, Ok(number)) => number.to_string(),
                _ => default.serialize().unwrap().replace('\\', "").trim_matches('"').to_owned(),
            };
            assert_eq!(value, default, "{property}");
        }
    }
}
