// SPDX-License-Identifier: MPL-2.0
//! element-orionmqttsink
//!
//! Publishes the results on each buffer over MQTT 3.1.1 or 5 (`mqtt-version`), one JSON message a result
//! ([`orion_core::report::Report`]). A buffer without any Orion meta is published as its payload is; `{type}` is then `buffer`,
//! `{instance_id}` and `{room_id}` are the properties `instance-id`, else the element's name, and `room-id`. A
//! numbered frame without a result has nothing to say and counts as forwarded at once.
//!
//! The streaming thread never waits for the broker. Messages wait in a buffer of `max-buffered-messages` and `max-buffered-bytes`;
//! when it is full the oldest frames go. Bytes are counted as what a message takes in memory: payload, topic and names, and 1 KiB for
//! the rest of it (half a KiB more for a report with losses in `lost_since_last`). What is on the wire stays within both bounds, one
//! message at least; the newest frame is taken on top of it. The client reconnects for ever. Order is kept; after a lost
//! connection messages may arrive twice (at QoS 2 as well). Reports that had to wait for a connection, or are sent again after
//! one was lost, have `replayed: true`.
//!
//! `outage-policy` says what is kept while there is no connection: everything within the bounds, the newest frame of each topic, or
//! nothing. What is left out is said: a gap record ([`orion_core::gap::Gap`], `{type}` is `gap`, `{label}` is empty) goes out before
//! anything else, at QoS 1 at least, with the sequence numbers of the frames and the cause (`queue_full`, `no_connection`,
//! `too_old`, `refused`, `storage_error`, `shutdown`), and the next report of that `instance_id` and `type` adds them to its
//! `lost_since_last`. They may still have arrived when the connection broke before the broker could acknowledge them. What a stop
//! costs is said after the next start of the same element. Open gap records, and kinds of reports that have something to add, are
//! 1000 at most; the oldest goes, counted in `gap-records-dropped`. Each frame is also told to the application, as a QoS message with
//! the field `cause`; of very many at once the first hundred and the last of each cause, with the counts of all.
//!
//! A broker may refuse a message by closing the connection. After two connections without any acknowledgement, or three with the
//! same oldest message that was not acknowledged, messages go one by one, each on a connection that has held for half a second;
//! the third one that ends on the same message makes the sink give it up, as `refused`. If it was a gap record, others for its
//! topic wait ten minutes.
//!
//! With `snapshot-topic` frames with a detection are published as JPEG, one picture a topic in `snapshot-interval` at most; raw
//! frames are encoded by a thread of their own (`jpegenc`), one at a time. Pictures do not wait for a connection. `privacy` switches
//! them off and erases what the broker has kept of them (`retain`), as does another `snapshot-topic`. When two connections in a row
//! end on a picture, those of its size and more are left out for ten minutes. With MQTT 5 a picture carries the user properties
//! `instance_id`, `room_id`, `label`, `frame_seq` and `timestamp`.
//!
//! `profile` chooses the form of results: Orion's reports, the JSON of DL Streamer's `gvametaconvert`
//! ([`orion_core::profile::dlstreamer`]), or Frigate's events ([`orion_core::profile::frigate`]). Gap records are Orion's only;
//! of the others' messages `messages-dropped` counts what is lost. `outage-policy=newest` keeps the newest event of each object,
//! so its `end` stays. Where bounds drop events, the next event of the object says all that they said; if that was its `end`, none
//! comes. Whether a camera is silent is judged by the host's clock, everything else about an event by the camera's.
//!
//! With `clean-start=false` the session outlives a lost connection, so that at `mqtt-qos=2` each message arrives exactly once, in its
//! order. That needs a `client-id`; with MQTT 5 the broker keeps the session for `session-expiry-interval`, with 3.1.1 as long as
//! it likes. Where the broker has forgotten the session, comes back with other limits, or has closed two connections in a row
//! without acknowledging anything (it may not like a message), the session begins anew and messages may arrive twice. What a session
//! repeats is the message as it was, so its payload does not say `replayed`; `stats` count it. Each start begins a new session;
//! a stop ends it at the broker (MQTT 5).
//!
//! With MQTT 5 a message carries its content type (the caps' media type, `application/json` for results), whether it is UTF-8 text,
//! `message-expiry-interval` as far as it is not over, and the user property `replayed` = `true` when it had to wait for a
//! connection. The broker's limits are heeded: messages on the wire, packet size (a larger message is given up, counted as
//! `refused`), highest quality of service, retained messages, keep-alive. A message that the broker refuses by name is given up
//! at once, unless a quota is the reason: then it is sent again after a pause. In 3.1.1 a broker can only close the connection; the
//! message that was alone on the wire three times then is given up.
//!
//! With `buffer-directory` that buffer is on the disk as well: what waits without a connection, and what the broker has not
//! acknowledged for half a second, is written by a thread of its own, ten times a second at most, each time as one durable
//! transaction; a fast link writes nothing. It survives a crash, a power cut and a stop, which then drops nothing as `shutdown`
//! (but for what the disk does not take, which the next start of the same element says). The next run sends it first, in its order and as `replayed`, with the gap records that
//! were not acknowledged; after a crash messages may arrive twice. In memory stay an index and what is near its turn, so the bounds
//! may be large; of what is not yet written 64 MiB are kept at most. Bounds, `message-expiry-interval` (which counts on over a
//! restart) and the `outage-policy` of now hold for what a former run has left: `drop` writes no message and delivers the
//! former ones only if the broker is there at once. What a disk that fails cannot give back is dropped as `storage_error`,
//! after a minute if nothing can be read at all; then it stays on the disk for a later run. A file that is damaged or of
//! another program is moved aside. Starting reads and checks the whole file; a stop may take 3 s more. Files are for the user
//! alone (0600, a new folder 0700) and not encrypted. Each sink needs a folder of its own.
//!
//! With `status-topic` the sink says at QoS 1, retained, whether it is there: `online` first of all on each connection, `stopped`
//! after EOS and on the way to READY, behind the last result and acknowledged (within 500 ms) before the connection is closed.
//! The broker says `offline`, the last will, when the connection breaks. Data after EOS mean `online` again, and an `offline` that
//! comes while the sink is there (the will of a former run, noticed late) is answered with the true status; for that the sink
//! subscribes to the topic. `{instance_id}` in it is the property `instance-id`, since results, which have their own, may come late
//! or never. `stats` count results only. Two sinks must not share the topic.
//!
//! With `mqtts://` the broker must show a certificate for the host in `uri`, of an authority in `tls-ca-file` or of the system's.
//! `tls-cert-file` and `tls-key-file` are what the sink shows where the broker asks. They are read at each start.
//!
//! ## Example
//! ```text
//! gst-launch-1.0 videotestsrc num-buffers=5 ! jpegenc ! orionmqttsink uri=mqtt://localhost topic=pictures
//! ```
//!
//! ## Messages on the bus
//! A **warning** (`resource`, `open-write`) says why there is no connection, the same text once a minute at most; an **info**
//! follows when it is back. A **warning** (`resource`, `write`) names topic and size of a message that the broker does not take, each
//! topic once a minute at most; it says once that the broker offers no retained messages or not the quality of service that is
//! asked for, and that messages are published without. A **warning** (`resource`, `write`) says how many messages were unacknowledged when EOS had waited
//! for `drain-timeout`. A **warning** (`resource`, `failed`) says, once a minute at most, that the disk does not work; messages are
//! then kept in memory, and the disk is tried again every 5 s. A **warning** (`resource`, `read`) at a start names the file that was
//! moved aside. A **warning** (`stream`, `encode`) says why there is no snapshot. A **warning** (`stream`, `format`) says, once a
//! start, that the size of the frames is not known (no width and height in the caps, no `frame_width` and `frame_height` from the worker)
//! and what the messages of `profile` lack for that. A **warning** (`resource`, `settings`) at each start says that `tls-insecure` is set. An
//! **error** (`resource`, `settings`) says which property cannot be used, on the way to READY or PAUSED.
//!
//! ## `stats`
//! | field | type | meaning |
//! |---|---|---|
//! | `received` | u64 | buffers that came in, and frames that a former run left on the disk |
//! | `forwarded` | u64 | those of which the broker has acknowledged every message (QoS 0: written to the network) |
//! | `in-flight` | u64 | `received` − `forwarded` − all of `dropped`; after a stop those that the next run will send |
//! | `dropped` | structure | one u64 a cause; here `queue_full` (a bound), `no_connection`, `refused` (by the broker), `too_old` (expired), `worker_error` (no valid result), `storage_error` (the disk does not give it back) and `shutdown` are counted |
//! | `published`, `acknowledged` | u64 | messages sent, each counted once, and messages that the broker has |
//! | `replayed` | u64 | messages sent that had to wait for a connection or were repeated after one was lost (by a resumed session, too), each counted once |
//! | `gap-records` | u64 | gap records sent |
//! | `messages-dropped` | u64 | messages given up, those that belong to no frame included (an event that ends, for one); one that was on the wire may have arrived all the same |
//! | `gap-records-dropped` | u64 | gap records that will never be said (refused by the broker, or too many), and additions to `lost_since_last` that were too many |
//! | `buffered` | u64 | messages that wait or are not yet acknowledged |
//! | `buffered-bytes` | u64 | their bytes, counted as for `max-buffered-bytes` |
//! | `stored`, `stored-bytes` | u64 | those of them that are on the disk, also after a stop; their bytes, counted in the same way |
//! | `storage-errors` | u64 | times that the disk did not do what it should |
//! | `acknowledge-mean-ms`, `acknowledge-p99-ms` | double | time from sending a message (again) to its acknowledgement, mean and 99th percentile of the last 1000 at QoS 1 and 2, ms; 0 = none yet |
//! | `snapshots`, `snapshots-dropped` | u64 | pictures that the broker has, and those that were taken for nothing: replaced by newer ones, too large, no connection |
//! | `connected` | bool | whether there is a connection |
//! | `reconnects` | u64 | connections after the first |
//! | `connection-failures` | u64 | connections that were lost, and attempts that failed |
//! | `last-error` | string | why the connection was lost or refused last; empty = never |
//!
//! Counting begins anew with each start and stays readable after the stop.

