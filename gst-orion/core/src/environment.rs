// SPDX-License-Identifier: MPL-2.0
//! Which variables of the host's environment a worker gets.
//!
//! A worker decodes pictures that come from outside. What it does not need, such as the broker's password, it cannot give away.

use std::ffi::{OsStr, OsString};

/// Names, or with `*` at the end beginnings of names, that every worker gets: what programs in general, Python, and the
/// libraries that compute read.
const ALWAYS: [&str; 41] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LANGUAGE",
    "LC_*",
    "TZ",
    "TMPDIR",
    "LD_LIBRARY_PATH",
    "LD_PRELOAD",
    "XDG_CACHE_HOME",
    "XDG_RUNTIME_DIR",
    "CACHE_DIRECTORY",
    "STATE_DIRECTORY",
    "VIRTUAL_ENV",
    "PYTHON*",
    "ORION_VENV",
    "ORION_MODEL_DIR",
    "ORION_MODEL_CACHE",
    "OMP_*",
    "KMP_*",
    "GOMP_*",
    "MKL_*",
    "OPENBLAS_*",
    "OPENCV_*",
    "ORT_*",
    "ONNXRUNTIME_*",
    "CUDA_*",
    "CUDNN_*",
    "NVIDIA_*",
    "TENSORRT_*",
    "TRT_*",
    "OPENVINO_*",
    "ROCM_*",
    "ROCR_*",
    "HIP_*",
    "HSA_*",
    "ASAN_OPTIONS",
    "MALLOC_*",
];

/// The part of `variables` that a worker gets: what any program needs, and what `more` names, which is a list of names with
/// commas between them; a `*` at the end stands for any further letters.
pub fn passed(
    variables: impl Iterator<Item = (OsString, OsString)>,
    more: &str,
) -> impl Iterator<Item = (OsString, OsString)> {
    let more: Vec<_> = more.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect();
    variables.filter(move |(name, _)| {
        let wanted = ALWAYS.iter().copied().chain(more.iter().map(String::as_str));
        wanted.into_iter().any(|pattern| matches(pattern, name))
    })
}

/// Whether this is the name of a variable, or with `*` at the end the beginning of names; `*` alone stands for all.
pub fn is_pattern(name: &str) -> bool {
    let stem = name.strip_suffix('*').unwrap_or(name);
    !name.is_empty() && stem.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// What is wrong with a list of names, if anything is.
pub fn problem(names: &str) -> Option<String> {
    names.split(',').map(str::trim).filter(|name| !name.is_empty()).find_map(|name| {
        (!is_pattern(name)).then(|| {
            format!("worker-environment: {name:?} is no name of a variable: letters, digits and _, and * at the end for any others")
        })
    })
}

fn matches(pattern: &str, name: &OsStr) -> bool {
    match pattern.strip_suffix('*') {
        Some(stem) => name.as_encoded_bytes().starts_with(stem.as_bytes()),
        None => name == pattern,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(more: &str) -> Vec<String> {
        let host = [
            "PATH",
            "LC_ALL",
            "MQTT_PASSWORD",
            "ORION_PAGE_TOKEN",
            "ORION_MQTT__PASSWORD_ENV",
            "ORION_MODEL_CACHE",
            "FALL_MODEL",
            "FALL_LEVEL",
            "PATHS",
        ];
        let host = host.map(|name| (OsString::from(name), OsString::from("x")));
        passed(host.into_iter(), more).map(|(name, _)| name.into_string().unwrap()).collect()
    }

    #[test]
    fn a_worker_gets_what_it_needs_and_no_secret() {
        assert_eq!(names(""), ["PATH", "LC_ALL", "ORION_MODEL_CACHE"]);
    }

    #[test]
    fn more_is_passed_when_it_is_named() {
        assert_eq!(names(" FALL_MODEL ,"), ["PATH", "LC_ALL", "ORION_MODEL_CACHE", "FALL_MODEL"]);
        assert_eq!(names("FALL_*"), ["PATH", "LC_ALL", "ORION_MODEL_CACHE", "FALL_MODEL", "FALL_LEVEL"]);
        assert_eq!(names("*").len(), 9);
    }

    #[test]
    fn what_is_no_name_is_told() {
        for names in ["", "A", "A_1,B*", "*", " , "] {
            assert_eq!(problem(names), None, "{names:?}");
        }
        for (names, wrong) in [("A=1", "A=1"), ("A,B C", "B C"), ("*A", "*A"), ("A**", "A**")] {
            assert!(problem(names).unwrap().contains(&format!("{wrong:?}")), "{names:?}");
        }
    }
}
