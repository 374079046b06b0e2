// SPDX-License-Identifier: MPL-2.0
//! The JSON Schema of the configuration, for editors and other programs.

use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::Config;

/// What a configuration may look like. Rules over several keys are not in it; `orion-launch check` knows them.
pub(crate) fn schema() -> Value {
    // Editors understand this version best, and nothing that is referred to.
    let mut settings = SchemaSettings::draft07();
    settings.inline_subschemas = true;
    let mut schema = settings.into_generator().into_root_schema_for::<Config>();
    schema.insert("$id".to_owned(), "urn:orion:schema:configuration:1".into());
    schema.insert("title".to_owned(), "Configuration of orion-launch".into());
    schema.to_value()
}

#[cfg(test)]
mod tests {
    use std::{env, fs, path::Path};

    use super::*;
    use crate::config::yaml;

    #[test]
    fn the_file_says_what_the_types_say() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../pipelines/orion.schema.json");
        let text = format!("{:#}\n", schema());
        if env::var_os("ORION_WRITE_SCHEMA").is_some() {
            fs::write(&file, &text).unwrap();
        }
        let found = fs::read_to_string(&file).unwrap_or_default();
        assert!(found == text, "orion.schema.json is not what the types say; `make schema` rewrites it");
    }

    #[test]
    fn the_documented_default_fits_and_all_is_described() {
        let schema = schema();
        assert!(jsonschema::meta::is_valid(&schema));
        let validator = jsonschema::validator_for(&schema).unwrap();
        let default = Value::from(yaml::parse(include_str!("../../../pipelines/orion.yaml")).unwrap());
        let errors: Vec<_> = validator.iter_errors(&default).map(|e| format!("{}: {e}", e.instance_path())).collect();
        assert_eq!(errors, [""; 0]);
        described(&schema, "config");
    }

    /// What people read about limits is what the types say.
    #[test]
    fn the_documented_limits_are_the_limits() {
        let text = include_str!("../../../pipelines/orion.yaml");
        let (schema, mut comment, mut path) = (schema(), String::new(), Vec::<String>::new());
        let mut found = 0;
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            let indentation = line.len() - line.trim_start().len();
            if let Some(words) = line.trim_start().strip_prefix('#') {
                comment += words;
                continue;
            }
            path.truncate(indentation / 2);
            path.push(line.trim_start().split(':').next().unwrap().to_owned());
            let key = schema.pointer(&format!("/properties/{}", path.join("/properties/"))).unwrap();
            if let (Some(least), Some(most)) = (key.get("minimum"), key.get("maximum")) {
                assert!(
                    comment.contains(&format!("{least}..{most}")),
                    "{path:?}: {least}..{most} is not in {comment:?}"
                );
                found += 1;
            }
            comment.clear();
        }
        assert!(found > 20, "{found}");
    }

    /// Each key has a description and a default, and each section is closed.
    fn described(section: &Value, path: &str) {
        assert!(!section["additionalProperties"].is_null(), "{path}: {section:#}");
        for (key, value) in section["properties"].as_object().unwrap() {
            let path = format!("{path}.{key}");
            assert!(value["description"].is_string(), "{path} has no description: {value:#}");
            assert!(!value["default"].is_null(), "{path} has no default");
            if value["properties"].is_object() {
                described(value, &path);
            }
        }
    }
}
