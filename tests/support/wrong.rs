// SPDX-License-Identifier: MPL-2.0
//! Wrong configurations and what must be said of them.

/// A password that must never be repeated.
pub const SECRET: &str = "geh3im";

/// Whether the JSON Schema can know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schema {
    Refuses,
    CannotKnow,
}

/// A file with one mistake.
pub struct Wrong {
    pub yaml: &'static str,
    /// Line and column.
    pub place: &'static str,
    pub key: &'static str,
    pub expected: &'static str,
    pub schema: Schema,
}

/// One that the schema refuses, too.
const fn form(yaml: &'static str, place: &'static str, key: &'static str, expected: &'static str) -> Wrong {
    Wrong { yaml, place, key, expected, schema: Schema::Refuses }
}

/// One that breaks a rule over several keys, or names what is not there.
const fn rule(yaml: &'static str, place: &'static str, key: &'static str, expected: &'static str) -> Wrong {
    Wrong { yaml, place, key, expected, schema: Schema::CannotKnow }
}

/// One mistake each.
pub const WRONG: &[Wrong] = &[
    // Keys.
    form("rooom_id: a", "1:1: ", "rooom_id", "did you mean room_id?"),
    form("camera:\n  rtsp_ulr: rtsp://u:geh3im@c/", "2:3: ", "camera.rtsp_ulr", "did you mean rtsp_url?"),
    form("stream: {fsp: 5}", "1:10: ", "stream.fsp", "did you mean fps?"),
    form("mqtt: {password: geh3im}", "1:8: ", "mqtt.password", "known here are"),
    form("mqtt: {tls: {key: a}}", "1:14: ", "mqtt.tls.key", "known here are ca_file, cert_file, insecure, key_file"),
    form("camera: {'rtsp://u:geh3im@c/': 1}", "1:10: ", "camera.rtsp://u:***@c/", "unknown key"),
    form("models: {Fall: {worker_command: a}}", "1:10: ", "models.Fall", "1..32 of a-z, 0-9 and _"),
    rule(
        "mqtt: {home_assistant: {picture: true}}",
        "1:25: ",
        "mqtt.home_assistant.picture",
        "needs mqtt.snapshots.enabled",
    ),
    rule("models: {sink: {worker_command: a}}", "1:10: ", "models.sink", "choose another name"),
    form(
        "models: {fall: {worker_command: a, max_inference_rate_hz: 5}}",
        "1:36: ",
        "models.fall.max_inference_rate_hz",
        "unknown key",
    ),
    form(
        "rois: {attention: [{x: 0, y: 0, width: 1, height: 1, w: 2}]}",
        "1:8: ",
        "rois.attention[0]",
        "unknown key w, known here are x",
    ),
    rule("stream:\n  fps: 5\n  fps: 6", "3:3: ", "fps", "a second time"),
    // Sections.
    form("stream: 5", "1:1: ", "stream", "expected a section with keys of its own"),
    form("camera: rtsp://u:geh3im@c/", "1:1: ", "camera", "expected a section with keys of its own"),
    form("mqtt: [a]", "1:1: ", "mqtt", "expected a section with keys of its own"),
    form("models: {size: n}", "1:10: ", "models.size", "expected a section with keys of its own"),
    // Text.
    form("instance_id: a b", "1:1: ", "instance_id", "expected letters, digits, _ and -"),
    form("instance_id: ''", "1:1: ", "instance_id", "expected letters, digits, _ and -"),
    rule("instance_id: all", "1:1: ", "instance_id", "commands to `all` are for every daemon"),
    form("instance_id: 7", "1:1: ", "instance_id", "expected text (in quotes), got a number"),
    form("room_id: true", "1:1: ", "room_id", "expected text (in quotes), got true or false"),
    rule("room_id: \"a\\0\"", "1:1: ", "room_id", "without the character NUL"),
    form("mqtt: {password_file: 12345}", "1:8: ", "mqtt.password_file", "expected text (in quotes), got a number"),
    form("camera: {rtsp_url: 'http://u:geh3im@c'}", "1:10: ", "camera.rtsp_url", "expected rtsp://"),
    form(
        "camera: {rtsp_url: ['rtsp://u:geh3im@c']}",
        "1:10: ",
        "camera.rtsp_url",
        "expected text (in quotes), got a list",
    ),
    rule("camera: {rtsp_url: 'rtsp://u:a/geh3im@c/'}", "1:10: ", "camera.rtsp_url", "write %2F for /"),
    rule("camera: {rtsp_url: 'rtsp://u:***@c/'}", "1:10: ", "camera.rtsp_url", "put the password itself"),
    form("mqtt: {uri: localhost}", "1:8: ", "mqtt.uri", "expected mqtt://"),
    form("mqtt: {uri: ''}", "1:8: ", "mqtt.uri", "expected mqtt://"),
    rule("mqtt: {uri: 'mqtt://h:99999'}", "1:8: ", "mqtt.uri", "expected mqtt://"),
    form("mqtt: {uri: 'mqtt://me:geh3im@h'}", "1:8: ", "mqtt.uri", "set mqtt.username and mqtt.password_file"),
    form("mqtt: {prefix: 'a/#'}", "1:8: ", "mqtt.prefix", "without #, +, { and }"),
    form("mqtt: {prefix: ''}", "1:8: ", "mqtt.prefix", "expected a topic"),
    form("mqtt: {prefix: 'a/{instance_id}'}", "1:8: ", "mqtt.prefix", "expected a topic"),
    form("http: {bind: 8080}", "1:8: ", "http.bind", "expected text (in quotes)"),
    form("http: {bind: localhost}", "1:8: ", "http.bind", "expected ADDRESS:PORT such as 127.0.0.1:8080"),
    rule(
        "models: {person_detector: {worker_command: \"sh 'x\"}}",
        "1:28: ",
        "models.person_detector.worker_command",
        "quoted as for a shell",
    ),
    // Choices.
    form(
        "models: {person_detector: {size: z}}",
        "1:28: ",
        "models.person_detector.size",
        "expected one of orion, n, s, m, l, x, got z",
    ),
    form("stream: {resolution: 480}", "1:10: ", "stream.resolution", "expected one of 320p, 480p, 512p, 720p, 1080p"),
    form("stream: {resolution: 400p}", "1:10: ", "stream.resolution", "did you mean 480p?"),
    form("stream: {format: jpg}", "1:10: ", "stream.format", "did you mean jpeg?"),
    form(
        "camera: {transport: tpc}",
        "1:10: ",
        "camera.transport",
        "expected one of tcp, udp, got tpc; did you mean tcp?",
    ),
    form("mqtt: {version: 4}", "1:8: ", "mqtt.version", "expected one of 3.1.1, 5, got"),
    form("mqtt: {version: 3.1}", "1:8: ", "mqtt.version", "expected one of 3.1.1, 5, got 3.1"),
    form("mqtt: {outage_policy: all}", "1:8: ", "mqtt.outage_policy", "expected one of keep, newest, drop"),
    form("mqtt: {profile: friagte}", "1:8: ", "mqtt.profile", "did you mean frigate?"),
    form(
        "rois: {auto_focus: {strategy: fast}}",
        "1:21: ",
        "rois.auto_focus.strategy",
        "expected one of simple, smoothing, velocity",
    ),
    form("mqtt: {embedded: maybe}", "1:8: ", "mqtt.embedded", "expected true or false, got \"maybe\""),
    form("mqtt: {tls: {insecure: yes}}", "1:14: ", "mqtt.tls.insecure", "expected true or false, got \"yes\""),
    // Numbers.
    form("shutdown_timeout_s: 0", "1:1: ", "shutdown_timeout_s", "expected a number, 0.5..300 seconds, got 0"),
    form("stream: {fps: fast}", "1:10: ", "stream.fps", "expected a number, 0.1..120 frames a second, got \"fast\""),
    form("stream: {fps: -5}", "1:10: ", "stream.fps", "0.1..120 frames a second, got -5"),
    rule("stream: {fps: .nan}", "1:10: ", "stream.fps", "expected a number, 0.1..120"),
    rule("stream: {fps: .inf}", "1:10: ", "stream.fps", "expected a number, 0.1..120"),
    form("stream: {warmup_duration_s: 61}", "1:10: ", "stream.warmup_duration_s", "0..60 seconds, got 61"),
    form(
        "models: {person_detector: {confidence: 1.5}}",
        "1:28: ",
        "models.person_detector.confidence",
        "0..1, got 1.5",
    ),
    form(
        "models: {person_detector: {workers: 2.5}}",
        "1:28: ",
        "models.person_detector.workers",
        "expected a whole number, 1..16 workers, got 2.5",
    ),
    form(
        "models: {person_detector: {workers: -1}}",
        "1:28: ",
        "models.person_detector.workers",
        "1..16 workers, got -1",
    ),
    form(
        "models: {person_detector: {max_inference_rate_hz: 31}}",
        "1:28: ",
        "models.person_detector.max_inference_rate_hz",
        "0.1..30 Hz",
    ),
    form(
        "rois: {auto_focus: {history_frames: 0}}",
        "1:21: ",
        "rois.auto_focus.history_frames",
        "1..10000 frames, got 0",
    ),
    form(
        "rois: {threshold_area: 99999999999999999999999999}",
        "1:8: ",
        "rois.threshold_area",
        "0..4294967295 square pixels",
    ),
    form("mqtt: {qos: 3}", "1:8: ", "mqtt.qos", "expected a whole number, 0..2, got 3"),
    form("mqtt: {keep_alive_s: 65536}", "1:8: ", "mqtt.keep_alive_s", "0..65535 seconds, got 65536"),
    form("mqtt: {max_buffered_messages: 0}", "1:8: ", "mqtt.max_buffered_messages", "1..4294967295 messages, got 0"),
    form(
        "mqtt: {max_buffered_bytes: 64M}",
        "1:8: ",
        "mqtt.max_buffered_bytes",
        "expected a whole number, 1..18446744073709551615 bytes",
    ),
    form("mqtt: {max_reconnect_interval_s: 0}", "1:8: ", "mqtt.max_reconnect_interval_s", "0.01..3600 seconds, got 0"),
    form("mqtt: {snapshots: {interval_s: -1}}", "1:20: ", "mqtt.snapshots.interval_s", "0..86400 seconds, got -1"),
    // Lists.
    form("models: {person_detector: {labels: []}}", "1:28: ", "models.person_detector.labels", "at least one label"),
    form(
        "models: {person_detector: {labels: person}}",
        "1:28: ",
        "models.person_detector.labels",
        "expected a list in [], got text",
    ),
    form("models: {person_detector: {labels: ['']}}", "1:28: ", "models.person_detector.labels", "not empty"),
    form("models: {person_detector: {labels: ['a,b']}}", "1:28: ", "models.person_detector.labels", "no comma"),
    form(
        "models: {person_detector: {labels: [a, 5]}}",
        "1:28: ",
        "models.person_detector.labels",
        "expected text (in quotes)",
    ),
    rule(
        "rois:\n  attention: [{x: 0.5, y: 0, width: 0.6, height: 1}]",
        "2:3: ",
        "rois.attention[0]",
        "x + width must be at most 1",
    ),
    form("rois: {attention: [{x: 0, y: 0, width: 1}]}", "1:8: ", "rois.attention[0]", "height is missing"),
    form("rois: {attention: {x: 0}}", "1:8: ", "rois.attention", "expected a list in []"),
    // Keys that must fit each other.
    rule("camera: {file: a, rtsp_url: 'rtsp://b/c'}", "1:10: ", "camera.file", "set either this or camera.rtsp_url"),
    rule("camera: {loop: true}", "1:10: ", "camera.loop", "needs camera.file"),
    rule("camera: {username: me}", "1:10: ", "camera.username", "needs camera.rtsp_url, without a password in it"),
    rule(
        "camera: {rtsp_url: 'rtsp://c/', password_file: secret}",
        "1:33: ",
        "camera.password_file",
        "needs camera.username",
    ),
    rule("mqtt: {password_file: secret}", "1:8: ", "mqtt.password_file", "needs mqtt.username"),
    rule("mqtt:\n  embedded: true\n  uri: mqtt://far", "3:3: ", "mqtt.uri", "expected mqtt://127.0.0.1:PORT"),
    rule("mqtt: {embedded: true, username: me}", "1:24: ", "mqtt.username", "leave this empty"),
    rule("mqtt: {uri: 'mqtt://h:0'}", "1:8: ", "mqtt.uri", "port 0 needs mqtt.embedded"),
    rule("mqtt: {tls: {ca_file: secret}}", "1:14: ", "mqtt.tls.ca_file", "expected mqtts:// in mqtt.uri"),
    rule("mqtt: {tls: {insecure: true}}", "1:14: ", "mqtt.tls.insecure", "expected mqtts:// in mqtt.uri"),
    rule(
        "mqtt: {embedded: true, tls: {insecure: true}}",
        "1:30: ",
        "mqtt.tls.insecure",
        "mqtt.embedded does not encrypt",
    ),
    rule(
        "mqtt: {uri: 'mqtts://h', tls: {cert_file: secret}}",
        "1:32: ",
        "mqtt.tls.cert_file",
        "needs mqtt.tls.key_file",
    ),
    rule(
        "mqtt: {uri: 'mqtts://h', tls: {key_file: secret}}",
        "1:32: ",
        "mqtt.tls.key_file",
        "needs mqtt.tls.cert_file",
    ),
    rule("mqtt: {clean_start: false}", "1:8: ", "mqtt.clean_start", "needs mqtt.client_id"),
    rule(
        "mqtt: {session_expiry_interval_s: 60}",
        "1:8: ",
        "mqtt.session_expiry_interval_s",
        "needs mqtt.version: \"5\"",
    ),
    rule(
        "models: {person_detector: {model_path_320: a}}",
        "1:28: ",
        "models.person_detector.model_path_320",
        "needs models.person_detector.model_path",
    ),
    form(
        "models:\n  person_detectr: {size: s}",
        "2:3: ",
        "models.person_detectr.worker_command",
        "did you mean models.person_detector?",
    ),
    form("models: {fall: {size: s}}", "1:10: ", "models.fall.worker_command", "expected a program and its arguments"),
    form(
        "models: {a: {worker_command: a}, b: {worker_command: a}, c: {worker_command: a}, d: {worker_command: a}, e: \
         {worker_command: a}, f: {worker_command: a}, g: {worker_command: a}, h: {worker_command: a}, i: {worker_command: a}, \
         person_detector: {size: n}}",
        "1:1: ",
        "models",
        "expected 8 workers besides person_detector at most, got 9",
    ),
    rule("pipeline: fakesrc ! fakesink\npipeline_file: empty", "2:1: ", "pipeline_file", "set either this or pipeline"),
    // Cameras.
    form("cameras: ward-1", "1:1: ", "cameras", "expected a list of cameras"),
    form("cameras: {ward-1: {}}", "1:1: ", "cameras", "expected a list of cameras"),
    form("cameras: [ward-1]", "1:11: ", "cameras[0]", "expected keys such as `instance_id: ward-1`"),
    form(
        "cameras:\n  - {instance_id: a}\n  - room_id: b",
        "3:5: ",
        "cameras[1].instance_id",
        "is missing, expected a name",
    ),
    form(
        "cameras:\n  - {instance_id: a}\n  - instance_id: b\n    camera: {rtsp_ulr: 'rtsp://u:geh3im@c/'}",
        "4:14: ",
        "cameras[1].camera.rtsp_ulr",
        "did you mean rtsp_url?",
    ),
    form("cameras: [{instance_id: a, rooom_id: b}]", "1:28: ", "cameras[0].rooom_id", "did you mean room_id?"),
    form(
        "cameras: [{instance_id: a, mqtt: {prefix: b}}]",
        "1:28: ",
        "cameras[0].mqtt",
        "it holds for all cameras: set it at the top level",
    ),
    form("cameras: [{instance_id: a, stream: 5}]", "1:28: ", "cameras[0].stream", "expected a section"),
    form(
        "cameras:\n  - instance_id: a\n    stream:\n      fps: 0",
        "4:7: ",
        "cameras[0].stream.fps",
        "expected a number, 0.1..120 frames a second, got 0",
    ),
    form(
        "cameras: [{instance_id: a, rois: {attention: [{x: 0, y: 0, width: 1}]}}]",
        "1:35: ",
        "cameras[0].rois.attention[0]",
        "height is missing",
    ),
    form(
        "cameras: [{instance_id: a, camera: {rtsp_url: 'http://u:geh3im@c'}}]",
        "1:37: ",
        "cameras[0].camera.rtsp_url",
        "expected rtsp://",
    ),
    form("cameras: [{instance_id: a b}]", "1:12: ", "cameras[0].instance_id", "expected letters, digits, _ and -"),
    rule("cameras: [{instance_id: all}]", "1:12: ", "cameras[0].instance_id", "commands to `all` are for every daemon"),
    rule(
        "instance_id: a\ncameras: [{instance_id: a}]",
        "2:12: ",
        "cameras[0].instance_id",
        "a is the name of the daemon itself",
    ),
    rule(
        "cameras:\n  - instance_id: a\n  - instance_id: b\n  - instance_id: a",
        "4:5: ",
        "cameras[2].instance_id",
        "a is the name of cameras[0], too",
    ),
    rule(
        "camera: {rtsp_url: 'rtsp://u:geh3im@c/'}\ncameras: [{instance_id: a}, {instance_id: b}]",
        "1:10: ",
        "camera.rtsp_url",
        "there is a list of cameras: leave this empty",
    ),
    rule(
        "cameras: [{instance_id: a}]\npipeline: fakesrc ! fakesink",
        "2:1: ",
        "pipeline",
        "the pipelines of a list of cameras are built",
    ),
    rule(
        "cameras:\n  - instance_id: a\n  - instance_id: b\n    camera:\n      username: me",
        "5:7: ",
        "cameras[1].camera.username",
        "needs camera.rtsp_url, without a password in it",
    ),
    // The rule is broken by what the entry has from the top level.
    rule(
        "camera: {username: me}\ncameras:\n  - {instance_id: a, camera: {rtsp_url: 'rtsp://c/'}}\n  - instance_id: b\n    \
         camera: {rtsp_url: 'rtsp://u:geh3im@c/'}",
        "5:5: ",
        "cameras[1].camera.username",
        "needs camera.rtsp_url, without a password in it",
    ),
    rule(
        "cameras: [{instance_id: a}, {instance_id: b, camera: {file: not-there.mp4}}]",
        "1:55: ",
        "cameras[1].camera.file",
        "there is no such file",
    ),
    rule(
        "models: {person_detector: {model_dir: not-there}}\ncameras: [{instance_id: a}, {instance_id: b}]",
        "1:28: ",
        "models.person_detector.model_dir",
        "there is no such directory",
    ),
    rule(
        "cameras:\n  - instance_id: a\n    models:\n      fall: {size: s}",
        "4:7: ",
        "cameras[0].models.fall.worker_command",
        "expected a program and its arguments",
    ),
    // Groups of workers.
    form(
        "models: {person_detector: {worker_group: A b}}",
        "1:28: ",
        "models.person_detector.worker_group",
        "expected a name, 32 of a-z, 0-9, _ and - at most, or empty",
    ),
    rule(
        "models: {person_detector: {worker_group: pool}}\ncameras:\n  - instance_id: a\n  - instance_id: b\n    models: \
         {person_detector: {confidence: 0.7}}",
        "5:32: ",
        "cameras[1].models.person_detector.confidence",
        "differs from models.person_detector.confidence of cameras[0] (a), with which it shares the workers of group pool",
    ),
    // Presence and upkeep.
    form("presence: {evidence_timeout_s: 0}", "1:12: ", "presence.evidence_timeout_s", "0.5..3600 seconds, got 0"),
    form("presence: {absent_after: 5}", "1:12: ", "presence.absent_after", "did you mean absent_after_s?"),
    form("presence: {frozen_after_s: 3601}", "1:12: ", "presence.frozen_after_s", "0..3600 seconds, got 3601"),
    form("watchdog: {interval_s: 0}", "1:12: ", "watchdog.interval_s", "0.1..3600 seconds, got 0"),
    form("watchdog: {min_timeout_s: 0.5}", "1:12: ", "watchdog.min_timeout_s", "1..3600 seconds, got 0.5"),
    form("log: {stats_interval_s: -1}", "1:7: ", "log.stats_interval_s", "0..3600 seconds, got -1"),
    form("http: {metrics: 'on'}", "1:8: ", "http.metrics", "expected true or false"),
    // Pipelines.
    rule(
        "pipeline: |\n  fakesrc\n  ! fakesink name=${NOT_THERE}",
        "1:1: ",
        "pipeline",
        "line 2, column 17 of the text: the environment variable NOT_THERE is not set",
    ),
    rule("pipeline: 'a ${'", "1:1: ", "pipeline", "expected ${NAME} or ${NAME:-default}"),
    rule("pipeline: 'a password=geh3im name=\"x'", "1:1: ", "pipeline", "has no end"),
    rule("pipeline: '# nothing'", "1:1: ", "pipeline", "expected elements"),
    rule("pipeline_file: not-there.launch", "1:1: ", "pipeline_file", "there is no such file"),
    rule("pipeline_file: folder", "1:1: ", "pipeline_file", "is a directory, expected a file"),
    rule("pipeline_file: empty", "1:1: ", "pipeline_file", "empty:1:1: expected elements"),
    // Files.
    rule(
        "mqtt: {username: me, password_file: not-there}",
        "1:22: ",
        "mqtt.password_file",
        "\"not-there\": there is no such file",
    ),
    rule("mqtt: {username: me, password_file: empty}", "1:22: ", "mqtt.password_file", "is empty, expected a password"),
    rule(
        "camera: {rtsp_url: 'rtsp://c/', username: me, password_file: folder}",
        "1:47: ",
        "camera.password_file",
        "is a directory",
    ),
    rule("camera: {file: not-there.mp4}", "1:10: ", "camera.file", "there is no such file"),
    rule("camera: {file: folder}", "1:10: ", "camera.file", "is a directory, expected a file"),
    rule("mqtt: {uri: 'mqtts://h', tls: {ca_file: not-there}}", "1:32: ", "mqtt.tls.ca_file", "there is no such file"),
    rule(
        "mqtt: {uri: 'mqtts://h', tls: {ca_file: secret}}",
        "1:32: ",
        "mqtt.tls.ca_file",
        "holds no certificate in PEM format",
    ),
    rule("mqtt: {buffer_directory: secret}", "1:8: ", "mqtt.buffer_directory", "is a file, expected a directory"),
    rule(
        "models: {person_detector: {model_path: not-there.onnx}}",
        "1:28: ",
        "models.person_detector.model_path",
        "there is no such file",
    ),
    rule(
        "models: {person_detector: {model_dir: not-there}}",
        "1:28: ",
        "models.person_detector.model_dir",
        "there is no such directory",
    ),
];

