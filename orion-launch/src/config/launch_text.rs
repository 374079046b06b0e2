// SPDX-License-Identifier: MPL-2.0
//! The text of a pipeline of the user's own.

use std::path::Path;

use super::{Config, files, template};

/// The text of `pipeline` or `pipeline_file` without comments and place holders; none where neither is set.
///
/// # Errors
/// The key to blame, and all that is wrong with its text.
pub(super) fn read(
    config: &Config,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Option<String>, (&'static str, Vec<String>)> {
    let (key, raw) = match (&*config.pipeline, &*config.pipeline_file) {
        ("", "") => return Ok(None),
        ("", path) => match files::regular(Path::new(path))
            .map_err(|why| format!(": {why}"))
            .and_then(|()| files::read_text(Path::new(path)))
        {
            Ok(text) => ("pipeline_file", text),
            Err(why) => return Err(("pipeline_file", vec![format!("{path}{why}")])),
        },
        (text, _) => ("pipeline", text.to_owned()),
    };
    let told = |line: u64, column: u64, text: &str| match key {
        "pipeline" => format!("line {line}, column {column} of the text: {text}"),
        _ => format!("{}:{line}:{column}: {text}", config.pipeline_file),
    };
    let text = template::render(&raw, variable)
        .map_err(|mistakes| (key, mistakes.iter().map(|m| told(m.line, m.column, &m.text)).collect()))?;
    let wrong = if text.trim().is_empty() {
        "expected elements, got nothing but comments"
    } else if text.contains('\0') {
        // GStreamer's texts end at one.
        "expected text without the character NUL"
    } else {
        return Ok(Some(text.trim().to_owned()));
    };
    Err((key, vec![told(1, 1, wrong)]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_comes_from_the_key_or_from_the_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "# one\nfakesrc name=${NAME}\n ! fakesink # end").unwrap();
        let path = file.path().display().to_string();
        let read = |pipeline: &str, file: &str, name: Option<&str>| {
            let config = Config { pipeline: pipeline.into(), pipeline_file: file.into(), ..Config::default() };
            read(&config, |_| name.map(str::to_owned))
        };
        assert_eq!(read("", &path, Some("x")), Ok(Some("fakesrc name=x\n ! fakesink".into())));
        assert_eq!(read("a # b", "", None), Ok(Some("a".into())));
        assert_eq!(read("", "", None), Ok(None));
        for (pipeline, file, expected) in [
            ("", path.as_str(), format!("{path}:2:14: the environment variable NAME is not set")),
            ("", "/not/there", "/not/there: there is no such file".into()),
            ("# b", "", "line 1, column 1 of the text: expected elements".into()),
        ] {
            let (key, mistakes) = read(pipeline, file, None).unwrap_err();
            assert_eq!(key, if file.is_empty() { "pipeline" } else { "pipeline_file" });
            assert!(mistakes.len() == 1 && mistakes[0].starts_with(&expected), "{mistakes:?}");
        }
        assert!(read("a ${X}", "", Some("\0")).is_err());
    }
}