use gst::{glib, prelude::*};

mod address;
mod album;
mod cause;
mod client;
mod delays;
mod encoder;
mod endpoint;
mod herald;
mod imp;
mod keeper;
mod keeping;
mod link;
mod outbox;
mod payload;
mod photographer;
mod properties;
mod record;
mod reports;
mod retry;
mod runner;
mod session;
mod settings;
mod snapshot;
mod store;
mod tls;
mod translator;

/// Environment variables for the name to log in with and the password, where no property says them.
pub const ENVIRONMENT: [&str; 2] = ["ORION_MQTT_USERNAME", "ORION_MQTT_PASSWORD"];

pub use endpoint::{Endpoint, EndpointError};
pub use reports::{ReportError, reports};

glib::wrapper! {
    /// The element `orionmqttsink`.
    pub struct OrionMqttSink(ObjectSubclass<imp::OrionMqttSink>) @extends gst_base::BaseSink, gst::Element, gst::Object;
}

pub(crate) fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    for kind in
        [session::Version::static_type(), keeping::OutagePolicy::static_type(), translator::Profile::static_type()]
    {
        kind.mark_as_plugin_api(gst::PluginAPIFlags::empty());
    }
    gst::Element::register(Some(plugin), "orionmqttsink", gst::Rank::NONE, OrionMqttSink::static_type())
}