/// What is no configuration at all, and what follows the file's name.
pub const FILES: &[(&[u8], &str)] = &[
    (b"just text", ":1:1: expected keys such as"),
    (b"- instance_id: a", ":1:1: expected keys such as"),
    (b"stream:\n\tfps: 5", ":2:2: fps: a tab, expected spaces"),
    (b"stream: {fps: 5", ":1:9: stream: unclosed bracket"),
    (b"room_id: 'a", ":1:10: room_id: the quote that begins here has no end"),
    (b"room_id: a\n---\nroom_id: b", ":3:1: room_id: a second document begins here"),
    (b"room_id: a: b", ":1:11: room_id: a second `:`"),
    (b"room_id: *a", ":1:10: room_id: alias references unknown anchor"),
    (b"[a]: b", ":1:1: expected a key that is a text"),
    (b"room_id: a\ninstance_id: \xff\xfe", ":2:14: expected UTF-8 text"),
    (b"room_id: a\nroom_id: b", ":2:1: room_id: the key room_id stands here a second time"),
];

/// A variable, its value, and what is said.
pub const VARIABLES: &[(&str, &str, &str)] = &[
    ("ORION_STREAM__FPS", "x", "stream.fps: expected a number, 0.1..120 frames a second, got \"x\""),
    ("ORION_STREAM__FPS", "[", "stream.fps: "),
    ("ORION_STREAM__FSP", "1", "did you mean ORION_STREAM__FPS?"),
    ("ORION_INSTANC_ID", "1", "did you mean ORION_INSTANCE_ID?"),
    ("ORION_A__B", "1", "no such key"),
    (
        "ORION_CAMERAS",
        "[{instance_id: a, camera: {rtsp_url: 'x:geh3im'}}]",
        "cameras[0].camera.rtsp_url: expected rtsp://",
    ),
    ("ORION_CAMERAS__0__ROOM_ID", "a", "no variable reaches into the list of cameras"),
    ("ORION_WATCHDOG__INTERVAL_S", "0", "watchdog.interval_s: expected a number, 0.1..3600 seconds, got 0"),
    ("ORION_MQTT", "1", "a section cannot be set as a whole"),
    ("ORION_MQTT_PASSWORD", "geh3im", "mqtt.username: expected a name"),
    ("ORION_CAMERA__RTSP_URL", "http://u:geh3im@c/", "camera.rtsp_url: expected rtsp://"),
    ("ORION_MQTT__URI", "mqtt://u:geh3im@c/", "mqtt.uri: a password does not belong here"),
    (
        "ORION_MODELS__PERSON_DETECTOR__SIZE",
        "xl",
        "models.person_detector.size: expected one of orion, n, s, m, l, x, got xl",
    ),
    ("ORION_MODELS__FALL__SIZE", "s", "models.fall.worker_command: expected a program"),
    ("ORION_PIPELINE", "a ${B_}", "the environment variable B_ is not set"),
    ("ORION_MQTT__PASSWORD_FILE", "secret", "mqtt.password_file: needs mqtt.username"),
];
