// SPDX-License-Identifier: MPL-2.0
//! The payload of a message on `care/control/...`.

use orion_core::{
    command::{Command, MAX_ERROR, MAX_ID, RATE_HZ, Refusal, Request},
    health::Ack,
};

/// What a refusal can blame.
const BLAMED: [&str; 8] =
    ["not JSON: ", "expected an object", "command: ", "id: ", "params", "if_revision: ", "dry_run: ", "\""];

pub(crate) fn run(data: &[u8]) {
    match Request::read(data) {
        Ok(request) => accepted(&request),
        Err(refusal) => refused(&refusal),
    }
}

fn accepted(request: &Request) {
    match &request.command {
        Command::SetAttentionRois(rois) => rois.rois.iter().for_each(super::assert_valid),
        Command::SetInferenceRate(rate) => assert!(RATE_HZ.contains(&rate.rate_hz)),
        _ => {}
    }
    let written = serde_json::to_vec(request).expect("it can be written");
    // Escapes of control characters only grow to the length that they had.
    assert_eq!(Request::read(&written).as_ref(), Ok(request), "{}", String::from_utf8_lossy(&written));
    let ack = Ack::success(request.command.name(), request.id.clone(), "t".into());
    assert!(serde_json::to_vec(&ack).is_ok());
}

fn refused(refusal: &Refusal) {
    let error = &refusal.error;
    assert!(error.chars().count() <= MAX_ERROR + 3, "{} bytes: {error:.200}...", error.len());
    let too_long = error.contains("bytes are too long for a command");
    assert!(too_long || BLAMED.iter().any(|start| error.starts_with(start)), "{error}");
    assert!(refusal.command.chars().count() <= 64);
    let ack = serde_json::to_value(refusal.ack("t".into())).expect("JSON");
    assert_eq!(ack["status"], "error");
    assert!(ack["id"].as_str().is_none_or(|id| id.len() <= MAX_ID), "{ack}");
}
