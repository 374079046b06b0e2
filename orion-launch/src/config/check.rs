// SPDX-License-Identifier: MPL-2.0
//! Keys that must fit each other.

use gstorion::orionmqttsink::ENVIRONMENT;

use super::{
    Config, Mqtt,
    fleet::{self, Problems},
    keys,
    mask::masked,
    models::MAX_OTHERS,
    mqtt::MqttVersion,
};
use crate::page::Token;

/// Gathers problems: the key to blame and what is wrong.
#[derive(Default)]
pub(super) struct Rules(Problems);

impl Rules {
    /// Notes what is wrong with `key` if `broken`.
    pub(super) fn broken(&mut self, broken: bool, key: impl Into<String>, text: impl Into<String>) {
        if broken {
            self.0.push((key.into(), text.into()));
        }
    }

    /// All that was noted.
    pub(super) fn into_problems(self) -> Problems {
        self.0
    }
}

/// Rules over several keys and the environment: the key to blame and what is wrong.
pub(super) fn together(config: &Config, variable: impl Fn(&str) -> Option<String>) -> Problems {
    let mut rules = Rules::default();
    rules.broken(
        !config.pipeline.is_empty() && !config.pipeline_file.is_empty(),
        "pipeline_file",
        "set either this or pipeline",
    );
    fleet::list(config, &mut rules);
    rules.0.extend(fleet::each(config, sensor));
    fleet::groups(config, &mut rules);
    mqtt(&config.mqtt, &mut rules);
    tls(&config.mqtt, &mut rules);
    let said = |name: &str| variable(name).is_some_and(|value| !value.is_empty());
    let user = !config.mqtt.username.is_empty() || config.mqtt.uri.contains('@') || said(ENVIRONMENT[0]);
    rules.broken(!config.mqtt.password_file.is_empty() && !user, "mqtt.password_file", "needs mqtt.username");
    let built = config.pipeline.is_empty() && config.pipeline_file.is_empty();
    rules.broken(
        built && said(ENVIRONMENT[1]) && !user,
        "mqtt.username",
        format!("expected a name, since the environment variable {} holds a password", ENVIRONMENT[1]),
    );
    let token = variable(Token::VARIABLE).filter(|token| !token.is_empty()).map(|token| Token::new(&token));
    if let Some(Err(why)) = token {
        rules.broken(true, "http.page.token_file", format!("environment variable {}: {why}", Token::VARIABLE));
    }
    rules.into_problems()
}

/// Rules over the keys of one camera.
fn sensor(config: &Config) -> Problems {
    let mut rules = Rules::default();
    camera(config, &mut rules);
    models(config, &mut rules);
    rules.into_problems()
}

fn camera(config: &Config, rules: &mut Rules) {
    let camera = &config.camera;
    let no_address = camera.rtsp_url.is_empty();
    rules.broken(!no_address && !camera.file.is_empty(), "camera.file", "set either this or camera.rtsp_url");
    rules.broken(camera.repeat && camera.file.is_empty(), "camera.loop", "needs camera.file");
    rules.broken(
        !camera.password_file.is_empty() && camera.username.is_empty(),
        "camera.password_file",
        "needs camera.username",
    );
    rules.broken(
        !camera.username.is_empty() && (no_address || masked(&camera.rtsp_url) != camera.rtsp_url),
        "camera.username",
        "needs camera.rtsp_url, without a password in it",
    );
}

fn models(config: &Config, rules: &mut Rules) {
    let models = &config.models;
    let others = models.others.iter().map(|(name, worker)| (name.as_str(), worker));
    for (name, worker) in std::iter::once(("person_detector", &*models.person_detector)).chain(others) {
        rules.broken(
            worker.model_path.is_empty() && !worker.model_path_320.is_empty(),
            format!("models.{name}.model_path_320"),
            format!("needs models.{name}.model_path"),
        );
    }
    for (name, worker) in &models.others {
        let hint = match keys::nearest(name, &["person_detector"]) {
            Some(near) => format!("; did you mean models.{near}?"),
            None => String::new(),
        };
        rules.broken(
            worker.worker_command.is_empty(),
            format!("models.{name}.worker_command"),
            format!("expected a program and its arguments, for a worker that is not person_detector{hint}"),
        );
    }
    rules.broken(
        models.others.len() > MAX_OTHERS,
        "models",
        format!("expected {MAX_OTHERS} workers besides person_detector at most, got {}", models.others.len()),
    );
}

fn mqtt(mqtt: &Mqtt, rules: &mut Rules) {
    let host = mqtt.broker().map(|(host, _)| host);
    // Those that mosquitto listens on by itself.
    let loopback = host.is_some_and(|host| ["localhost", "127.0.0.1", "::1"].contains(&host));
    rules.broken(
        mqtt.embedded && (!loopback || mqtt.is_encrypted()),
        "mqtt.uri",
        "mqtt.embedded runs a broker on loopback only: expected mqtt://127.0.0.1:PORT (0 = any free port)",
    );
    rules.broken(
        !mqtt.embedded && mqtt.broker().is_some_and(|(_, port)| port == 0),
        "mqtt.uri",
        "port 0 needs mqtt.embedded: true",
    );
    rules.broken(
        mqtt.embedded && !mqtt.username.is_empty(),
        "mqtt.username",
        "the broker of mqtt.embedded knows no users: leave this empty",
    );
    rules.broken(
        !mqtt.clean_start && mqtt.client_id.is_empty(),
        "mqtt.clean_start",
        "false needs mqtt.client_id, by which the broker knows the session again",
    );
    rules.broken(
        mqtt.session_expiry_interval_s != Mqtt::default().session_expiry_interval_s
            && (mqtt.clean_start || mqtt.version != MqttVersion::V5),
        "mqtt.session_expiry_interval_s",
        "needs mqtt.version: \"5\" and mqtt.clean_start: false, otherwise the broker decides",
    );
    rules.broken(
        mqtt.home_assistant.picture && !mqtt.snapshots.enabled,
        "mqtt.home_assistant.picture",
        "needs mqtt.snapshots.enabled: true",
    );
}

fn tls(mqtt: &Mqtt, rules: &mut Rules) {
    let files = mqtt.tls.files();
    let why = if mqtt.embedded {
        "the broker of mqtt.embedded does not encrypt: leave this out"
    } else {
        "needs an encrypted connection: expected mqtts:// in mqtt.uri"
    };
    for (key, file) in files {
        rules.broken(!file.is_empty() && !mqtt.is_encrypted(), key, why);
    }
    rules.broken(mqtt.tls.insecure && !mqtt.is_encrypted(), "mqtt.tls.insecure", why);
    let [_, (cert, cert_file), (key, key_file)] = files;
    rules.broken(!cert_file.is_empty() && key_file.is_empty(), cert, "needs mqtt.tls.key_file");
    rules.broken(cert_file.is_empty() && !key_file.is_empty(), key, "needs mqtt.tls.cert_file");
}
