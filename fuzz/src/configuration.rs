// SPDX-License-Identifier: MPL-2.0
//! Three texts, divided by lines of `%%%`: a file, variables of the environment, and a change in JSON.

use std::sync::OnceLock;

use serde_json::Value;

use crate::config::{Config, ConfigError, Sources, schema};

/// Divides the texts.
const NEXT: &str = "\n%%%\n";

/// The longest mistake, bytes: 1000 characters and three dots.
const LONGEST: usize = 4003;

pub(crate) fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut texts = text.splitn(3, NEXT);
    let mut next = || texts.next().unwrap_or_default();
    let (file, variables, patch) = (next(), next(), next());
    let variables = variables.lines().filter_map(|line| line.split_once('='));
    let variables: Vec<_> = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let config = match load(file, &variables) {
        Ok(config) => config,
        Err(error) => return refused(&error, &["fuzz.yaml:", "environment variable ", ""]),
    };
    accepted(&config);
    let printed = config.to_yaml().expect("it can be printed");
    if config.masked_json() == json(&config) {
        match load(&printed, &variables) {
            Ok(again) => assert_eq!(again, config, "{printed}"),
            Err(error) => panic!("{error}\n{printed}"),
        }
    }
    let Ok(patch) = serde_json::from_str::<Value>(patch) else { return };
    let next = match config.patched(&patch) {
        Ok(next) => next,
        Err(error) => return refused(&error, &["params.config"]),
    };
    accepted(&next);
    assert_eq!(next.patched(&patch).map_err(|error| error.to_string()).as_ref(), Ok(&next), "twice is once");
    let (there, back) = (config.changes(&next), next.changes(&config));
    assert_eq!(there.is_empty(), back.is_empty());
    assert_eq!(there.is_empty(), next == config, "{there:?}");
    for (there, back) in there.iter().zip(&back) {
        assert_eq!((&there.key, &there.from, &there.to), (&back.key, &back.to, &back.from));
    }
}

fn load(file: &str, variables: &[(String, String)]) -> Result<Config, ConfigError> {
    Sources { file: Some(("fuzz.yaml".into(), file.into())), variables: variables.to_vec() }.load()
}

fn json(config: &Config) -> Value {
    serde_json::to_value(config).expect("JSON")
}

/// Each mistake is one line that says where it is, and short enough to be read.
fn refused(error: &ConfigError, places: &[&str]) {
    let problems = error.problems();
    assert!((1..=51).contains(&problems.len()), "{} problems", problems.len());
    for problem in problems.iter().take(50) {
        assert!(!problem.trim().is_empty() && !problem.contains(char::is_control), "{problem:?}");
        assert!(places.iter().any(|place| problem.starts_with(place)), "{problem:?}");
        assert!(problem.contains(": "), "{problem:?}");
        assert!(problem.len() <= LONGEST, "{} bytes: {problem:.200}", problem.len());
    }
}

/// What the program takes, the schema that editors go by takes too, and no password is shown.
fn accepted(config: &Config) {
    static SCHEMA: OnceLock<jsonschema::Validator> = OnceLock::new();
    let schema = SCHEMA.get_or_init(|| jsonschema::validator_for(&schema()).expect("a schema"));
    let value = json(config);
    if let Err(error) = schema.validate(&value) {
        panic!("{}: {error}", error.instance_path());
    }
    assert_eq!(serde_json::from_value::<Config>(value).expect("a configuration").changes(config).len(), {
        // The text of a pipeline is no key of its own.
        usize::from(config.own_pipeline().is_some())
    });
    let address = &config.camera.rtsp_url;
    let Some((_, rest)) = address.split_once("://") else { return };
    let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    if let Some((_, password)) = authority.rsplit_once('@').and_then(|(user, _)| user.split_once(':'))
        && password.len() > 3
        && address.matches(password).count() == 1
    {
        let shown = config.masked_json().to_string();
        assert!(!shown.contains(&format!(":{password}@")), "{shown}");
    }
}
